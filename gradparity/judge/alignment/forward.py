"""Where values diverge on the way to the loss."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import numpy as np

from gradparity.judge.alignment.records import (
    SUMS,
    Entries,
    FirstDivergence,
    Side,
    floors_between,
    nearest,
    pairs,
    relative_of,
    size_of,
)
from gradparity.judge.divergence import DIVERGES_FLOORS

#: Entries of two results that are relatively further apart are not called versions of one value. Where no line tells
#: that they are, values alone must: sorted, those of two layers' activations come within a half by chance, and so does
#: any number with another on its line. Two losses are always of one value.
RESEMBLES, RESEMBLES_ANYWHERE = 0.5, 0.01
#: Of a result's place what tells an expression from others, and a line: lines of several layers' calls are common.
PLACE, LINE = slice(None), slice(2)
#: Operations that take entries one by one: what they make of inputs in one order is in that order.
ELEMENTWISE = ("add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "truediv")


def forward(one: Side, two: Side, known: list[list[int]], other: list[list[int]]) -> FirstDivergence:
    """Where two records diverge whose losses differ; ``known`` and ``other`` are the partners of each result."""
    mine, theirs = one.back_from(one.loss, known), two.back_from(two.loss, other)
    a, b = _first_pair(one, two, mine, theirs, known)
    reordered = _reordered(one, two, a, known)
    if reordered is not None and one.results[reordered[0]].operation.strip("_") in ELEMENTWISE:
        (a, b), reordered = reordered, None
    agree = _last_agreed(one, two, a, b, known, other)
    unmatched = [n for n, partners in enumerate(other) if not partners]
    ends = [(_ends(one, mine, a, it), _ends(two, theirs, b, its)) for its in (PLACE, LINE) for it in (PLACE, LINE)]
    found = (
        *(_figures(one, two, [each], [its], RESEMBLES) for each, its in ends),
        _figures(one, two, mine, unmatched, RESEMBLES_ANYWHERE),
    )
    relative, floors = next((figures for figures in found if figures is not None), (None, None))
    return FirstDivergence(
        "forward",
        agree,
        (a, b),
        relative,
        floors,
        reordered=reordered,
        suspects=(_suspects(one, mine, a), _suspects(two, theirs, b)),
    )


def _beginnings(side: Side, apart: Sequence[int], alike: Collection[int] = ()) -> list[int]:
    """Of results without a partner those that are made of nothing but such as have one, or are ``alike``."""
    inside = set(apart) - set(alike)
    return [n for n in apart if n in inside and not inside & set(side.results[n].inputs)] or list(apart)


def _first_pair(
    one: Side, two: Side, mine: Sequence[int], theirs: Sequence[int], known: Sequence[Sequence[int]]
) -> tuple[int, int]:
    """The two beginnings that share the most of what they read; of equals the earliest.

    Those that depend on parameters come first. Where one side has none, it is for constants without a partner, if both
    have such, or for what reads them. Constants of the other sign are no difference.
    """

    def score(a: int, b: int) -> tuple[float, int, int]:
        reads, theirs_reads = set(one.results[a].inputs), set(two.results[b].inputs)
        common = sum(bool(theirs_reads & set(known[each])) for each in reads)
        return (-common / max(1, len(reads | theirs_reads)), a, b)

    fixed, their_fixed = (
        [n for n in apart if not side.alive[n] and not _literal(side, n)]
        for side, apart in ((one, mine), (two, theirs))
    )
    alike = _negatives(one, two, fixed), _negatives(two, one, their_fixed)
    starts, their_starts = _beginnings(one, mine, alike[0]), _beginnings(two, theirs, alike[1])
    live, their_live = [n for n in starts if one.alive[n]], [n for n in their_starts if two.alive[n]]
    if not (live and their_live) and fixed and their_fixed:
        starts, their_starts = [n for n in starts if not one.alive[n]], [n for n in their_starts if not two.alive[n]]
    else:
        starts, their_starts = (
            live or _beginnings(one, mine, fixed),
            their_live or _beginnings(two, theirs, their_fixed),
        )
    return min(((a, b) for a in starts or mine for b in their_starts or theirs), key=lambda ab: score(*ab))


def _literal(side: Side, number: int) -> bool:
    """Whether it is a number that a framework's own function puts on an array."""
    result = side.results[number]
    return result.part and not result.inputs and size_of(result) == 1


def _negatives(side: Side, other: Side, numbers: Sequence[int]) -> list[int]:
    """Those whose negative the other side has."""

    def negative(values: Entries) -> Entries:
        entries, sums = values[:, :-SUMS], values[:, -SUMS:]
        flipped: Entries = np.concatenate([entries[:, ::-1], sums], axis=1) * np.array([[-1.0], [1.0]])
        flipped[0, -2] *= -1  # of magnitudes
        return flipped

    negatives = [msgspec.structs.replace(side.results[n], values=negative(side.results[n].values)) for n in numbers]
    partners = pairs(negatives, [result for n, result in enumerate(other.results) if not other.alive[n]])
    return [n for n, found in zip(numbers, partners, strict=True) if found]


def _last_agreed(
    one: Side, two: Side, a: int, b: int, known: Sequence[Sequence[int]], other: Sequence[Sequence[int]]
) -> tuple[int, int] | None:
    """The last common result, before a divergence, that depends on parameters and was computed."""

    def computed(side: Side, number: int) -> bool:
        return bool(side.results[number].operation) and side.alive[number] and bool(side.results[number].place[1])

    reads = [n for n in one.results[a].inputs if known[n] and computed(one, n)]
    shared = [(n, m) for n in reads for m in known[n] if m in two.results[b].inputs]
    if shared:
        return max(shared)
    if reads:
        return max((n, nearest(n, known[n])) for n in reads)
    theirs = [m for m in two.results[b].inputs if other[m] and computed(two, m)]
    if theirs:
        m = max(theirs)
        return nearest(m, other[m]), m
    for n in (n for n in reversed(range(a)) if computed(one, n)):
        p = max((p for p in known[n] if p < b and computed(two, p)), default=None)
        if p is not None:
            return n, p
    return None


def _reordered(one: Side, two: Side, number: int, known: Sequence[Sequence[int]]) -> tuple[int, int] | None:
    """Since where what a result reads is, in the other record, in another order in memory; ``None`` if in the same."""

    def in_order(each: int) -> bool:
        values = one.results[each].values
        return any(floors_between(values, two.results[b].values)[-1] <= DIVERGES_FLOORS for b in known[each])

    queue, first = [n for n in one.results[number].inputs if known[n]], None
    while queue:
        each = queue.pop()
        if not in_order(each) and one.results[each].operation and (first is None or each < first):
            first = each
            queue += [n for n in one.results[each].inputs if known[n]]
    return None if first is None else (first, nearest(first, known[first]))


def _ends(side: Side, apart: Sequence[int], first: int, known_by: slice) -> int:
    """The last result that an expression or its line makes, of those without a partner that follow its first."""
    place, last = side.results[first].place[known_by], first
    for number in (n for n in apart if n > first):
        if side.results[number].place[known_by] != place:
            break
        last = number
    return last


def _figures(
    one: Side, two: Side, mine: Sequence[int], theirs: Sequence[int], within: float
) -> tuple[float, float | None] | None:
    """How far apart the first two results are that are versions of one value, relative and in floors."""
    for n in mine:
        a, size, sizes = one.results[n].values, size_of(one.results[n]), []
        for m in (m for m in theirs if size_of(two.results[m]) == size):
            most = within if size > 1 or (n, m) == (one.loss, two.loss) else RESEMBLES_ANYWHERE
            if (relative := relative_of(a, two.results[m].values)) is not None and relative < most:
                sizes.append((relative, two.results[m].values))
        if one.alive[n] and sizes:
            relative, b = min(sizes, key=lambda pair: pair[0])
            floors = float(floors_between(a, b)[:-SUMS].max(initial=0))
            if floors > DIVERGES_FLOORS:
                return relative, floors if np.isfinite(floors) else None
    return None


def _suspects(side: Side, apart: Sequence[int], first: int | None) -> tuple[int, ...]:
    """Results between a divergence and the loss, the first and what it is made of before all others."""
    beginnings = set(_beginnings(side, apart))
    return tuple(sorted(apart, key=lambda n: (n != first, n not in beginnings, n)))
