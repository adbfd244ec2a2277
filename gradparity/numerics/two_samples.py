"""Whether two blocks that were drawn over seeds can be of one distribution, at stated odds of a false alarm.

Of each is known (seeds, n): seeds are independent, entries of one seed mostly, which is looked at. Four tests, none of
which knows a distribution: what does not depend on the seed, the standard deviations, the largest entries, and
Kolmogorov's and Smirnov's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

#: A difference between two blocks that are drawn alike is reported once in so many blocks.
DIFFERENT_ODDS = 1e-6
#: Entries that are independent are taken for not that once in so many times, which costs sight and nothing else.
TOGETHER_ODDS = 1e-5
#: Of fewer seeds nothing is known about what depends on them.
LEAST_SEEDS = 8
#: Numbers that repeat an earlier seed's, of which even those drawn from two values do so but once in 2^23.
LEAST_REPEATS = 23
#: Numbers that do not depend on the seed are computed, each port with its own roundings: up to this of the largest.
SAME = 3e-4
#: A factor of the standard deviation that is to be seen, and numbers that tell a normal from one cut at two of them:
#: 2.3 % of a normal are beyond.
SEEN_FACTOR, SEEN_NUMBERS = 1.25, 2000
#: Numbers from which the error of a variance is a normal's, and the kurtosis up to which it is (a normal has 3): of
#: fewer numbers, or with heavier tails, no standard deviations are compared, but all that knows no distribution.
SPREAD_NUMBERS, HEAVY = 500, 4.5

What: TypeAlias = Literal["values", "drawn", "orthogonal", "scale", "distribution"]


@dataclass(frozen=True)
class Spread:
    """The variance of all entries, the relative standard error of that, and its degrees of freedom.

    ``together``: entries of one seed may depend on each other; then only whole seeds do not, of which the error is.
    """

    variance: float
    error: float
    freedom: float
    together: bool
    kurtosis: float

    def std_range(self, odds: float) -> tuple[float, float]:
        """An interval that misses the standard deviation with these odds."""
        off = math.exp(_quantile(odds, self.freedom) * self.error / 2)
        return math.sqrt(self.variance) / off, math.sqrt(self.variance) * off


def spread_of(draws: Array) -> Spread:
    """Of (seeds, n) draws that are not all one number, in float64.

    The variance of a variance is ``(kurtosis - 1) variance^2 / N``; the kurtosis is measured too, and is a normal's or
    that of two values at least. Where means of seeds differ by more than independent entries let them, or half of a
    draw repeats, N are the seeds.
    """
    from scipy.special import chdtri

    seeds, entries = draws.shape
    centred = draws - draws.mean()
    squares = centred**2
    variance = float(squares.mean())
    kurtosis, together = float((squares**2).mean()) / variance**2, False
    error = math.sqrt(max(kurtosis - 1, 0.8) / draws.size)
    if seeds >= LEAST_SEEDS and entries > 1:
        limit = chdtri(seeds - 1, TOGETHER_ODDS) / (seeds - 1)
        together = 2 * len(np.unique(draws[0])) < entries  # repeated, as a filter that is inflated is
        for each in (centred, squares):
            expected = float(each.var()) / entries
            floor = (np.finfo(np.float32).eps * variance ** (1 if each is squares else 0.5)) ** 2  # they are rounded to
            together |= float(each.mean(axis=1).var(ddof=1)) > limit * max(expected, floor)
    if together:
        error = max(error, float(squares.mean(axis=1).std(ddof=1)) / math.sqrt(seeds) / variance)
    return Spread(variance, error, seeds - 1 if together else math.inf, together, kurtosis)


@dataclass(frozen=True)
class Compared:
    """Two blocks: ``what`` they cannot be the same in and how, in words; ``""`` where they can.

    ``factor``: that of the standard deviations, the first over the second, and an interval that misses it as often as a
    false alarm comes; ``None`` where there is none. ``unseen``: "whether ...", of which nothing is known.
    """

    what: What | Literal[""] = ""
    said: str = ""
    factor: tuple[float, float, float] | None = None
    unseen: str = ""


def compared(one: Array, other: Array, gains: Sequence[float | None] = (None, None)) -> Compared:
    """Whether two blocks can be drawn alike.

    Args:
        one: (seeds, n), of any float dtype.
        other: of as many entries, in the same places.
        gains: of those that are orthogonal.
    """
    a, b = (np.asarray(draws, np.float64) for draws in (one, other))
    first, second = gains
    if first is not None and second is not None:
        same = math.isclose(first, second, rel_tol=SAME)
        factor = first / second
        return Compared() if same else Compared("scale", f"gain {first:.6g} against {second:.6g}", (factor,) * 3)
    masks = fixed_entries(a), fixed_entries(b)
    found = _not_drawn(a, b, *masks)
    if found is not None:
        return found
    if (first is None) != (second is None):
        return Compared("orthogonal", "one of them is orthogonal")
    free = ~masks[0]
    return _drawn(a[:, free], b[:, free])


def fixed_entries(draws: Array) -> npt.NDArray[np.bool_]:
    """Entries that are the same at every seed: all, or those of some, whose values no other entry has."""
    found: npt.NDArray[np.bool_] = np.all(draws == draws[:1], axis=0)
    if found.all():
        return found
    if len(draws) < LEAST_SEEDS or np.isin(draws[:, ~found], draws[0, found]).any():  # drawn, from a few values
        return np.zeros_like(found)
    return found


def _not_drawn(a: Array, b: Array, one: Array, other: Array) -> Compared | None:
    """What does not depend on the seed, where that is another, or is all."""
    known = all((len(draws) - 1) * len(mask) >= LEAST_REPEATS for draws, mask in ((a, one), (b, other)) if mask.all())
    unseen = Compared(unseen="whether it depends on the seed")
    if not np.array_equal(one, other):
        first, second = (f"{int(mask.sum()):,}" for mask in (one, other))
        said = f"entries that every seed gives the same: {first} of {len(one):,} against {second}"
        return Compared("drawn", said) if known else unseen
    if not one.any():
        return None
    x, y = a[0, one], b[0, one]
    off = np.abs(x - y)
    if off.max() > SAME * max(np.abs(x).max(), np.abs(y).max()):
        at = int(off.argmax())
        return Compared("values", f"{x[at]:.6g} against {y[at]:.6g}, at every seed") if known else unseen
    return Compared() if one.all() else None


def _drawn(a: Array, b: Array) -> Compared:
    """Two blocks of which every entry is drawn."""
    spreads = spread_of(a), spread_of(b)
    if any(each.together for each in spreads):  # then seeds are compared, not entries
        said = "whether the distribution has another shape: entries of one draw may depend on each other"
        a, b = (np.sqrt((draws**2).mean(axis=1, keepdims=True)) for draws in (a, b))
        parts = _distribution(a, b, 2)
        return Compared("distribution", f"root mean squares of a draw, {parts}") if parts else Compared(unseen=said)
    (one, other) = spreads
    ratio, error = math.sqrt(one.variance / other.variance), math.hypot(one.error, other.error)
    off = math.exp(_quantile(DIFFERENT_ODDS / 2, math.inf) * error / 2)
    factor = (ratio, ratio / off, ratio * off)
    count = min(a.size, b.size)
    plain = count >= SPREAD_NUMBERS and max(one.kurtosis, other.kurtosis) <= HEAVY
    stds = "std " + " against ".join(f"{math.sqrt(each.variance):.4g}" for each in spreads)
    if plain and not factor[1] <= 1 <= factor[2]:
        return Compared("scale", f"{stds}, by a factor of {ratio:.4g} ({factor[1]:.4g} to {factor[2]:.4g})", factor)
    if parts := _distribution(a, b, 4):
        return Compared("distribution", f"{'of one scale' if plain else stds}, {parts}")
    few = f"whether std is another by a factor below {off:.3g}, or the distribution, of {count:,} numbers"
    few = few if plain else f"whether scale or distribution are another by little, of {count:,} numbers"
    told = plain and off <= SEEN_FACTOR and count >= SEEN_NUMBERS
    return Compared(factor=factor if plain else None, unseen="" if told else few)


def _distribution(a: Array, b: Array, share: int) -> str:
    """Two tests, the odds of each a ``share`` of all: by the largest entries, and Kolmogorov's and Smirnov's."""
    x, y = (np.sort(np.abs(draws), axis=None) for draws in (a, b))
    for one, other, whose in ((x, y, "second"), (y, x, "first")):
        beyond = len(other) - int(np.searchsorted(other, one[-1], side="right"))
        # P(the largest m of both are of one) is the product of (n - i) / (n + n' - i), whatever the distribution
        # (Rosenbaum, Tables for a nonparametric test of location, 1954)
        i = np.arange(beyond)
        chance = float(np.log((len(other) - i) / (len(one) + len(other) - i)).sum())
        if chance < math.log(DIFFERENT_ODDS / share / 2):
            return f"{100 * beyond / len(other):.2g} % of the {whose}'s entries are beyond all of the other's"
    x, y = np.sort(a, axis=None), np.sort(b, axis=None)
    both = np.concatenate([x, y])
    shares = [np.searchsorted(draws, both, side="right") / len(draws) for draws in (x, y)]
    largest = float(np.abs(shares[0] - shares[1]).max())
    # P(D > d) <= e exp(-2 d^2 n n' / (n + n')) (Wei & Dudley, Two-sample Dvoretzky-Kiefer-Wolfowitz inequalities, 2012)
    if 1 - 2 * largest**2 * len(x) * len(y) / (len(x) + len(y)) < math.log(DIFFERENT_ODDS / share):
        return f"Kolmogorov's and Smirnov's statistic is {largest:.3g}"
    return ""


def _quantile(odds: float, freedom: float) -> float:
    """That a normal, or Student's t, is beyond on either side with these odds."""
    from scipy.special import ndtri, stdtrit

    return float(-ndtri(odds / 2) if math.isinf(freedom) else -stdtrit(freedom, odds / 2))
