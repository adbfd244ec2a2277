"""Where cotangents part on the way back, of ports whose values agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from gradparity.judge.alignment.records import SUMS, Parting, Side, relative_of, same
from gradparity.judge.divergence import DIVERGES_FLOORS

#: Operations that are known to end a gradient.
STOPS = ("detach", "stop_gradient", "stop", "getval", "item", "numpy", "data", "no_grad")


def backward(one: Side, two: Side, known: Sequence[Sequence[int]]) -> Parting | None:
    """The common result, nearest to the loss, whose cotangents are not the same, and what reads it there."""
    for a in sorted((n for n, partners in enumerate(known) if partners and one.alive[n]), reverse=True):
        group, others = _equals(one, two, a, known)
        if not group or not others or a != min(group):
            continue  # of results with one value the first has what arrives at all that are made of it
        if _cotangents_agree(one, two, group, others) is not False:
            continue
        b = min(others)
        relative = relative_of(one.results[a].cotangents, two.results[b].cotangents)
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
        here = _readers(one, two, group, others, known, ends)
        missing = _known(one, ends[0]), _known(two, ends[1])
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


def _known(side: Side, number: int | None) -> bool:
    """Whether it is known to stop a gradient: within a function that has a rule of its own none is seen to flow."""
    return number is not None and side.results[number].operation.strip("_") in STOPS


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
    silent = [n for n in reads if one.results[n].cotangents is None]
    theirs_silent = [n for n in their_reads if two.results[n].cotangents is None]
    if here is None:
        here = next(iter(silent or reads), None)
    if there is None:
        there = next(iter(theirs_silent or their_reads), None)
    return here, there


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
