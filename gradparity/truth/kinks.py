"""Piecewise functions: which branch, decided with certainty, and every tie recorded.

A branch is chosen by the sign of a difference ``d(t) = d_0 + d_1 t + d_2 t^2``. Where ``d_0`` is proven to be exactly
zero, ``t`` small and on the context's side of zero decides by the first non-zero coefficient: that gives the
one-sided derivatives. A difference that is neither proven zero nor told apart from it raises UndecidedError, and the
engine doubles the precision. Dyadic inputs make sums and products exact at some precision, so ties of linear pieces
are always found; the same object on both sides is a proof of equality at any precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb

from gradparity.truth.arithmetic import compose, multiply, note_singular, power_jet, subtract
from gradparity.truth.balls import ZERO, Array, Coefficient, asarray, box, exact, fill
from gradparity.truth.context import Kink, NotCertifiableError, UndecidedError, current

NAN: Any = arb.nan()
INFINITY: Any = arb.pos_inf()
HALF: Any = arb(0.5)


def signs(x: Array, name: str, index: tuple[int, ...] | None = None) -> Coefficient:
    """Sign of each element for small t on the context's side: int64 array of -1, 0, +1, same shape.

    A tie at t = 0 of something that depends on t is recorded as a kink of `name` (at `index`, where given).

    Raises:
        UndecidedError: a coefficient that decides is neither proven zero nor told apart from it.
    """
    X = x.balls()
    flat = [c.ravel() for c in X]
    out = np.empty(x.size, dtype=np.int64)
    for position, value in enumerate(flat[0]):
        if value > 0:
            out[position] = 1
        elif value < 0:
            out[position] = -1
        else:
            here = _unravel(position, x.shape) if index is None else index
            out[position] = _sign_at_tie(value, [c[position] for c in flat[1:]], name, here)
    return out.reshape(x.shape)


def _sign_at_tie(value: arb, rest: list[arb], name: str, index: tuple[int, ...]) -> int:
    if not value.is_zero():
        raise UndecidedError(name, index)
    if not rest:
        return 0
    context = current()
    for k, coefficient in enumerate(rest, start=1):
        if coefficient.is_zero():
            continue
        if not (coefficient > 0 or coefficient < 0):
            raise UndecidedError(name, index)
        context.kinks.append(Kink(name, index, active=True))
        turn = 1 if coefficient > 0 else -1
        return turn if context.side > 0 or (k % 2 == 0 and context.side) else turn * context.side
    context.kinks.append(Kink(name, index, active=False))
    return 0


def difference(a: Any, b: Any) -> Array:
    """``a - b`` where one object on both sides gives the exact zero, whatever its radius.

    A ball is one true number, so equal to itself; one that is no number proves nothing, as NaN equals nothing.
    """
    a, b = asarray(a), asarray(b)
    A, B = a.balls(), b.balls()
    zero = exact(0)
    subtract_same = np.frompyfunc(lambda p, q: ZERO if p is q and not p.is_nan() else p - q, 2, 1)
    pairs = [(A[k] if k < len(A) else zero, B[k] if k < len(B) else zero) for k in range(max(len(A), len(B)))]
    shape = np.broadcast_shapes(a.shape, b.shape)
    return Array(tuple(np.broadcast_to(box(subtract_same(p, q)), shape) for p, q in pairs))


def compare(a: Any, b: Any, name: str) -> Coefficient:
    """Sign of ``a - b`` per element, ties recorded as kinks of `name`."""
    a, b = asarray(a), asarray(b)
    if not a.is_real and not b.is_real:
        return box(np.sign(np.subtract(a.series[0], b.series[0], dtype=np.int64)))
    return signs(difference(a, b), name)


def less(a: Any, b: Any) -> Array:
    """``a < b``, decided."""
    return Array((compare(a, b, "less") < 0,))


def less_equal(a: Any, b: Any) -> Array:
    """``a <= b``, decided."""
    return Array((compare(a, b, "less_equal") <= 0,))


def greater(a: Any, b: Any) -> Array:
    """``a > b``, decided."""
    return Array((compare(a, b, "greater") > 0,))


def greater_equal(a: Any, b: Any) -> Array:
    """``a >= b``, decided."""
    return Array((compare(a, b, "greater_equal") >= 0,))


def equal(a: Any, b: Any) -> Array:
    """``a == b``, decided."""
    return Array((compare(a, b, "equal") == 0,))


def not_equal(a: Any, b: Any) -> Array:
    """``a != b``, decided."""
    return Array((compare(a, b, "not_equal") != 0,))


def choose(mask: Coefficient, a: Array, b: Array) -> Array:
    """Elements of `a` where the boolean `mask` holds, of `b` elsewhere."""
    if not a.is_real and not b.is_real:
        return Array((np.where(mask, a.series[0], b.series[0]),))
    A, B = a.balls(), b.balls()
    zero = exact(0)
    pairs = [(A[k] if k < len(A) else zero, B[k] if k < len(B) else zero) for k in range(max(len(A), len(B)))]
    return Array(tuple(np.where(mask, p, q) for p, q in pairs))


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
    x = asarray(x)
    values = x.balls()[0]
    whole = []
    for position, value in enumerate(values.ravel()):
        nearest = value.floor()
        if not nearest.is_exact():
            raise UndecidedError("floor", _unravel(position, values.shape))
        whole.append(nearest)
    base = Array((fill(values.shape, whole),))
    # A value that is exactly whole and falls along t belongs to the step below.
    below = np.minimum(signs(subtract(x, base), "floor"), 0)
    return Array((box(np.add(base.series[0], exact(below))),))


def ceil(x: Any) -> Array:
    """The smallest whole number not below x, as a real."""
    return floor(asarray(x).map(np.negative)).map(np.negative)


def sqrt(x: Any) -> Array:
    """Square root; a one-sided derivative at exactly 0 is infinite, or ``sqrt(x_2)`` where x is ``x_2 t^2``."""
    x = asarray(x)
    return fractional_power(x, Array((np.broadcast_to(exact(0.5), x.shape),)))


def fractional_power(x: Array, p: Array) -> Array:
    """``x ** p`` for constant p that is not whole, x >= 0; both of one shape."""
    X, P = x.balls(), p.balls()[0].ravel()
    note_singular("power" if any(q != HALF for q in P) else "sqrt", X[0], lambda value: bool(value < 0))
    exponents = iter(P)
    # Exact zeros are replaced by one for the smooth rule, then put right one by one.
    zeros = [position for position, value in enumerate(X[0].ravel()) if value.is_zero()]
    if not zeros:
        return compose(x, lambda value, n: _root_jet(value, next(exponents), n))
    mask = np.array([value.is_zero() for value in X[0].ravel()], dtype=bool).reshape(x.shape)
    smooth = compose(choose(mask, asarray(1.0), x), lambda value, n: _root_jet(value, next(exponents), n))
    length = current().order + 1 if len(X) > 1 else 1
    out = [c.ravel().copy() for c in smooth.balls()]
    out += [np.full(x.size, ZERO, dtype=object) for _ in range(length - len(out))]
    for position in zeros:
        rest = [c.ravel()[position] for c in X[1:]]
        for k, value in enumerate(_power_at_zero(rest, P[position], length - 1, _unravel(position, x.shape))):
            out[k][position] = value
    return Array(tuple(c.reshape(x.shape) for c in out))


def _root_jet(x: arb, p: arb, n: int) -> tuple[arb, ...]:
    if p != HALF:
        return power_jet(x, p, n)
    root = x.sqrt()
    slope = 1 / (2 * root)
    return (root, slope, -slope / (4 * x))[: n + 1]


def _power_at_zero(rest: list[arb], p: arb, order: int, index: tuple[int, ...]) -> list[arb]:
    """Coefficients of ``(x_1 t + x_2 t^2)^p`` on the context's side, p not whole.

    With x = x_m t^m + ..., the result starts at |x_m|^p |t|^(m p): coefficients below m p are zero, one at m p is
    known, an order that is not whole has an infinite next derivative, and what lies above needs more of the series.
    """
    context = current()
    if p <= 0:
        context.singular.append(("power", index))
        return [INFINITY] + [NAN] * order
    if not rest:
        return [ZERO] * (order + 1)
    name = "sqrt" if p == HALF else "power"
    m = next((k for k, c in enumerate(rest, start=1) if not c.is_zero()), None)
    if not p.is_integer():
        context.kinks.append(Kink(name, index, active=m is not None))
    if m is None or context.side == 0:
        if m is None and context.side != 0 and p < 1:
            context.needs_order = max(context.needs_order, 2)
        known = p * (context.order + 1)
        return [ZERO if k == 0 or known > k else NAN for k in range(order + 1)]
    lead = rest[m - 1] * context.side**m
    if not (lead > 0 or lead < 0):
        raise UndecidedError(name, index)
    start = p * m
    out = [ZERO]
    for k in range(1, order + 1):
        if start > k:
            out.append(ZERO)
        elif lead < 0:
            out.append(NAN)
        elif start == k:
            out.append(lead**p * context.side**k)
        else:
            # |t|^start with k - 1 < start < k has an infinite k-th coefficient; beyond it nothing is known.
            out.append(INFINITY * context.side**k if start > k - 1 else NAN)
    return out


def norm2(x: Array) -> Array:
    """Euclidean norm along the last axis; where all of x is exactly 0 it is ``|t| |x_1 + x_2 t|``."""
    total = multiply(x, x).map(lambda c: np.add.reduce(c, axis=-1))
    values = total.balls()[0]
    zeros = np.array([value.is_zero() for value in values.ravel()], dtype=bool).reshape(values.shape)
    if not zeros.any():
        return sqrt(total)
    smooth = sqrt(choose(zeros, asarray(1.0), total))
    lanes = [c.reshape(-1, x.shape[-1]) for c in x.balls()[1:]]
    out = [np.where(zeros, ZERO, c).ravel() for c in smooth.balls()]
    out += [np.full(values.size, ZERO, dtype=object) for _ in range(len(lanes) + 1 - len(out))]
    for position in np.flatnonzero(zeros.ravel()):
        rest = _norm_at_zero([c[position] for c in lanes], _unravel(int(position), values.shape))
        for k, value in enumerate(rest, start=1):
            out[k][position] = value
    return Array(tuple(c.reshape(values.shape) for c in out))


def _norm_at_zero(rest: list[Coefficient], index: tuple[int, ...]) -> list[arb]:
    """Coefficients 1, 2 of ``|x_1 t + x_2 t^2|``: s |x_1| and s x_1.x_2 / |x_1|, or 0 and |x_2|, s being the side."""
    if not rest:
        return []
    moving = [not all(value.is_zero() for value in c) for c in rest]
    current().kinks.append(Kink("norm", index, active=any(moving)))
    side = current().side
    lengths = [sum((value * value for value in c), ZERO).sqrt() for c in rest]
    if len(rest) == 1:
        return [side * lengths[0]]
    if not moving[0]:
        return [ZERO, side * side * lengths[1]]
    return [side * lengths[0], side * sum((p * q for p, q in zip(*rest, strict=True)), ZERO) / lengths[0]]


def winners(x: Array, name: str, largest: bool) -> Coefficient:
    """Position of the extreme element along the last axis: int64 array of shape ``x.shape[:-1]``.

    A tie is recorded once, and only between elements that win; the first of equals wins.

    Raises:
        UndecidedError: two candidates are neither told apart nor proven equal.
    """
    if x.shape[-1] == 0:
        raise ValueError(f"{name} of an axis of length 0")
    lanes = [c.reshape(-1, x.shape[-1]) for c in x.balls()]
    out = np.empty(lanes[0].shape[0], dtype=np.int64)
    for lane in range(lanes[0].shape[0]):
        index = _unravel(lane, x.shape[:-1])
        values = lanes[0][lane]
        first = _extreme_midpoint(values, largest)
        best = first
        for i, value in enumerate(values):
            gap = ZERO if value is values[first] else values[first] - value
            if gap.is_zero() and i != first:
                rest = [ZERO if c[lane][i] is c[lane][best] else c[lane][i] - c[lane][best] for c in lanes[1:]]
                turn = _sign_at_tie(ZERO, rest, name, index)
                if turn == (1 if largest else -1) or (turn == 0 and i < best):
                    best = i
            elif i != first and not (gap > 0 if largest else gap < 0):
                raise UndecidedError(name, index)
        out[lane] = best
    return out.reshape(x.shape[:-1])


def _extreme_midpoint(values: Coefficient, largest: bool) -> int:
    best = 0
    for i in range(1, len(values)):
        gap = values[i].mid() - values[best].mid()
        if gap > 0 if largest else gap < 0:
            best = i
    return best


def require_decided_whole(x: Array, what: str) -> Coefficient:
    """Whole numbers of a constant real array, truncated as `astype(int)` does: int64 array."""
    if not x.is_constant:
        raise NotCertifiableError(what, "An integer has no derivative: convert data, not parameters.")
    values = x.balls()[0]
    whole = []
    for position, value in enumerate(values.ravel()):
        nearest = value.floor() if value >= 0 else value.ceil()
        if not nearest.is_exact():
            raise UndecidedError(what, _unravel(position, values.shape))
        whole.append(int(nearest.unique_fmpz()))
    return np.array(whole, dtype=np.int64).reshape(values.shape)


def _unravel(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(position, shape)) if shape else ()
