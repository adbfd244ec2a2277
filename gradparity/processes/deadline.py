"""A time budget: how much of it is left, and what is told when it is gone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

#: A worker that is busy when the budget ends is given this share of it more, then killed: what is asked for is kept
#: within 10%, and what ends by itself is worth more than what is cut off.
GRACE = 0.05


@dataclass(frozen=True)
class Deadline:
    """A moment on a monotonic clock, in seconds; ``at`` is infinite where there is no limit.

    ``grace_s`` is what a worker that is busy then is given to come to an end.
    """

    at: float
    grace_s: float = 0.0
    clock: Callable[[], float] = time.monotonic

    def left_s(self) -> float:
        """Seconds until then; negative after it."""
        return self.at - self.clock()

    def passed(self) -> bool:
        """Whether it is over."""
        return self.left_s() <= 0

    def share(self, parts: int) -> Deadline:
        """The end of the first of ``parts`` equal parts of what is left."""
        return self if math.isinf(self.at) else replace(self, at=self.clock() + self.left_s() / parts)

    def hard(self) -> Deadline:
        """When a worker that is still busy is ended."""
        return replace(self, at=self.at + self.grace_s)


UNLIMITED = Deadline(math.inf)


def budget_of(seconds: float | None, started_s: float | None = None) -> Deadline:
    """The deadline of a budget that starts now, or started at that reading of the monotonic clock."""
    if seconds is None:
        return UNLIMITED
    return Deadline((time.monotonic() if started_s is None else started_s) + seconds, GRACE * seconds)


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
