"""Where a function is looked at next: where an error jumps, which is a seam of some branches, and about the worst.

An interval is halved in the order of the numbers of its dtype: forty halvings lead from anywhere to two neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from heapq import nlargest

import numpy as np
import numpy.typing as npt

from gradparity.judge.pointwise import Answer
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.runner.atlas.points import Points, between, gaps

#: Points that are added in a round, of which so many at most lie where an error jumps.
A_ROUND, OF_JUMPS = 8, 6
#: Jumps of one quantity that are candidates: its largest are often those of others too.
_OF_EACH = 4
#: Up to where numbers are ordinary.
_ORDINARY = 10.0
#: A seam between two inputs is known that differ by no more than this, relatively; which it is sought for first: those
#: of ordinary size.
_KNOWN, _LEAST, _MOST = 1e-3, 1e-3, 1e3
#: A jump is one by so many powers of two, counted between these sizes, in floors.
_JUMP, _LOW, _HIGH = 1.0, math.log2(AGREES_FLOORS), 62.0

Answers = Mapping[tuple[str, str], Sequence[Answer]]


def next_points(x: Points, y: Points, answers: Answers) -> tuple[Points, Points]:
    """What to look at in the next round, given the answers at the points so far by backend and quantity."""
    intervals = gaps(x, y)
    levels = [np.array([_level(each) for each in found]) for found in answers.values()]
    if not intervals or not levels:
        return x[:0], y[:0]
    picked = _at_jumps(x, intervals, levels)
    for i, j in _about_the_worst(x, intervals, levels):
        if len(picked) == A_ROUND:
            break
        picked.setdefault((i, j), (False, False, 0.0))
    found = [(between(x, i, j), y[i]) for i, j in picked]
    return np.array([a for a, _ in found], x.dtype), np.array([b for _, b in found], y.dtype)


def _at_jumps(
    x: Points, intervals: list[tuple[int, int]], levels: list[npt.NDArray[np.float64]]
) -> dict[tuple[int, int], tuple[bool, bool, float]]:
    """The intervals of each quantity's largest jumps, by what is most worth knowing; the best of these first.

    A seam that is known to a thousandth waits until others are, and one at an input of no ordinary size for those that
    are at one.
    """
    size = np.abs(x.astype(np.float64))
    best: dict[tuple[int, int], tuple[bool, bool, float]] = {}
    for level in levels:
        found = [(_worth(size[i], size[j], x[j] - x[i], level[i] - level[j]), i, j) for i, j in intervals]
        for worth, i, j in nlargest(_OF_EACH, found):
            if worth[-1] > _JUMP:
                best[i, j] = max(best.get((i, j), worth), worth)
    return dict(sorted(best.items(), key=lambda item: item[1], reverse=True)[:OF_JUMPS])


def _worth(below: float, above: float, width: float, jump: float) -> tuple[bool, bool, float]:
    jumps, largest = abs(jump) > _JUMP, max(below, above)
    return jumps and width > _KNOWN * largest, jumps and _LEAST <= largest <= _MOST, float(abs(jump))


def _about_the_worst(
    x: Points, intervals: list[tuple[int, int]], levels: list[npt.NDArray[np.float64]]
) -> list[tuple[int, int]]:
    """Intervals by the worst at their ends in any quantity; of those alike the widest among ordinary numbers."""
    worst = np.max(levels, axis=0)
    plain = np.clip(x.astype(np.float64), -_ORDINARY, _ORDINARY)
    return sorted(intervals, key=lambda ends: (-max(worst[list(ends)]), plain[ends[0]] - plain[ends[1]]))


def _level(answer: Answer) -> float:
    """An error as a power of two, in floors; of what is not judged one that no error has: edges are seams too."""
    if answer.status == "unjudged":
        return 0.0
    if answer.status in ("zero", "nonfinite", "overflow"):
        return _HIGH
    if answer.status in ("right", "flushed"):
        return _LOW
    return min(max(math.log2(answer.floors), _LOW), _HIGH)
