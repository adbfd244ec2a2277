"""Why a sharded gradient is wrong: what the ranks' shares make where they are put together otherwise. Pure.

The gradients of each rank's rows alone are known, and the whole is a sum of theirs, or a mean. An explanation holds
only if it accounts for every entry to within the noise floor, and is clearly not the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradparity.numerics.extended import Extended

#: How many times further than an agreeing value may be from the truth an explanation is from it, at least.
CLEAR = 16.0
#: What a bucket gives that is filled after it was reduced, or not again.
STALE = "that at the parameters of the call before: a stale bucket"


@dataclass(frozen=True)
class Shares:
    """One block of a loss or a gradient: of all rows, and of those of each rank alone, each with its noise floor.

    ``kind`` is what the loss is over rows; ``before`` the truth at the parameters of the call before, if it is known;
    ``replicated``, whether all ranks gave the same.
    """

    kind: Literal["sum", "mean"]
    rows: Sequence[slice]
    truth: Extended
    floor: Extended
    parts: Sequence[Extended]
    floors: Sequence[Extended]
    before: Extended | None = None
    replicated: bool = True

    @property
    def ranks(self) -> int:
        """How many there are."""
        return len(self.rows)


def explain(got: Any, shares: Shares, most: float) -> str:
    """What holds of a value that is wrong; ``""`` where nothing does. Up to ``most`` floors agree."""
    if np.shape(got) != np.shape(shares.truth) or not np.isfinite(got).all():
        return ""
    value = np.asarray(got, np.longdouble)
    tried = (each for each in _candidates(shares) if _holds(value, *each[1:], shares, most))
    return next(tried, ("",))[0]


def _holds(value: Any, candidate: Any, floor: Any, shares: Shares, most: float) -> bool:
    near = (np.abs(value - candidate) <= most * floor).all()
    return bool(near and (np.abs(candidate - shares.truth) > CLEAR * most * floor).any())


def _candidates(shares: Shares) -> Iterator[tuple[str, Any, Any]]:
    """What may have been put together, in words, with its value and its noise floor; what is likelier comes first."""
    n, sizes = shares.ranks, [each.stop - each.start for each in shares.rows]
    mean, one, none = shares.kind == "mean", np.longdouble(1), [np.longdouble(0)] * shares.ranks
    weights = [np.longdouble(size) / sum(sizes) if mean else one for size in sizes]

    def made(words: str, counts: Sequence[Any], whole: Any = 0) -> tuple[str, Any, Any]:
        value = whole * shares.truth + sum(c * part for c, part in zip(counts, shares.parts, strict=True))
        floor = abs(whole) * shares.floor + sum(abs(c) * f for c, f in zip(counts, shares.floors, strict=True))
        return words, value, np.maximum(floor, shares.floor)

    if n > 1:
        times, part = f"factor {n}, the number of ranks", f"factor 1/{n}, one over the number of ranks"
        if mean and len(set(sizes)) > 1:
            yield made(f"a mean of the ranks' means: they have {_list(sizes)} rows, and count alike", [one / n] * n)
            yield made("the ranks' means are summed where they should be averaged", [one] * n)
            yield made(f"{times}: summed over them once too often", none, one * n)
        elif mean:
            yield made(f"{times}: their means are summed, or the whole is summed over them", none, one * n)
        else:
            yield made(f"{part}: averaged over them where the loss is a sum over rows", [one / n] * n)
            yield made(f"{times}: summed over them once too often", none, one * n)
            yield made(f"what has no rows, a penalty, is counted by each of the {n} ranks", [one] * n)
        yield made(f"{part}: averaged over them once too often", none, one / n)
        alone = [each for rank in range(n) for each in _alone(shares, rank, weights[rank], made)]
        yield from () if shares.replicated else alone
        for rank, rows in enumerate(shares.rows):
            less = [-weights[rank] * (i == rank) for i in range(n)]
            yield made(f"without the share of rank {rank}: {_rows(rows)} are missing", less, one)
            for other, instead in enumerate(shares.rows):
                counts = [count + weights[rank] * (i == other) for i, count in enumerate(less)]
                words = f"as if rank {rank} had the rows of rank {other}: {_rows(instead)} count for {_rows(rows)}"
                yield made(words, counts, one)
        yield from alone if shares.replicated else ()
    if shares.before is not None:
        yield STALE, shares.before, shares.floor


def _alone(shares: Shares, rank: int, weight: Any, made: Any) -> Iterator[tuple[str, Any, Any]]:
    """What is of the rows of one rank alone."""
    words = f"that of {_rows(shares.rows[rank])} alone, those of rank {rank}"
    words += "" if shares.replicated else ": not reduced"
    this = [np.longdouble(1) * (i == rank) for i in range(shares.ranks)]
    yield made(words, this)
    if shares.kind == "mean":
        yield made(words, [weight * each for each in this])
        yield made(f"{words}, and divided by the number of ranks", [each / shares.ranks for each in this])


def _rows(rows: slice) -> str:
    return f"rows {rows.start} to {rows.stop - 1}" if rows.stop - rows.start > 1 else f"row {rows.start}"


def _list(sizes: Sequence[int]) -> str:
    return f"{', '.join(map(str, sizes[:-1]))} and {sizes[-1]}"
