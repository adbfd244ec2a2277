"""Piecewise functions: which branch, decided with certainty, and every tie recorded.

A branch is chosen by the sign of a difference ``d(t) = d_0 + d_1 t + d_2 t^2``. Where ``d_0`` is proven to be exactly
zero, ``t`` small and on the context's side of zero decides by the first non-zero coefficient: that gives the
one-sided derivatives. A difference that is neither proven zero nor told apart from it raises UndecidedError, and the
engine doubles the precision. Dyadic inputs make sums and products exact at some precision, so ties of linear pieces
are always found; the same object on both sides is a proof of equality at any precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
from flint import arb

from gradparity.truth.numbers import midrad
from gradparity.truth.numbers.arrays import Array, asarray, named
from gradparity.truth.numbers.balls import ZERO, Coefficient, box, exact, fill, infinities, unravel
from gradparity.truth.numbers.context import Kink, NotCertifiableError, UndecidedError, current
from gradparity.truth.numbers.draws import question
from gradparity.truth.numbers.enclosure import is_infinite
from gradparity.truth.numbers.midrad import MidRad
from gradparity.truth.numbers.tape import Traced, traced, untraced
from gradparity.truth.xp.arithmetic import multiply, negative, subtract


def signs(x: Array, name: str, index: tuple[int, ...] | None = None, *, moves: bool = False) -> Coefficient:
    """Sign of each element for small t on the context's side: int64 array of -1, 0, +1, same shape.

    A tie at t = 0 of something that depends on t is recorded as a kink of `name` (at `index`, where given). Where no
    direction says what does, enclosures of what `moves`, or is traced, are taken to.

    Raises:
        UndecidedError: a coefficient that decides is neither proven zero nor told apart from it.
    """
    X = x.balls()
    if current().extended:
        tied, forced = current().tied(lambda: box(X[0] == 0), x.shape), current().forced
        out = question(lambda c: np.sign(c).astype(np.int64), X[0], tied)
        if forced is not None and len(X) > 1:
            out = np.where(tied & (X[1] != 0), forced.signs(out.shape), out)
        return out
    if isinstance(X[0], MidRad):
        return _signs_of_enclosures(X, name, index, (moves or isinstance(x, Traced)) and not current().order)
    flat = [c.ravel() for c in X]
    out = np.empty(x.size, dtype=np.int64)
    for position, value in enumerate(flat[0]):
        if value > 0:
            out[position] = 1
        elif value < 0:
            out[position] = -1
        else:
            here = unravel(position, x.shape) if index is None else index
            out[position] = _sign_at_tie(value, [c[position] for c in flat[1:]], name, here)
    return out.reshape(x.shape)


def _signs_of_enclosures(X: Any, name: str, index: tuple[int, ...] | None, moves: bool) -> Coefficient:
    out, undecided = midrad.signs(X[0])
    if undecided.any():
        raise UndecidedError(name, _first(undecided) if index is None else index)
    if len(X) > 1:
        for place in map(tuple, np.argwhere(out == 0).tolist()):
            rest = [midrad.balls(c[place]).item() for c in X[1:]]
            out[place] = _sign_at_tie(ZERO, rest, name, place if index is None else index)
    elif moves and not out.all():
        current().kinks.append(Kink(name, _first(out == 0) if index is None else index, active=False))
    return out


def _first(where: Coefficient) -> tuple[int, ...]:
    return unravel(int(np.argmax(where)), where.shape)


def _sign_at_tie(value: arb, rest: list[arb], name: str, index: tuple[int, ...]) -> int:
    if not value.is_zero():
        raise UndecidedError(name, index)
    context = current()
    if not rest and not (context.midrad and not context.order):
        return 0
    for k, coefficient in enumerate(rest, start=1):
        if coefficient.is_zero():
            continue
        if not (coefficient > 0 or coefficient < 0):
            raise UndecidedError(name, index)
        context.kinks.append(Kink(name, index, active=True))
        if context.forced is not None:
            return int(context.forced.signs(()))
        turn = 1 if coefficient > 0 else -1
        return turn if context.side > 0 or (k % 2 == 0 and context.side) else turn * context.side
    context.kinks.append(Kink(name, index, active=False))
    return 0


def difference(a: Any, b: Any) -> Array:
    """``a - b`` where one object on both sides gives the exact zero, whatever its radius.

    A ball is one true number, so equal to itself; one that is no number proves nothing, as NaN equals nothing. An
    infinity equals itself as well, in IEEE 754.
    """
    a, b = untraced(asarray(a)), untraced(asarray(b))
    if current().extended or current().midrad:
        return subtract(a, b)
    subtract_same = np.frompyfunc(_gap, 2, 1)
    shape = np.broadcast_shapes(a.shape, b.shape)
    return Array(tuple(np.broadcast_to(box(subtract_same(p, q)), shape) for p, q in _pairs(a, b)))


def _pairs(a: Array, b: Array) -> Iterator[tuple[Coefficient, Coefficient]]:
    return zip_longest(a.balls(), b.balls(), fillvalue=exact(0))


def _gap(p: arb, q: arb) -> arb:
    if p.is_finite():
        return ZERO if p is q else p - q
    return ZERO if is_infinite(p) and is_infinite(q) and (p > 0) == (q > 0) else p - q


def compare(a: Any, b: Any, name: str) -> Coefficient:
    """Sign of ``a - b`` per element, ties recorded as kinks of `name`."""
    a, b = asarray(a), asarray(b)
    if not a.is_real and not b.is_real:
        return box(np.sign(np.subtract(a.series[0], b.series[0], dtype=np.int64)))
    return signs(difference(a, b), name, moves=isinstance(a, Traced) or isinstance(b, Traced))


def _comparison(holds: np.ufunc, sign: str) -> Callable[[Any, Any], Array]:
    def function(a: Any, b: Any) -> Array:
        return Array((holds(compare(a, b, holds.__name__), 0),))

    return named(function, holds.__name__, f"``a {sign} b``, decided.")


less, less_equal = _comparison(np.less, "<"), _comparison(np.less_equal, "<=")
greater, greater_equal = _comparison(np.greater, ">"), _comparison(np.greater_equal, ">=")
equal, not_equal = _comparison(np.equal, "=="), _comparison(np.not_equal, "!=")


def choose(mask: Coefficient, a: Array, b: Array) -> Array:
    """Elements of `a` where the boolean `mask` holds, of `b` elsewhere."""
    if not a.is_real and not b.is_real:
        return Array((np.where(mask, a.series[0], b.series[0]),))
    # A coefficient that only one of them has is stretched as the values are.
    mask = np.broadcast_to(mask, np.broadcast_shapes(np.shape(mask), a.shape, b.shape))
    return traced("choose", Array(tuple(np.where(mask, p, q) for p, q in _pairs(a, b))), a, b, mask=mask)


def where(condition: Any, a: Any, b: Any) -> Array:
    """``a`` where the condition holds, ``b`` elsewhere."""
    condition = asarray(condition)
    mask = not_equal(condition, 0).series[0] if condition.is_real else condition.series[0].astype(bool)
    return choose(mask, asarray(a), asarray(b))


def maximum(a: Any, b: Any) -> Array:
    """The larger of ``a`` and ``b``."""
    a, b = asarray(a), asarray(b)
    return choose(compare(a, b, "maximum") >= 0, a, b)


def minimum(a: Any, b: Any) -> Array:
    """The smaller of ``a`` and ``b``."""
    a, b = asarray(a), asarray(b)
    return choose(compare(a, b, "minimum") <= 0, a, b)


def clip(
    x: Any, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None,  # noqa: A002 (the standard's names)
    a_min: Any = None, a_max: Any = None,
) -> Array:  # fmt: skip
    """``min(max(x, low), high)``; either bound may be None, and has three names in use."""
    out = asarray(x)
    low, high = (next((b for b in names if b is not None), None) for names in ((low, min, a_min), (high, max, a_max)))
    if low is not None:
        low = asarray(low)
        out = choose(compare(out, low, "clip") >= 0, out, low)
    if high is not None:
        high = asarray(high)
        out = choose(compare(out, high, "clip") <= 0, out, high)
    return out


def absolute(x: Any) -> Array:
    """``|x|``."""
    x = asarray(x)
    if not x.is_real:
        return Array((np.abs(x.series[0]),))
    return multiply(Array((signs(x, "abs"),)), x)


def sign(x: Any) -> Array:
    """-1, 0 or +1 with the sign of x: constant between jumps."""
    x = asarray(x)
    if not x.is_real:
        return Array((np.sign(x.series[0]),))
    return Array((exact(signs(x, "sign")),))


def floor(x: Any) -> Array:
    """The largest whole number not above x, as a real: constant between jumps.

    Raises:
        UndecidedError: x is neither proven whole nor proven not to be.
    """
    values = (x := untraced(given := asarray(x))).balls()[0]
    if current().extended:
        nearest = np.rint(values)
        whole_already = current().tied(lambda: box(values == nearest), x.shape)
        return Array((np.where(whole_already, nearest, np.floor(values)),))
    ends = infinities(values)
    base = Array((_floors_of_enclosures(values) if isinstance(values, MidRad) else _floors(values, ends),))
    # A value that is exactly whole and falls along t belongs to the step below.
    above = choose(ends == 0, subtract(x, base), asarray(0.0))
    below = np.minimum(signs(above, "floor", moves=isinstance(given, Traced)), 0)
    return Array((box(np.add(base.series[0], exact(below))),))


def _floors(values: Coefficient, ends: Coefficient) -> Coefficient:
    whole = []
    for position, value in enumerate(values.ravel()):
        nearest = value if ends.flat[position] else value.floor()
        if not (nearest.is_exact() or ends.flat[position]):
            raise UndecidedError("floor", unravel(position, values.shape))
        whole.append(nearest)
    return fill(values.shape, whole)


def _floors_of_enclosures(values: MidRad) -> Coefficient:
    base = np.floor(values["high"])
    base = base - ((base == values["high"]) & (values["low"] < 0))
    (above, undecided), (beyond, _) = midrad.signs(values - base), midrad.signs(values - base - 1)
    unknown = undecided | (above < 0) | (beyond >= 0)
    if unknown.any():
        raise UndecidedError("floor", _first(unknown))
    return exact(base)


def ceil(x: Any) -> Array:
    """The smallest whole number not below x, as a real."""
    return negative(floor(negative(x)))


def winners(x: Array, name: str, largest: bool) -> Coefficient:
    """Position of the extreme element along the last axis: int64 array of shape ``x.shape[:-1]``.

    A tie is recorded once, and only between elements that win; the first of equals wins.

    Raises:
        UndecidedError: two candidates are neither told apart nor proven equal.
    """
    if x.shape[-1] == 0:
        raise ValueError(f"{name} of an axis of length 0")
    if current().extended:
        values = x.balls()[0] if largest else -x.balls()[0]
        best = values.max(axis=-1, keepdims=True)

        def equal_best() -> Any:
            at = values == best
            return box(at & (np.count_nonzero(at, axis=-1, keepdims=True) > 1))

        tied = current().tied(equal_best, x.shape)
        of_equals = box(np.argmax(tied, axis=-1))  # the first wins
        return box(question(lambda c: box(np.argmax(c, axis=x.ndim - 1)), values, box(tied.any(axis=-1)), of_equals))
    lanes = [c.reshape(-1, x.shape[-1]) for c in x.balls()]
    out = np.empty(lanes[0].shape[0], dtype=np.int64)
    undecided: Any = range(len(out))
    if isinstance(lanes[0], MidRad):
        out, undecided = _winners_of_enclosures(lanes[0], largest)
        lanes = [midrad.balls(c[undecided]) for c in lanes]
    for row, lane in enumerate(undecided):
        index = unravel(int(lane), x.shape[:-1])
        values = lanes[0][row]
        first = _extreme_midpoint(values, largest)
        best = first
        for i, value in enumerate(values):
            gap = _gap(values[first], value)
            if gap.is_zero() and i != first:
                rest = [_gap(c[row][i], c[row][best]) for c in lanes[1:]]
                turn = _sign_at_tie(ZERO, rest, name, index)
                if turn == (1 if largest else -1) or (turn == 0 and i < best):
                    best = i
            elif i != first and not (gap > 0 if largest else gap < 0):
                raise UndecidedError(name, index)
        out[lane] = best
    return out.reshape(x.shape[:-1])


def _winners_of_enclosures(values: MidRad, largest: bool) -> tuple[Coefficient, Coefficient]:
    """Positions of extreme midpoints in each lane, and the lanes where another one may be as extreme."""
    middles = midrad.longdoubles(values if largest else -values)
    best = np.argmax(middles, axis=-1)[:, None]
    gaps, undecided = midrad.signs(np.take_along_axis(values, best, -1) - values)
    beaten = (gaps == (1 if largest else -1)) & ~undecided
    np.put_along_axis(beaten, best, True, -1)
    return best[:, 0], np.flatnonzero(~beaten.all(axis=-1))


def shares(x: Array, largest: bool) -> Array | None:
    """What part of the extreme along the last axis each element is, where ties are made to have several winners."""
    forced = current().forced
    if forced is None:
        return None
    values = x.balls()[0]
    if current().extended:
        return asarray(forced.shares(values == (values.max if largest else values.min)(axis=-1, keepdims=True)))
    tied = np.zeros(values.shape, bool)
    for lane in np.ndindex(values.shape[:-1]):
        best = values[lane][_extreme_midpoint(values[lane], largest)]
        tied[lane] = [bool(_gap(best, value).is_zero()) for value in values[lane]]
    return asarray(forced.shares(tied))


def _extreme_midpoint(values: Coefficient, largest: bool) -> int:
    best = 0
    for i in range(1, len(values)):
        gap = values[i].mid() - values[best].mid()
        if gap > 0 if largest else gap < 0:
            best = i
    return best


def order_of_two(rows: list[Coefficient], i: int, j: int, name: str, index: tuple[int, ...]) -> int:
    """Sign of element i less element j of rows of balls, value and coefficients; of equal ones that of i - j."""
    gap = _gap(rows[0][i], rows[0][j])
    if gap.is_zero():
        return _sign_at_tie(ZERO, [_gap(c[i], c[j]) for c in rows[1:]], name, index) or i - j
    if not (gap > 0 or gap < 0):
        raise UndecidedError(name, index)
    return 1 if gap > 0 else -1


def require_decided_whole(x: Array, what: str) -> Coefficient:
    """Whole numbers of a constant real array, truncated as `astype(int)` does: int64 array."""
    if not x.is_constant:
        raise NotCertifiableError(what, "An integer has no derivative: convert data, not parameters.")
    values = x.balls()[0]
    if current().extended:
        return question(lambda c: np.trunc(c).astype(np.int64), values)
    if isinstance(values, MidRad):
        values = midrad.balls(values)
    whole = []
    for position, value in enumerate(values.ravel()):
        nearest = value.floor() if value >= 0 else value.ceil()
        if not nearest.is_exact():
            raise UndecidedError(what, unravel(position, values.shape))
        whole.append(int(nearest.unique_fmpz()))
    return np.array(whole, dtype=np.int64).reshape(values.shape)
