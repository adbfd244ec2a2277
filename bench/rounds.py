"""Rounds of four blocks, and the one value that a pair of processes gives.

round   v = 1/2 log(A1 A2 / (B1 B2))         A, B nanoseconds per call of reference and challenger
pair    median of its undisturbed rounds
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, stdev

from gradparity.benchmark.protocol import Block

#: A round is discarded where a block was away from a processor for all but this share of its wall-clock time. On a
#: shared virtual machine such rounds scattered two to five times as much as the others; a stricter 0.9 discards up to
#: twice as many and leaves the rest no better.
CPU_LIMIT = 0.85
#: And where more than this share was stolen, beyond one tick: the counter moves by 10 ms, which may have been stolen
#: before the round began. Stolen time is no CPU time, so that cpu/wall finds most of it: a limit of 1% discarded half
#: of all rounds of an idle machine, which scattered no more than the other half.
STEAL_LIMIT = 0.05
STEAL_TICK_NS = 10_000_000

#: Normal quantile of 97.5%.
_Z = 1.96
#: With fewer rounds than this, ranks say too little of their scatter.
_FEW_ROUNDS = 4


@dataclass(frozen=True)
class Round:
    """Two blocks of the reference and two of the challenger, taken in turn (A B B A or B A A B)."""

    pair: int
    index: int
    reference: tuple[Block, Block]
    challenger: tuple[Block, Block]

    @property
    def log_ratio(self) -> float:
        """``1/2 log(A1 A2 / (B1 B2))``: drift that is linear over the round cancels."""
        a1, a2 = (block.call_ns for block in self.reference)
        b1, b2 = (block.call_ns for block in self.challenger)
        return 0.5 * math.log(a1 * a2 / (b1 * b2))

    @property
    def disturbed(self) -> bool:
        """Whether the machine was taken away meanwhile, by the hypervisor or by other processes: it gives no ratio."""
        return self.reference_disturbed or self.challenger_disturbed

    @property
    def reference_disturbed(self) -> bool:
        """Whether it was taken away from the reference, or from both by the hypervisor."""
        return self._stolen or any(map(_away, self.reference))

    @property
    def challenger_disturbed(self) -> bool:
        """Whether it was taken away from the challenger, or from both by the hypervisor."""
        return self._stolen or any(map(_away, self.challenger))

    @property
    def _stolen(self) -> bool:
        """By ticks, which are too coarse to say in whose block."""
        blocks = self.reference + self.challenger
        stolen_ns = sum(block.stolen_ns or 0 for block in blocks)
        return stolen_ns > STEAL_LIMIT * sum(block.wall_ns for block in blocks) + STEAL_TICK_NS


def _away(block: Block) -> bool:
    return block.wall_ns - block.away_ns < CPU_LIMIT * block.wall_ns


@dataclass(frozen=True)
class PairValue:
    """One pair of processes: the median of its undisturbed rounds, and the standard error of that median.

    ``log_ratio`` is None without an undisturbed round, ``standard_error`` with fewer than two.
    """

    pair: int
    log_ratio: float | None
    standard_error: float | None
    rounds: int
    discarded: int


def pair_value(rounds: Sequence[Round]) -> PairValue:
    """The value of one pair of processes, from its rounds with one challenger."""
    values = sorted(measured.log_ratio for measured in rounds if not measured.disturbed)
    return PairValue(
        pair=rounds[0].pair,
        log_ratio=median(values) if values else None,
        standard_error=median_error(values),
        rounds=len(rounds),
        discarded=len(rounds) - len(values),
    )


def pair_values(rounds: Iterable[Round]) -> list[PairValue]:
    """One value per pair of processes, in the order of the pairs, from all rounds with one challenger."""
    by_pair: dict[int, list[Round]] = {}
    for measured in rounds:
        by_pair.setdefault(measured.pair, []).append(measured)
    return [pair_value(by_pair[pair]) for pair in sorted(by_pair)]


def median_error(ordered: Sequence[float]) -> float | None:
    """Standard error of the median of sorted values; None for fewer than two.

    ``(x[n-c+1] - x[c]) / (2 z)`` with ``c = (n + 1) / 2 - z sqrt(n / 4)``, rounded: a single outlier does not move
    it, where the standard deviation of eight rounds doubles. Under four values, ``sqrt(pi / (2 n)) s``.

    Reference: McKean and Schrader (1984), A comparison of methods for studentizing the sample median,
    Communications in Statistics - Simulation and Computation 13.
    """
    n = len(ordered)
    if n < 2:
        return None
    if n < _FEW_ROUNDS:
        return math.sqrt(math.pi / (2 * n)) * stdev(ordered)
    rank = max(1, round((n + 1) / 2 - _Z * math.sqrt(n / 4)))
    return (ordered[n - rank] - ordered[rank - 1]) / (2 * _Z)
