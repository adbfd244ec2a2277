"""Powers, roots and norms, most of which are not differentiable where their argument is exactly zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from flint import arb

from gradparity.truth.numbers import midrad
from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import ONE, ZERO, Coefficient, box, exact, nothing, unravel, vanishes
from gradparity.truth.numbers.context import Kink, UndecidedError, current
from gradparity.truth.numbers.draws import Draws
from gradparity.truth.numbers.enclosure import is_infinite
from gradparity.truth.numbers.lanes import lanes
from gradparity.truth.numbers.midrad import MidRad
from gradparity.truth.numbers.notes import is_fixed
from gradparity.truth.numbers.tape import traced
from gradparity.truth.xp.arithmetic import compose, exact_whole, multiply, note_singular, sum_over
from gradparity.truth.xp.kinks import choose
from gradparity.truth.xp.shaping import broadcast_arrays
from gradparity.truth.xp.smooth import exp, log

NAN: Any = arb.nan()
INFINITY: Any = arb.pos_inf()
HALF: Any = arb(0.5)


def power(a: Any, b: Any) -> Array:
    """``a ** b``: any base for a constant integer exponent, else a base of zero or more."""
    a, b = asarray(a), asarray(b)
    if not a.is_real and not b.is_real and bool(np.all(b.series[0] >= 0)):
        return Array((exact_whole(np.power, a.series[0], b.series[0]),))
    a, b = broadcast_arrays(a, b)
    if not b.is_constant:
        return _varying_power(a, b)
    if current().extended:
        exponent = b.balls()[0]
        if isinstance(exponent, Draws) and not isinstance(a.series[0], Draws):
            a = Array(tuple(exponent.like(c) for c in a.balls()))
        return compose(a, partial(extended_power_jet, p=exponent), pure=is_fixed(b))
    whole = _whole(b.balls()[0])
    if whole.all():
        return _whole_power(a, b)
    if not whole.any():
        return fractional_power(a, b)
    # At a base of zero the exponent decides: each rule gets its own elements, and ones in place of the others.
    one = asarray(1.0)
    return choose(
        whole,
        _whole_power(choose(whole, a, one), choose(whole, b, one)),
        fractional_power(choose(whole, one, a), choose(whole, asarray(0.5), b)),
    )


def _varying_power(a: Array, b: Array) -> Array:
    """``e^(b log a)``; at a constant base of 0 under a positive exponent 0, as all of its derivatives are."""
    gone = vanishes(a.balls()[0]) & _positive(b.balls()[0])
    if not a.is_constant or not gone.any():
        return exp(multiply(b, log(a)))
    return choose(gone, asarray(0.0), exp(multiply(b, log(choose(gone, asarray(1.0), a)))))


def _whole(c: Coefficient) -> npt.NDArray[np.bool_]:
    if isinstance(c, MidRad):
        high, low, radius = c.parts
        return np.asarray((low == 0) & (radius == 0) & (high == np.rint(high)))
    return _each(c, lambda p: p.is_exact() and p.is_integer())


def _positive(c: Coefficient) -> npt.NDArray[np.bool_]:
    return np.asarray(midrad.signs(c)[0] > 0) if isinstance(c, MidRad) else _each(c, lambda p: p > 0)


def _each(c: Coefficient, holds: Callable[[Any], Any]) -> npt.NDArray[np.bool_]:
    if c.dtype != object:
        return box(holds(c))
    return np.array([bool(holds(value)) for value in c.ravel()], dtype=bool).reshape(c.shape)


def _whole_power(a: Array, b: Array) -> Array:
    """``a ** b`` for constant whole b, both of one shape; 1 for an exponent of 0, whatever the base (IEEE 754)."""
    exponents = b.balls()[0]
    if isinstance(exponents, MidRad):
        return compose(a, partial(enclosed_power_jet, p=exponents))
    note_singular("power", a.balls()[0], lambda value: value.is_zero(), where=[p < 0 for p in exponents.ravel()])
    pairs = iter(exponents.ravel())
    return compose(a, lambda value, n: power_jet(value, next(pairs), n), constants=exponents)


def sqrt(x: Any) -> Array:
    """Square root; a one-sided derivative at exactly 0 is infinite, or ``sqrt(x_2)`` where x is ``x_2 t^2``."""
    x = asarray(x)
    if current().extended:
        return compose(x, _extended_root_jet, pure=True)
    return fractional_power(x, Array((np.broadcast_to(exact(0.5), x.shape),)))


def fractional_power(x: Array, p: Array) -> Array:
    """``x ** p`` for constant p that is not whole, x >= 0; both of one shape."""
    if current().extended:
        exponent = p.balls()[0]
        return compose(x, _extended_root_jet if np.all(exponent == 0.5) else partial(extended_power_jet, p=exponent))
    X, P = x.balls(), p.balls()[0].ravel()
    enclosed = isinstance(X[0], MidRad)
    P = midrad.balls(P) if enclosed else P
    note_singular("sqrt" if all(q == HALF for q in P) else "power", X[0], lambda value: bool(value < 0))
    exponents = iter(P)
    # Exact zeros are replaced by one for the smooth rule, then put right one by one.
    zeros = vanishes(X[0])
    base = choose(zeros, asarray(1.0), x) if zeros.any() else x
    jet = partial(_enclosed_root_jet, p=p.balls()[0]) if enclosed else lambda v, n: _root_jet(v, next(exponents), n)
    smooth = compose(base, jet, constants=p.balls()[0])
    if not zeros.any():
        return smooth
    length = current().order + 1 if len(X) > 1 else 1
    out = [c.ravel().copy() for c in smooth.balls()]
    out += [nothing((x.size,)).copy() for _ in range(length - len(out))]
    for position in map(int, np.flatnonzero(zeros)):
        rest = [_balls(box(c.ravel()[position])).item() for c in X[1:]]
        for k, value in enumerate(_power_at_zero(rest, P[position], length - 1, unravel(position, x.shape))):
            out[k][position] = value
    result = Array(tuple(c.reshape(x.shape) for c in out))
    # On the tape a zero has a kink, or a slope that is no number; the other elements keep theirs.
    nowhere = Array((exact(np.full(x.shape, np.nan)),) * length)
    return traced("choose", result, traced("compose", result, x, slope=nowhere), smooth, mask=zeros)


def power_jet(x: arb, p: arb, n: int) -> tuple[arb, ...]:
    """x^p, p x^(p-1), p (p-1)/2 x^(p-2); a factor of zero stops before a negative power of zero."""
    factors = (ONE, p, p * (p - 1) / 2)
    return tuple(ZERO if factor.is_zero() else factor * _raised(x, p - k) for k, factor in enumerate(factors[: n + 1]))


def _raised(x: Any, p: Any) -> Any:
    """``x ** p`` of balls, also of an infinite x and one that may be 0, of which FLINT's own are no numbers."""
    if not is_infinite(x):
        if x.is_zero() or not x.contains(0) or not (p >= 0 and p.is_integer() and p < 2**20):
            return x**p
        out, base, n = ONE, x, int(p.unique_fmpz())
        while n:
            out, base, n = (out * base if n % 2 else out), (base * base if n > 1 else base), n // 2
        return out
    if x < 0 and not p.is_integer():
        return NAN
    if not p > 0:
        return ONE if p.is_zero() else ZERO
    return -x if x < 0 and (p / 2).is_integer() else x


def _balls(c: Coefficient) -> Coefficient:
    return midrad.balls(c) if isinstance(c, MidRad) else c


def enclosed_power_jet(x: Any, n: int, *, p: Any) -> tuple[Any, ...]:
    """The same for enclosures and whole exponents: by products where all are the same and no less than 0."""
    exponents = p["high"]
    if not p.size or exponents.flat[0] < 0 or not (_whole(p) & (exponents == exponents.flat[0])).all():
        return midrad.by_balls(lambda v, q: power_jet(v, q, n), x, p)  # type: ignore[no-any-return]
    q = int(exponents.flat[0])
    factors = (1, q, q * (q - 1) // 2)[: n + 1]
    return tuple(np.power(x, q - k) * factor if factor else nothing(x.shape) for k, factor in enumerate(factors))


def _enclosed_root_jet(x: Any, n: int, *, p: Any) -> tuple[Any, ...]:
    if (midrad.is_zero(p - 0.5)).all():
        root = x.sqrt()
        slope = 1 / (2 * root)
        return (root, slope, -slope / (4 * x))[: n + 1]
    value = (p * x.log()).exp()
    slope = p * value / x
    return (value, slope, (p - 1) * slope / (2 * x))[: n + 1]


def extended_power_jet(x: Any, n: int, *, p: Coefficient) -> tuple[Any, ...]:
    """The same for extended numbers, all elements at once."""
    p = lanes(p) if isinstance(p, Draws) else p[..., None] if x.ndim > p.ndim else p
    factors = (np.ones_like(p), p, p * (p - 1) / 2)
    return tuple(np.where(factor == 0, 0, factor * x ** (p - k)) for k, factor in enumerate(factors[: n + 1]))


def _extended_root_jet(x: Any, n: int) -> tuple[Any, ...]:
    root = np.sqrt(x)
    return (root, 0.5 / root, -0.125 / (x * root))[: n + 1]


def _root_jet(x: arb, p: arb, n: int) -> tuple[arb, ...]:
    # Of balls, "equal" and "unequal" are both proofs: an exponent that is neither is no square root.
    if p == HALF:
        root = x.sqrt()
        slope = 1 / (2 * root)
        return (root, slope, -slope / (4 * x))[: n + 1]
    return power_jet(x, p, n)


def _power_at_zero(rest: list[arb], p: arb, order: int, index: tuple[int, ...]) -> list[arb]:
    """Coefficients of ``(x_1 t + x_2 t^2)^p`` on the context's side, p not whole.

    With x = x_m t^m + ..., the result starts at |x_m|^p |t|^(m p): coefficients below m p are zero, one at m p is
    known, an order that is not whole has an infinite next derivative, and what lies above needs more of the series.
    """
    context = current()
    if p <= 0:
        context.singular.append(("power", index))
        return [INFINITY] + [NAN] * order
    if not p > 0:  # too wide to say
        return [NAN] * (order + 1)
    if not rest:
        return [ZERO] * (order + 1)
    name = "sqrt" if p == HALF else "power"
    m = next((k for k, c in enumerate(rest, start=1) if not c.is_zero()), None)
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
            out.append(INFINITY * context.side**k if k - 1 < start and start < k else NAN)
    return out


def norm2(x: Array) -> Array:
    """Euclidean norm along the last axis; where all of x is exactly 0 it is ``|t| |x_1 + x_2 t|``."""
    total = sum_over(multiply(x, x), (x.ndim - 1,))
    if current().extended:
        return sqrt(total)
    values = total.balls()[0]
    zeros = vanishes(values)
    if not zeros.any():
        return sqrt(total)
    smooth = sqrt(choose(zeros, asarray(1.0), total))
    lanes = [c.reshape(-1, x.shape[-1]) for c in x.balls()[1:]]
    out = [np.where(zeros, nothing(()), c).ravel() for c in smooth.balls()]
    out += [nothing((values.size,)).copy() for _ in range(len(lanes) + 1 - len(out))]
    for position in np.flatnonzero(zeros.ravel()):
        rest = _norm_at_zero([_balls(c[position]) for c in lanes], unravel(int(position), values.shape))
        for k, value in enumerate(rest, start=1):
            out[k][position] = value
    result = Array(tuple(c.reshape(values.shape) for c in out))
    nowhere = Array((exact(np.full(values.shape, np.nan)),) * len(out))  # the slope of a root of zero
    return traced("choose", result, traced("compose", result, total, slope=nowhere), smooth, mask=zeros)


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
