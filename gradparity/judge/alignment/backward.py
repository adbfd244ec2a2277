"""Where cotangents diverge on the way back, of ports whose values agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from gradparity.judge.alignment.records import SUMS, FirstDivergence, Side, relative_of, same
from gradparity.judge.divergence import DIVERGES_FLOORS

#: Operations that are known to end a gradient.
STOPS = ("detach", "stop_gradient", "stop", "getval", "item", "numpy", "data", "no_grad")


def backward(
    one: Side, two: Side, known: Sequence[Sequence[int]], other: Sequence[Sequence[int]]
) -> FirstDivergence | None:
    """The common result, nearest to the loss, whose cotangents are not the same, and what reads it there.

    ``known`` and ``other`` are the partners of each result.
    """
    first: dict[int, int] = {}  # of the results that share a list of partners
    for n, partners in enumerate(known):
        if partners and _told(one, n):
            first.setdefault(id(partners), n)
    for a in sorted(first.values(), reverse=True):
        group, others = _equals(one, two, known[a], other)
        if not group or not others or a != min(group):
            continue  # of results with one value the first has what arrives at all that are made of it
        if _cotangents_agree(one, two, group, others) is not False:
            continue
        b = min(others)
        relative = relative_of(one.results[a].cotangents, two.results[b].cotangents)
        missing = one.results[a].cotangents is None, two.results[b].cotangents is None
        ends = (_stop(one, a) if missing[0] else None, _stop(two, b) if missing[1] else None)
        if ends[0] is not None and ends[1] is None:
            a = next((n for n in one.results[ends[0]].inputs if known[n]), a)
            group, others = _equals(one, two, known[a], other)
            b = min(others, default=b)
        elif ends[1] is not None and ends[0] is None:
            b = next((n for n in two.results[ends[1]].inputs if other[n]), b)
            a = min(other[b], default=a)
            group, others = _equals(one, two, known[a], other)
        here = _readers(one, two, group, others, known, ends)
        missing = _known(one, ends[0]), _known(two, ends[1])
        suspects = _by_rule(one, one.readers[a]), _by_rule(two, two.readers[b])
        return FirstDivergence("backward", (a, b), here, relative, None, missing, suspects=suspects)
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


def _by_rule(side: Side, numbers: Sequence[int]) -> tuple[int, ...]:
    """The same, before all others what is differentiated by a rule of the user's: within it no cotangent is seen."""
    return tuple(sorted(numbers, key=lambda n: not side.results[n].rule[1]))


def _known(side: Side, number: int | None) -> bool:
    """Whether it is known to stop a gradient: within a function that has a rule of its own none is seen to flow."""
    return number is not None and side.results[number].operation.strip("_") in STOPS


def _told(side: Side, number: int) -> bool:
    """Whether a result depends on parameters and would have a cotangent of its own."""
    result = side.results[number]
    return side.alive[number] and not (result.part and result.cotangents is None)


def _equals(
    one: Side, two: Side, partners: Sequence[int], other: Sequence[Sequence[int]]
) -> tuple[list[int], list[int]]:
    """All results of each side that have the value of one; steps in a call that have no cotangent do not count."""
    others = [b for b in partners if _told(two, b)]
    back = {id(other[b]): other[b] for b in others}
    return sorted({n for each in back.values() for n in each if _told(one, n)}), others


def _cotangents_agree(one: Side, two: Side, group: Sequence[int], others: Sequence[int]) -> bool | None:
    """Whether what arrives at one value is the same on both sides; ``None`` where that cannot be told."""
    roots, their_roots = _roots(one, group), _roots(two, others)
    if len(roots) == 1 and len(their_roots) == 1:
        a, b = one.results[roots[0]].cotangents, two.results[their_roots[0]].cotangents
        if a is None or b is None:
            return a is b or not np.any((a if b is None else b)[0])  # type: ignore[index]
        return same(a, b)
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


def _readers(
    one: Side,
    two: Side,
    group: Sequence[int],
    others: Sequence[int],
    known: Sequence[Sequence[int]],
    ends: tuple[int | None, int | None],
) -> tuple[int | None, int | None]:
    """What reads a value and lets another cotangent through than the other side: a known stop before all.

    Beside a stop on one side it is on the other what reads the value in the place of what reads the stop's result.
    """
    reads, their_reads = _reading(one, group), _reading(two, others)
    stop = ends[0] if ends[0] is not None else next(iter(_stops(one, reads)), None)
    their_stop = ends[1] if ends[1] is not None else next(iter(_stops(two, their_reads)), None)
    here, there = stop, their_stop
    if stop is not None and their_stop is None:
        beyond = {b for n in _past(one, stop, group) for b in known[n]}
        there = next((b for b in their_reads if b in beyond), None)
    elif their_stop is not None and stop is None:
        beyond = _past(two, their_stop, others)
        here = next((a for a in reads if beyond & set(known[a])), None)
    silent = _silent(one, reads)
    theirs_silent = _silent(two, their_reads)
    if here is None:
        here = next(iter(_by_rule(one, silent or reads)), None)
    if there is None:
        there = next(iter(_by_rule(two, theirs_silent or their_reads)), None)
    return here, there


def _silent(side: Side, numbers: Sequence[int]) -> list[int]:
    """Those without a cotangent, unless one has a rule of the user's: then they may be within what it is for."""
    ruled = any(side.results[n].rule[1] for n in numbers)
    return [] if ruled else [n for n in numbers if side.results[n].cotangents is None]


def _past(side: Side, number: int, group: Collection[int]) -> set[int]:
    """What reads a result, or one that is made of it and has the same value, such as its transpose."""
    found, queue = set[int](), list(side.readers[number])
    while queue:
        each = queue.pop()
        found.add(each)
        if each in group:
            queue += side.readers[each]
    return found


def _reading(side: Side, group: Sequence[int]) -> list[int]:
    return sorted({n for each in group for n in side.readers[each] if side.results[n].operation})


def _stops(side: Side, numbers: Iterable[int]) -> list[int]:
    return [n for n in numbers if side.results[n].operation.strip("_") in STOPS]
