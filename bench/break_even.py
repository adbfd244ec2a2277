"""After how many steps a backend that starts slowly and runs fast has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one backend costs at one size, in seconds. ``first_call_s`` includes any compilation and the first step."""

    import_s: float
    build_s: float
    first_call_s: float
    step_s: float


def total_s(cost: Cost, steps: int) -> float:
    """Seconds from an empty process to ``steps`` steps: import + build + first call + (steps - 1) * step.

    Raises:
        ValueError: ``steps`` is under 1.
    """
    if steps < 1:
        raise ValueError(f"steps: got {steps}, expected 1 or more")
    return cost.import_s + cost.build_s + cost.first_call_s + (steps - 1) * cost.step_s


def crossing(a: Cost, b: Cost) -> int | None:
    """The fewest steps after which the dearer of the two at the first step has become the cheaper.

    It is the same whichever comes first, and None where one is no dearer at the first step and at every other.
    """
    start_s = total_s(b, 1) - total_s(a, 1)
    gain_s = a.step_s - b.step_s
    if start_s * gain_s <= 0:
        return None
    # b is cheaper from the first K with (K - 1) gain > start.
    return math.floor(start_s / gain_s) + 2


def envelope(costs: Mapping[str, Cost]) -> list[tuple[int, str]]:
    """Who is cheapest in all for how many steps: the first number of steps of each stretch, and whose it is.

    The lower envelope of the lines ``total_s``: it begins at 1 step with the cheapest start, and each next has a
    shorter step. Of equal ones the first by name stays.
    """
    if not costs:
        return []
    current = min(sorted(costs), key=lambda name: (total_s(costs[name], 1), costs[name].step_s))
    spans = [(1, current)]
    while True:
        quicker = [name for name in sorted(costs) if costs[name].step_s < costs[current].step_s]
        crossings = [steps for name in quicker if (steps := crossing(costs[current], costs[name])) is not None]
        if not crossings:
            return spans
        # Several may overtake between the same two steps: the cheapest there is next, whoever steps quickest.
        steps = min(crossings)
        current = min(quicker, key=lambda name: (total_s(costs[name], steps), costs[name].step_s))
        spans.append((steps, current))
