"""Two records of operations, and which results of theirs are the same to within rounding."""

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

Entries = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FirstDivergence:
    """Where two records first diverge, in numbers of their results: first record, second record.

    ``agree`` is the last pair that is the same; ``here`` the first result of each that has no partner, or whose
    cotangent has none, ``None`` where there is none. ``reordered`` is since where what the first reads there is the
    same in another order only. ``missing``: on which sides a known stop lets no cotangent through. ``suspects`` are all
    results between there and the loss, the likeliest first; ``pairs`` what has a partner.
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
        scalars = [n for n, r in enumerate(side.results) if r.operation and not r.part and size_of(r) == 1]
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


def pairs(first: Sequence[Result], second: Sequence[Result]) -> list[list[int]]:
    """Of each result of the first record the results of the second that are the same to within rounding.

    A parameter or an array of the data is the one of its name.
    """
    leaves = {(result.name, result.shape): number for number, result in enumerate(second) if result.name}
    by_size = _by_size(second)
    known: dict[bytes, list[int]] = {}  # a loop has many results of one value: each value is looked up once
    found = []
    for result in first:
        key = result.values.tobytes()
        if key not in known:
            like = by_size.get(_kind(result))
            known[key] = [] if like is None else like.partners(result.values)
        leaf = leaves.get((result.name, result.shape))
        found.append(known[key] if leaf is None or leaf in known[key] else sorted([*known[key], leaf]))
    return found


def inverse(known: Sequence[list[int]], count: int) -> list[list[int]]:
    """The partners of each of ``count`` results of the second record; those of one value share a list, as they do."""
    having = defaultdict[int, list[int]](list)  # who has a list of partners, by its identity
    lists = {}
    for a, partners in enumerate(known):
        having[id(partners)].append(a)
        lists[id(partners)] = partners
    within = defaultdict[int, list[int]](list)
    for each, partners in lists.items():
        for b in partners:
            within[b].append(each)
    found: dict[tuple[int, ...], list[int]] = {}
    for b in range(count):
        key = tuple(within[b])
        if key not in found:
            found[key] = sorted(a for each in key for a in having[each])
    return [found[tuple(within[b])] for b in range(count)]


def _kind(result: Result) -> tuple[int, int]:
    return size_of(result), result.values.shape[1]


@dataclass
class _Values:
    """Values of one size, each once, in the order of their sums; those whose sum is no number are at the end.

    ``numbers`` are the results that have each value, and ``widest`` is the widest floor of a sum.
    """

    values: list[Entries]
    sums: Entries
    numbers: list[list[int]]
    widest: float

    def partners(self, values: Entries) -> list[int]:
        """Results whose value is the same."""
        total, near = values[0, -SUMS], DIVERGES_FLOORS * np.hypot(values[1, -SUMS], self.widest)
        finite = np.isfinite(total)
        low = int(np.searchsorted(self.sums, total - near if finite else np.inf))
        high = int(np.searchsorted(self.sums, total + near, "right")) if finite else len(self.sums)
        return sorted(n for i in range(low, high) if same(values, self.values[i]) for n in self.numbers[i])


def _by_size(results: Sequence[Result]) -> dict[tuple[int, int], _Values]:
    by_size = defaultdict[tuple[int, int], dict[bytes, list[int]]](dict)
    for number, result in enumerate(results):
        by_size[_kind(result)].setdefault(result.values.tobytes(), []).append(number)
    found = {}
    for kind, numbers in by_size.items():
        groups = list(numbers.values())
        sums = np.array([results[group[0]].values[0, -SUMS] for group in groups])
        sums = np.where(np.isfinite(sums), sums, np.inf)
        order = np.argsort(sums, kind="stable")
        widest = max(float(np.nan_to_num(results[group[0]].values[1, -SUMS], posinf=0)) for group in groups)
        sorted_groups = [groups[i] for i in order]
        found[kind] = _Values([results[g[0]].values for g in sorted_groups], sums[order], sorted_groups, widest)
    return found


def size_of(result: Result) -> int:
    """How many real numbers it has."""
    return int(np.prod(result.shape, dtype=np.int64)) * (2 if "c" in result.dtype else 1)


def same(a: Entries, b: Entries) -> bool:
    """Whether entries and sums are the same to within their floors; the same infinity or nan is no difference."""
    return a.shape == b.shape and bool((floors_between(a, b)[:-1] <= DIVERGES_FLOORS).all())


def floors_between(a: Entries, b: Entries) -> Entries:
    """Floors between each two."""
    with np.errstate(all="ignore"):
        error = np.abs(a[0] - b[0])
        floors = np.where(error == 0, 0, error / np.hypot(a[1], b[1]))
    same = (a[0] == b[0]) | (np.isnan(a[0]) & np.isnan(b[0]))
    return np.where(same, 0, np.where(np.isnan(floors), np.inf, floors))


def nearest(number: int, partners: Sequence[int]) -> int:
    """Of several the one nearest in order: repeated parts of a model are told apart by their places."""
    return min(partners, key=lambda each: abs(each - number))


def relative_of(a: Entries | None, b: Entries | None) -> float | None:
    """The largest difference of sorted entries over the largest magnitude; ``None`` where it is no number."""
    if a is None or b is None or a.shape != b.shape:
        return None
    x, y = a[0, :-SUMS], b[0, :-SUMS]
    scale = np.abs(y).max(initial=0)
    return float(np.abs(x - y).max() / scale) if scale > 0 and np.isfinite(x - y).all() else None
