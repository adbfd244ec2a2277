"""Two ports' operations side by side: the last result that they have in common, and the first that they do not. Pure.

Results are paired by value: two of one size are the same to within rounding if their entries, in increasing order,
differ by at most ``DIVERGES_FLOORS`` floors, whatever the layout. From the loss the search goes back through results
that have no partner; where it meets results that have one, the ports still agree. So a step that only one of them
takes, such as the variance beside a fused layer norm, is no divergence as long as what follows is common again.

Where every value agrees up to the loss, cotangents are held against each other from the loss back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradparity.judge.divergence import DIVERGES_FLOORS
from gradparity.worker.messages import Result, Traced

#: Sums behind the sorted entries of a result: the plain one first, last the one that depends on their order.
SUMS = 4
#: Entries of two results that are relatively further apart are not called two versions of one value.
RESEMBLES = 0.5
#: Operations that are known to end a gradient.
STOPS = ("detach", "stop_gradient", "getval", "item", "numpy", "data", "no_grad")

Entries = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parting:
    """Where two records part, in numbers of their results: first record, second record.

    ``agree`` is the last pair that is the same; ``here`` the first result of each that has no partner, or whose
    cotangent has none, ``None`` where there is none. ``reordered`` is since where what the first reads there is the
    same in another order only. ``missing``: on which sides no cotangent arrives. ``suspects`` are all results between
    there and the loss, the likeliest first; ``pairs`` what has a partner.
    """

    direction: Literal["forward", "backward"]
    agree: tuple[int, int] | None
    here: tuple[int | None, int | None]
    relative: float | None = None
    floors: float | None = None
    missing: tuple[bool, bool] = (False, False)
    reordered: tuple[int, int] | None = None
    suspects: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    pairs: tuple[tuple[int, int], ...] = ()


@dataclass
class Side:
    """One port's record: which result is the loss, which depend on parameters, and who reads what."""

    results: Sequence[Result]
    loss: int = -1
    alive: list[bool] = field(default_factory=list)
    readers: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, traced: Traced, params: Iterable[str]) -> Side:
        """The side of a record; ``params`` are the names of those of its leaves that are parameters."""
        side, names = cls(traced.results), set(params)
        for number, result in enumerate(side.results):
            side.alive.append(result.name in names or any(side.alive[each] for each in result.inputs))
            for each in result.inputs:
                side.readers[each].append(number)
        scalars = [n for n, r in enumerate(side.results) if r.operation and not r.part and _size(r) == 1]
        ends = [n for n in scalars if (c := side.results[n].cotangents) is not None and c[0, 0] == 1]
        side.loss = max(ends or scalars, default=-1)
        return side

    def back_from(self, number: int, known: Sequence[Any]) -> list[int]:
        """Results without a partner that a result is made of, itself among them, in order."""
        found, queue = set[int](), [number]
        while queue:
            each = queue.pop()
            if each not in found and not known[each]:
                found.add(each)
                queue += self.results[each].inputs
        return sorted(found)


def part(first: Traced, second: Traced, params: Iterable[str]) -> Parting | None:
    """Where two records of one model part; ``None`` where they do not, or where it cannot be told.

    Args:
        first: one port's record.
        second: another's, or that of the neutral loss.
        params: names of the parameters.
    """
    names = list(params)
    one, two = Side.of(first, names), Side.of(second, names)
    if one.loss < 0 or two.loss < 0:
        return None
    known = pairs(one.results, two.results)
    back = defaultdict[int, list[int]](list)
    for a, partners in enumerate(known):
        for b in partners:
            back[b].append(a)
    other = [back[b] for b in range(len(two.results))]
    if two.loss in known[one.loss]:
        return _backward(one, two, known)
    return _forward(one, two, known, other)


def pairs(first: Sequence[Result], second: Sequence[Result]) -> list[list[int]]:
    """Of each result of the first record the results of the second that are the same to within rounding.

    A parameter or an array of the data is the one of its name.
    """
    leaves = {result.name: number for number, result in enumerate(second) if result.name}
    sorted_by = _by_size(second)
    found = []
    for result in first:
        mine = [leaves[result.name]] if result.name in leaves else []
        like = sorted_by.get((_size(result), result.values.shape[1]))
        if like is not None:
            numbers, sums, widest = like
            total, near = result.values[0, -SUMS], DIVERGES_FLOORS * np.hypot(result.values[1, -SUMS], widest)
            finite = np.isfinite(total)
            low = np.searchsorted(sums, total - near) if finite else np.searchsorted(sums, np.inf)
            high = np.searchsorted(sums, total + near, "right") if finite else len(sums)
            mine += [int(n) for n in numbers[low:high] if _same(result.values, second[n].values)]
        found.append(sorted(set(mine)))
    return found


_BySize = dict[tuple[int, int], tuple[npt.NDArray[np.int64], Entries, float]]


def _by_size(results: Sequence[Result]) -> _BySize:
    """Results of each size in the order of their sums, those sums, and the widest floor of one.

    Those whose sum is no number are at the end.
    """
    by_size = defaultdict[tuple[int, int], list[int]](list)
    for number, result in enumerate(results):
        by_size[_size(result), result.values.shape[1]].append(number)
    found: _BySize = {}
    for key, numbers in by_size.items():
        sums = np.array([results[n].values[0, -SUMS] for n in numbers])
        sums = np.where(np.isfinite(sums), sums, np.inf)
        order = np.argsort(sums, kind="stable")
        widest = max(float(np.nan_to_num(results[n].values[1, -SUMS], posinf=0)) for n in numbers)
        found[key] = np.array(numbers)[order], sums[order], widest
    return found


def _size(result: Result) -> int:
    return int(np.prod(result.shape, dtype=np.int64)) * (2 if "c" in result.dtype else 1)


def _same(a: Entries, b: Entries) -> bool:
    """Whether entries and sums are the same to within their floors; the same infinity or nan is no difference."""
    return a.shape == b.shape and bool((_apart(a, b)[:-1] <= DIVERGES_FLOORS).all())


def _apart(a: Entries, b: Entries) -> Entries:
    """Floors between each two."""
    with np.errstate(all="ignore"):
        error = np.abs(a[0] - b[0])
        floors = np.where(error == 0, 0, error / np.hypot(a[1], b[1]))
    same = (a[0] == b[0]) | (np.isnan(a[0]) & np.isnan(b[0]))
    return np.where(same, 0, np.where(np.isnan(floors), np.inf, floors))


def _forward(one: Side, two: Side, known: list[list[int]], other: list[list[int]]) -> Parting:
    mine, theirs = one.back_from(one.loss, known), two.back_from(two.loss, other)
    a, b = _first_pair(one, two, mine, theirs, known)
    agree = _last_agreed(one, two, a, b, known, other)
    relative, floors = _figures(one, two, mine, theirs)
    return Parting(
        "forward",
        agree,
        (a, b),
        relative,
        floors,
        reordered=_reordered(one, two, a, known),
        suspects=(_suspects(one, mine, a), _suspects(two, theirs, b)),
        pairs=tuple((n, _partner(n, partners)) for n, partners in enumerate(known) if partners),
    )


def _beginnings(side: Side, apart: Sequence[int]) -> list[int]:
    """Of results without a partner those that are made of nothing but such as have one."""
    inside = set(apart)
    return [n for n in apart if not inside & set(side.results[n].inputs)] or list(apart)


def _first_pair(
    one: Side, two: Side, mine: Sequence[int], theirs: Sequence[int], known: Sequence[Sequence[int]]
) -> tuple[int, int]:
    """The two beginnings that share the most of what they read; of equals the earliest.

    Those that depend on parameters come first. Where one side has none, constants without a partner are what it is.
    """

    def score(a: int, b: int) -> tuple[float, int, int]:
        reads, theirs_reads = set(one.results[a].inputs), set(two.results[b].inputs)
        common = sum(bool(theirs_reads & set(known[each])) for each in reads)
        return (-common / max(1, len(reads | theirs_reads)), a, b)

    starts, their_starts = _beginnings(one, mine), _beginnings(two, theirs)
    live, their_live = [n for n in starts if one.alive[n]], [n for n in their_starts if two.alive[n]]
    if live and their_live:
        starts, their_starts = live, their_live
    else:
        starts = [n for n in starts if not one.alive[n]] or starts
        their_starts = [n for n in their_starts if not two.alive[n]] or their_starts
    return min(((a, b) for a in starts for b in their_starts), key=lambda ab: score(*ab))


def _partner(number: int, partners: Sequence[int]) -> int:
    """Of several the one nearest in order: repeated parts of a model are told apart by their places."""
    return min(partners, key=lambda each: abs(each - number))


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
        return max((n, _partner(n, known[n])) for n in reads)
    theirs = [m for m in two.results[b].inputs if other[m] and computed(two, m)]
    if theirs:
        m = max(theirs)
        return _partner(m, other[m]), m
    before = [(n, p) for n in range(a) if known[n] and computed(one, n) for p in known[n] if p < b and computed(two, p)]
    return max(before, default=None)


def _reordered(one: Side, two: Side, number: int, known: Sequence[Sequence[int]]) -> tuple[int, int] | None:
    """Since where what a result reads is, in the other record, in another order in memory; ``None`` if in the same."""

    def in_order(each: int) -> bool:
        values = one.results[each].values
        return any(_apart(values, two.results[b].values)[-1] <= DIVERGES_FLOORS for b in known[each])

    queue, first = [n for n in one.results[number].inputs if known[n]], None
    while queue:
        each = queue.pop()
        if not in_order(each) and one.results[each].operation and (first is None or each < first):
            first = each
            queue += [n for n in one.results[each].inputs if known[n]]
    return None if first is None else (first, _partner(first, known[first]))


def _figures(one: Side, two: Side, mine: Sequence[int], theirs: Sequence[int]) -> tuple[float | None, float | None]:
    """How far apart the first two results are that are versions of one value, relative and in floors."""
    for n in mine:
        best = None
        for m in theirs:
            a, b = one.results[n].values, two.results[m].values
            if not one.alive[n] or _size(one.results[n]) != _size(two.results[m]) or a.shape != b.shape:
                continue
            x, y = a[0, :-SUMS], b[0, :-SUMS]
            scale = np.abs(y).max(initial=0)
            if not (scale > 0 and np.isfinite(x).all() and np.isfinite(y).all()):
                continue
            relative = float(np.abs(x - y).max() / scale)
            if relative < RESEMBLES and (best is None or relative < best[0]):
                best = relative, float(_apart(a, b)[:-SUMS].max())
        if best is not None and best[1] > DIVERGES_FLOORS:
            return best[0], best[1] if np.isfinite(best[1]) else None
    return None, None


def _suspects(side: Side, apart: Sequence[int], first: int | None) -> tuple[int, ...]:
    """Results between a divergence and the loss, the first and what it is made of before all others."""
    order = sorted(apart, key=lambda n: (n != first, n not in _beginnings(side, apart), n))
    return tuple(order)


def _backward(one: Side, two: Side, known: Sequence[Sequence[int]]) -> Parting | None:
    """The common result, nearest to the loss, whose cotangents are not the same, and what reads it there."""
    for a in sorted((n for n, partners in enumerate(known) if partners and one.alive[n]), reverse=True):
        group, others = _equals(one, two, a, known)
        if not group or not others or a != min(group):
            continue  # of results with one value the first has what arrives at all that are made of it
        if _cotangents_agree(one, two, group, others) is not False:
            continue
        b = min(others)
        relative = _relative(one.results[a].cotangents, two.results[b].cotangents)
        missing = one.results[a].cotangents is None, two.results[b].cotangents is None
        ends = (_stop(one, a) if missing[0] else None, _stop(two, b) if missing[1] else None)
        back = [[n for n, partners in enumerate(known) if each in partners] for each in range(len(two.results))]
        if ends[0] is not None and ends[1] is None:
            a = next((n for n in one.results[ends[0]].inputs if known[n]), a)
            group, others = _equals(one, two, a, known)
            b = min(others, default=b)
        elif ends[1] is not None and ends[0] is None:
            b = next((n for n in two.results[ends[1]].inputs if back[n]), b)
            a = min(back[b], default=a)
            group, others = _equals(one, two, a, known)
        here = ends[0] or _reader(one, group), ends[1] or _reader(two, others)
        suspects = tuple(one.readers[a]), tuple(two.readers[b])
        return Parting("backward", (a, b), here, relative, None, missing, suspects=suspects)
    return None


def _stop(side: Side, number: int) -> int | None:
    """Where the gradient ends that does not arrive at a result: the first on the way to it without a cotangent.

    An operation that is known to stop one comes before all others.
    """
    silent, queue = set[int](), [number]
    while queue:
        each = queue.pop()
        result = side.results[each]
        if each not in silent and result.cotangents is None and result.operation and side.alive[each]:
            silent.add(each)
            queue += result.inputs
    stops = [n for n in silent if side.results[n].operation.strip("_") in STOPS]
    readers = [n for n in side.readers[number] if side.results[n].operation.strip("_") in STOPS]
    return min(stops or readers or silent, default=None)


def _equals(one: Side, two: Side, a: int, known: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """All results of each side that have the value of one; steps within a call that have no cotangent do not count."""

    def told(side: Side, number: int) -> bool:
        result = side.results[number]
        return side.alive[number] and not (result.part and result.cotangents is None)

    others = [b for b in known[a] if told(two, b)]
    return [n for n, partners in enumerate(known) if told(one, n) and set(partners) & set(others)], others


def _cotangents_agree(one: Side, two: Side, group: Sequence[int], others: Sequence[int]) -> bool | None:
    """Whether what arrives at one value is the same on both sides; ``None`` where that cannot be told."""
    roots, their_roots = _roots(one, group), _roots(two, others)
    if len(roots) == 1 and len(their_roots) == 1:
        a, b = one.results[roots[0]].cotangents, two.results[their_roots[0]].cotangents
        if a is None or b is None:
            return a is b or not np.any((a if b is None else b)[0])  # type: ignore[index]
        return _same(a, b)
    sums = [_sum(one, roots), _sum(two, their_roots)]
    (x, u), (y, v) = sums
    return None if not np.isfinite(x + y) else bool(abs(x - y) <= DIVERGES_FLOORS * np.hypot(u, v))


def _roots(side: Side, group: Sequence[int]) -> list[int]:
    """Of results with one value those that are not made of another, as a reshaped one is."""
    inside = set(group)
    return [n for n in group if not inside & set(side.results[n].inputs)]


def _sum(side: Side, numbers: Sequence[int]) -> tuple[float, float]:
    given = [c[:, -SUMS] for n in numbers if (c := side.results[n].cotangents) is not None]
    return float(sum(c[0] for c in given)), float(np.sqrt(sum(c[1] ** 2 for c in given)))


def _relative(a: Entries | None, b: Entries | None) -> float | None:
    if a is None or b is None or a.shape != b.shape:
        return None
    x, y = a[0, :-SUMS], b[0, :-SUMS]
    scale = np.abs(y).max(initial=0)
    return float(np.abs(x - y).max() / scale) if scale > 0 and np.isfinite(x - y).all() else None


def _reader(side: Side, group: Sequence[int]) -> int | None:
    """What reads a value and lets no cotangent through, or another one than it should: a known stop before all."""
    readers = sorted({n for each in group for n in side.readers[each] if side.results[n].operation})
    stops = [n for n in readers if side.results[n].operation.strip("_") in STOPS]
    silent = [n for n in readers if side.results[n].cotangents is None]
    return next(iter(stops or silent or readers), None)
