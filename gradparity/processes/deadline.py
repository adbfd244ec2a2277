"""A time budget: how much of it is left, which share of it a stage may take, and what is told when it is gone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

#: A worker that is busy when the budget ends is given this share of it more, then killed: what is asked for is kept
#: within 10%, with the report that follows, and what ends by itself is worth more than what is cut off.
GRACE = 0.025
#: Least of it, in seconds: what a process takes to notice.
LEAST_GRACE_S = 0.5
#: Seconds that a problem is given where no budget is: `check` keeps to them, elsewhere only the shares below do.
USUAL_S = 120.0

#: What has a share of its own in the budget of a problem.
Stage: TypeAlias = Literal[
    "loading",
    "truth",
    "very large truth",
    "reference runs",
    "first call",
    "compilation",
    "training",
    "initialising",
    "moved inputs",
    "noise floors",
]
#: The largest share that each may take; what it leaves over is left to those that follow. A stage that knows its limit
#: ends by it with what it has; its process is killed some time after it, `SLACK` of the share and `LEAST_SLACK_S` more.
SHARES: dict[Stage, float] = {
    "loading": 0.5,
    "truth": 0.5,
    "very large truth": 0.7,
    "reference runs": 0.25,
    "first call": 0.3,
    "compilation": 0.15,
    "training": 0.25,
    "initialising": 0.03,
    "moved inputs": 0.2,
    "noise floors": 0.1,
}
SLACK, LEAST_SLACK_S = 0.1, 1.0


@dataclass(frozen=True)
class Deadline:
    """A moment on a monotonic clock, in seconds; ``at`` is infinite where there is no limit.

    ``grace_s`` is what a worker that is busy then is given to come to an end. ``whole_s`` is the budget of a problem,
    which its stages have shares of.
    """

    at: float
    grace_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    whole_s: float = USUAL_S

    def left_s(self) -> float:
        """Seconds until then; negative after it."""
        return self.at - self.clock()

    def passed(self) -> bool:
        """Whether it is over."""
        return self.left_s() <= 0

    def share(self, parts: float) -> Deadline:
        """The end of the first of ``parts`` equal parts of what is left, which is the budget of its problem."""
        if math.isinf(self.at):
            return self
        seconds = self.left_s() / parts
        return replace(self, at=self.clock() + seconds, whole_s=max(0.0, seconds))

    def stage_s(self, stage: Stage) -> float:
        """Seconds that a stage may take from now on: its share, or what is left if that is less."""
        return max(0.0, min(SHARES[stage] * self.whole_s, self.left_s()))

    def hard(self) -> Deadline:
        """When a worker that is still busy is ended."""
        return replace(self, at=self.at + self.grace_s)


UNLIMITED = Deadline(math.inf)


def budget_of(seconds: float | None, started_s: float | None = None) -> Deadline:
    """The deadline of a budget that starts now, or started at that reading of the monotonic clock."""
    if seconds is None:
        return UNLIMITED
    began_s = time.monotonic() if started_s is None else started_s
    return Deadline(began_s + seconds, max(GRACE * seconds, LEAST_GRACE_S), whole_s=seconds)


def waited_s(seconds: float) -> float:
    """How long to wait for a process that was told to end within so many seconds."""
    return seconds + max(SLACK * seconds, LEAST_SLACK_S)


def affordable(needed_s: Mapping[str, float], allowed_s: float, first: Sequence[str]) -> set[str]:
    """Names whose seconds fit into those that are allowed.

    Args:
        needed_s: seconds that each name needs.
        allowed_s: seconds for all of them together.
        first: names that are served before the others, in this order; the others follow from the cheapest on.

    Returns:
        The names that are kept.
    """
    places = {name: place for place, name in enumerate(first)}
    kept = set()
    for name in sorted(needed_s, key=lambda name: (places.get(name, len(first)), needed_s[name])):
        if needed_s[name] <= allowed_s:
            kept.add(name)
            allowed_s -= needed_s[name]
    return kept
