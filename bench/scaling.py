"""What a step takes on more machines: its share of the rows, and one ``all_reduce`` of the gradient. Pure.

The time of an all-reduce by a ring of ``p`` processes, of ``n`` bytes, is

    2 (p - 1) alpha + 2 (p - 1) / p n beta + (p - 1) / p n gamma

with ``alpha`` seconds a message, ``beta`` seconds a byte on its way and ``gamma`` seconds a byte that is added up; what
is timed tells the two apart only by their sum, which `Link.byte_s` is: ``beta + gamma / 2``.

Reference: R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of collective communication operations in MPICH",
Int. J. High Perform. Comput. Appl. 19 (2005) 49-66.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Resamples of the measurements, by which an interval is found, and what is left out on either side of it.
RESAMPLES, TAIL = 400, 0.025


@dataclass(frozen=True)
class Measured:
    """Seconds that an all-reduce of so many bytes took over so many processes."""

    ranks: int
    size: int
    seconds: float


@dataclass(frozen=True)
class Link:
    """Seconds a message, and a byte (on its way, and half of what adding it up takes)."""

    latency_s: float
    byte_s: float

    def all_reduce_s(self, ranks: int, size: int) -> float:
        """Seconds of an all-reduce by a ring."""
        messages, share = _terms(ranks, size)
        return messages * self.latency_s + share * self.byte_s


def _terms(ranks: int, size: int) -> tuple[float, float]:
    """How many times latency, and how many bytes one after the other."""
    return 2.0 * (ranks - 1), 2.0 * (ranks - 1) / ranks * size


def fitted(measured: Sequence[Measured]) -> Link:
    """The link whose all-reduces are nearest to what was measured, relatively, with no negative time.

    Raises:
        ValueError: of less than two, or of one size alone, there is no such.
    """
    rows = np.array([_terms(each.ranks, each.size) for each in measured])
    seconds = np.array([each.seconds for each in measured])
    if np.linalg.matrix_rank(rows) < 2:
        raise ValueError("measurements of two sizes or more are needed")
    a, b = rows / seconds[:, None], np.ones(len(seconds))
    both = np.linalg.lstsq(a, b, rcond=None)[0]
    if (both < 0).any():  # of two numbers the one that is left is the better of both alone
        alone = [np.array([a[:, i] @ b / (a[:, i] @ a[:, i]) * (j == i) for j in range(2)]) for i in range(2)]
        both = min(alone, key=lambda x: float(np.sum((a @ x - b) ** 2)))
    return Link(float(both[0]), float(both[1]))


@dataclass(frozen=True)
class Predicted:
    """Seconds of a step on so many machines with an interval, and how many times one machine's speed that is."""

    machines: int
    step_s: float
    low_s: float
    high_s: float
    speedup: float


def predicted(measured: Sequence[Measured], step_s: Sequence[float], size: int, machines: int) -> Predicted:
    """A step of ``size`` bytes of gradient whose rows are shared by so many machines.

    Args:
        measured: all-reduces between two of them or more.
        step_s: seconds of the whole step on one, several times.
        size: bytes of the gradient with the loss.
        machines: how many.

    Returns:
        The median, and between which two it is in 95 of 100 resamples of all that was measured.
    """
    rng = np.random.default_rng(0)
    groups: dict[tuple[int, int], list[Measured]] = {}
    for each in measured:
        groups.setdefault((each.ranks, each.size), []).append(each)

    def once(link: Link, step: float) -> float:
        return step / machines + link.all_reduce_s(machines, size)

    drawn = []
    for _ in range(RESAMPLES):
        again = [group[i] for group in groups.values() for i in rng.integers(len(group), size=len(group))]
        drawn.append(once(fitted(again), float(np.median(rng.choice(step_s, len(step_s))))))
    whole = float(np.median(step_s))
    found = once(fitted(measured), whole)
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL])
    return Predicted(machines, found, min(float(low), found), max(float(high), found), whole / found)


def widened(found: Predicted, off: float) -> Predicted:
    """The same, its interval wider by the factor that the model was off where it could be checked."""
    return Predicted(found.machines, found.step_s, found.low_s / off, found.high_s * off, found.speedup)
