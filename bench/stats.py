"""From pairs of processes to a ratio, its interval and a verdict. Pure: no clock, no process, no framework.

The ratio is time of the reference over time of the challenger: how many times as fast the challenger is. Everything
is computed on its logarithm, where "twice as fast" and "half as fast" lie equally far from 0.

    round   v = 1/2 log(A1 A2 / (B1 B2))         A, B seconds per call of reference and challenger
    pair    median of its rounds
    result  mean over the process pairs, with a 95% t-interval
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Literal

from gradparity.benchmark.profiles import Profile
from gradparity.benchmark.rounds import PairValue

Verdict = Literal["faster", "slower", "equivalent", "undecided", "unstable"]

CONFIDENCE = 0.95
#: Differences below this are not called: layout and alignment alone make as much.
FLOOR = 0.05
#: Above this share of discarded rounds there is no verdict.
DISCARD_LIMIT = 0.25
#: Scatter between identical processes on a quiet machine, assumed where fewer than three pairs are measured, and how
#: many measured pairs that assumption is worth. Pairs of identical workers were 2% apart, of which their eight rounds
#: explain 1.2%: sqrt(2^2 - 1.2^2) = 1.6.
PRIOR_SD = 0.016
PRIOR_PAIRS = 4
#: From this many pairs on, their own scatter gives the interval.
PAIRS_FOR_INTERVAL = 3


@dataclass(frozen=True)
class Control:
    """What two identical workers showed (A/A): the scatter of their pairs about no difference, and the floor.

    ``sd`` is None where no A/A was measured. ``between_sd`` and ``between_df`` are what an interval from fewer than
    three pairs assumes of the scatter between processes.
    """

    pairs: int
    sd: float | None
    floor: float
    between_sd: float
    between_df: int


@dataclass(frozen=True)
class Comparison:
    """Time of the reference over time of the challenger, with its 95% interval; ``half_width`` is that of the log.

    ``within_process`` marks an interval from fewer than three process pairs: it rests on the rounds within them and
    on A/A, and not on seen scatter between processes. Without an undisturbed round there is no ratio, and with a
    single one no interval.
    """

    ratio: float | None
    low: float | None
    high: float | None
    half_width: float | None
    pairs: int
    rounds: int
    discarded: int
    within_process: bool

    @property
    def unstable(self) -> bool:
        """Whether so many rounds were discarded that the rest cannot be trusted."""
        return self.discarded > DISCARD_LIMIT * self.rounds


@dataclass(frozen=True)
class MedianInterval:
    """A median between two order statistics; ``coverage`` is what they reach, under 0.95 for fewer than six values."""

    median: float
    low: float
    high: float
    count: int
    coverage: float


def t_quantile(df: float) -> float:
    """Two-sided 95% quantile of Student's t: 2.776 for 4 degrees of freedom."""
    from scipy.special import stdtrit  # here, so that importing this module stays cheap

    return float(stdtrit(df, 0.5 + CONFIDENCE / 2))


def pairs_needed(pairs: Sequence[PairValue], profile: Profile) -> int:
    """How many process pairs make the interval as narrow as the profile asks, from those measured so far.

    Decided once, from the first ``pairs_min`` pairs with a value: later ones change nothing. Asking after every pair
    whether the interval is narrow enough by now stops where the scatter happens to look small, and covers the truth
    in 92.5% instead of 95%. Only the width is asked for, never the ratio, so that no verdict is waited for.

    Reference: Stein (1945), A two-sample test for a linear hypothesis whose power is independent of the variance,
    Annals of Mathematical Statistics 16: n = max(n0, ceil((t s0 / d)^2)), t with n0 - 1 degrees of freedom.
    """
    values = _log_ratios(pairs)
    missing = len(pairs) - len(values)
    first = values[: profile.pairs_min]
    if len(first) < max(profile.pairs_min, 2):
        return min(profile.pairs_min + missing, profile.pairs_max)
    wanted = math.ceil((t_quantile(len(first) - 1) * stdev(first) / profile.half_width) ** 2)
    return min(max(wanted, profile.pairs_min) + missing, profile.pairs_max)


def control(aa_pairs: Sequence[PairValue] = ()) -> Control:
    """The scatter and the floor that the A/A pairs of a run give: floor = max(5%, twice the A/A sd).

    The true log ratio of identical workers is 0, so the deviations are taken from 0 and not from their mean.

    For fewer than three pairs the scatter between processes is the mean of the measured squares, less what the
    rounds explain of them, and of four assumed ones of 1.6%: the mean of a scaled inverse chi-square posterior, with
    as many degrees of freedom.
    """
    measured = [(pair.log_ratio, pair.standard_error or 0.0) for pair in aa_pairs if pair.log_ratio is not None]
    sd = math.sqrt(fmean(value**2 for value, _ in measured)) if measured else None
    between = sum(max(0.0, value**2 - error**2) for value, error in measured)
    between_df = PRIOR_PAIRS + len(measured)
    return Control(
        pairs=len(measured),
        sd=sd,
        floor=max(FLOOR, 2 * (sd or 0.0)),
        between_sd=math.sqrt((PRIOR_PAIRS * PRIOR_SD**2 + between) / between_df),
        between_df=between_df,
    )


def compare(pairs: Sequence[PairValue], profile: Profile, aa: Control | None = None) -> Comparison:
    """The ratio of reference to challenger over all pairs measured, with its interval."""
    values = _log_ratios(pairs)
    ratio = low = high = half_width = None
    if values:
        centre = fmean(values)
        ratio, half_width = math.exp(centre), _half_width(pairs, profile, aa or control())
        if half_width is not None:
            low, high = math.exp(centre - half_width), math.exp(centre + half_width)
    return Comparison(
        ratio=ratio,
        low=low,
        high=high,
        half_width=half_width,
        pairs=len(values),
        rounds=sum(pair.rounds for pair in pairs),
        discarded=sum(pair.discarded for pair in pairs),
        within_process=len(values) < PAIRS_FOR_INTERVAL,
    )


def _log_ratios(pairs: Sequence[PairValue]) -> list[float]:
    return [pair.log_ratio for pair in pairs if pair.log_ratio is not None]


def _half_width(pairs: Sequence[PairValue], profile: Profile, aa: Control) -> float | None:
    """``t s0 / sqrt(n)``, s0 from the pairs that fixed n (see ``pairs_needed``): exactly 95% for normal values."""
    values = _log_ratios(pairs)
    if len(values) < PAIRS_FOR_INTERVAL:
        return _half_width_within([pair for pair in pairs if pair.log_ratio is not None], aa)
    first = values[: max(profile.pairs_min, PAIRS_FOR_INTERVAL)]
    return t_quantile(len(first) - 1) * stdev(first) / math.sqrt(len(values))


def _half_width_within(pairs: Sequence[PairValue], aa: Control) -> float | None:
    """Half-width from the rounds, widened by the scatter between processes that A/A showed.

    The variances of the median of the rounds and between processes add; their degrees of freedom combine after
    Welch (1947), The generalization of Student's problem, Biometrika 34.
    """
    errors = [(pair.standard_error, pair.rounds - pair.discarded - 1) for pair in pairs]
    terms = [(error**2, df) for error, df in errors if error is not None]
    if not terms or len(terms) < len(errors):
        return None
    terms += [(aa.between_sd**2, aa.between_df)] * len(pairs)
    variance = sum(term for term, _ in terms)
    df = variance**2 / sum(term**2 / df for term, df in terms)
    return t_quantile(df) * math.sqrt(variance) / len(pairs)


def between(first: Comparison | None, second: Comparison | None) -> tuple[float, float, float] | None:
    """How many times as fast the first challenger is as the second, from the reference that both were timed against.

    The interval is the widest that the two allow; ``None`` without both.
    """
    if first is None or second is None or first.ratio is None or second.ratio is None:
        return None
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return None
    return first.ratio / second.ratio, first.low / second.high, first.high / second.low


def verdict(comparison: Comparison, floor: float) -> Verdict:
    """What may be said of the challenger: no difference smaller than the floor is ever called one.

    ``faster`` or ``slower`` only with the whole interval outside [1 / (1 + floor), 1 + floor], ``equivalent`` only
    with all of it inside.
    """
    if comparison.unstable:
        return "unstable"
    low, high = comparison.low, comparison.high
    if low is None or high is None:
        return "undecided"
    if low > 1 + floor:
        return "faster"
    if high < 1 / (1 + floor):
        return "slower"
    return "equivalent" if low >= 1 / (1 + floor) and high <= 1 + floor else "undecided"


def median_interval(values: Sequence[float]) -> MedianInterval:
    """Median with a distribution-free 95% interval: the narrowest pair of order statistics that reaches it.

    The k-th smallest and the k-th largest of n values enclose the median with probability 1 - 2 P(Bin(n, 1/2) < k).
    Blocks of one process are not independent, so this describes that process's steps and not all processes'.

    Reference: Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("values: got none, expected at least one")
    ordered, n = sorted(values), len(values)
    # Counted in whole numbers out of 2^n, so that many values cannot underflow.
    below, term, rank = 0, 1, 0
    while 40 * (below + term) <= 2**n:  # 2 P <= 1/20
        below += term
        rank += 1
        term = term * (n - rank + 1) // rank
    outside = below if rank else term
    index = max(rank - 1, 0)
    return MedianInterval(median(ordered), ordered[index], ordered[-1 - index], n, 1 - 2 * outside / 2**n)
