"""Where a port diverges, once an edit of it is proven: where the edit first changes a value, and who else has that."""

from __future__ import annotations

from collections.abc import Sequence

from gradparity.judge.alignment.records import Side, pairs
from gradparity.worker.messages import Result, Traced


def changed_by_cure(
    broken: Traced,
    cured: Traced,
    other: Traced,
    edited: tuple[str, int, int, int],
    params: Sequence[str],
    *,
    by_order: bool = False,
) -> tuple[int, int] | None:
    """The first result that an edit changes, by its number in the cured port; and the other port's that goes with it.

    That is the partner of the first on the same line that is computed from what was ``edited`` (file, line, first and
    end column), of the first on that line, or of the first beyond that has one. Where no value is changed, as by a
    stop, it is of the last on the edited line. ``by_order``: the edit moves entries about, and what is only in another
    order is not changed. ``None`` where nothing there has a partner.
    """
    changed = [n for n in _changed(broken.results, cured.results, by_order) if cured.results[n].place[1]]
    stopped = not changed
    changed = changed or [n for n, each in enumerate(cured.results) if each.place[:2] == edited[:2] and _new(cured, n)]
    if not changed:
        return None
    loss, line = Side.of(cured, params).loss, cured.results[changed[0]].place[:2]
    known = [
        [b for b in partners if other.results[b].operation and other.results[b].place[1]]
        for partners in pairs(cured.results, other.results)
    ]
    beyond = [n for n in changed if n != loss and known[n]]
    own = [n for n in beyond if cured.results[n].place[:2] == line]
    around = own[-1:] if stopped else [n for n in own if _around(cured.results[n].place, edited)]
    if around or own or beyond:
        return changed[0], known[(around or own or beyond)[0]][0]
    end = Side.of(other, params).loss
    return (changed[0], end) if loss in changed and end >= 0 else None


def _new(traced: Traced, number: int) -> bool:
    """Whether a result is another value than those that it is made of, as one that is stopped is not."""
    result = traced.results[number]
    return _value(result) not in {_value(traced.results[each]) for each in result.inputs}


def _around(place: tuple[str, int, int, int, int], edited: tuple[str, int, int, int]) -> bool:
    file, line, end_line, column, end_column = place
    begins = (file, line) == edited[:2] and column <= edited[2]
    return begins and (end_line > line or end_column >= edited[3])


def _changed(broken: Sequence[Result], cured: Sequence[Result], by_order: bool) -> list[int]:
    """Results that the port did not have before, exactly; where one precision was another to within rounding."""
    if [_leaf(each) for each in broken] != [_leaf(each) for each in cured]:
        dtypes = [{each.name: each.dtype for each in results if each.name} for results in (broken, cured)]
        if dtypes[0] != dtypes[1]:
            partners = pairs(cured, broken)
            return [n for n, each in enumerate(cured) if each.operation and not partners[n]]
        before = {_value(each, by_order) for each in broken}
        return [n for n, each in enumerate(cured) if each.operation and _value(each, by_order) not in before]
    pairs_of_one = enumerate(zip(broken, cured, strict=True))
    return [n for n, (one, two) in pairs_of_one if _value(one, by_order) != _value(two, by_order)]


def _leaf(each: Result) -> tuple[str, str, str]:
    """What tells whether two records have the same steps on the same inputs."""
    return each.operation, each.name, each.dtype if each.name else ""


def _value(each: Result, by_order: bool = False) -> tuple[str, bytes]:
    """Its entries; ``by_order``: without the sum that depends on their order."""
    return each.dtype, each.values[0, : -1 if by_order else None].tobytes()
