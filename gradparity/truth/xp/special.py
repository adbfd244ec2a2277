"""Special functions: of the gamma, error and Bessel families, and products with a logarithm that vanish at zero.

A jet is written over balls, from FLINT's own functions; extended numbers take the same, element by element.

Reference: NIST Digital Library of Mathematical Functions, chapters 5, 7 and 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from flint import acb, arb

from gradparity.truth.numbers import midrad
from gradparity.truth.numbers.arrays import Array, asarray, named
from gradparity.truth.numbers.balls import Coefficient, exact_balls, middles, vanishes
from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.draws import question
from gradparity.truth.numbers.enclosure import is_infinite, to_longdouble
from gradparity.truth.numbers.lanes import from_lanes, lanes
from gradparity.truth.numbers.midrad import MidRad
from gradparity.truth.numbers.rounding import ROUGH, rounded
from gradparity.truth.xp.arithmetic import FromValue, add, compose, divide, multiply, negative, note_singular, subtract
from gradparity.truth.xp.kinks import absolute, choose
from gradparity.truth.xp.shaping import broadcast_arrays, stack
from gradparity.truth.xp.smooth import elementwise, exp, log, log1p, logaddexp

#: Below this e^-y I_1(y) is y / 2 in float64.
ONE_ROUNDING = 2.0**-52
#: Working precisions of what extended numbers take from balls: the first that leaves them all their bits.
BITS = (96, 384, 1536)
ENOUGH_BITS = 66

Jet = Callable[[arb], tuple[arb, ...]]


def _by_balls(jet: Jet) -> Callable[[Any], tuple[Any, ...]]:
    """A jet of balls that takes enclosures and extended numbers too, element by element."""

    def function(x: Any) -> tuple[Any, ...]:
        if isinstance(x, arb):
            return jet(x)
        if isinstance(x, MidRad):
            return midrad.by_balls(jet, x)  # type: ignore[no-any-return]
        each = [[to_longdouble(c.mid()) for c in _accurate(jet, v)] for v in exact_balls(np.asarray(x)).ravel()]
        parts = np.array(each, np.longdouble).reshape(-1, 3).T
        return tuple(lanes(part.reshape(x.shape)) for part in parts)

    return function


def _accurate(jet: Jet, x: arb) -> tuple[arb, ...]:
    """A jet at an exact ball, to more bits than extended numbers have, or as well as it gets."""
    for bits in BITS:
        with flint.ctx.workprec(bits):
            found = jet(x)
        if all(not c.is_finite() or c.is_zero() or c.rel_accuracy_bits() >= ENOUGH_BITS for c in found):
            break
    return found


NAN: arb = arb.nan()
INFINITY: arb = arb.pos_inf()


def _is_pole(x: arb) -> bool:
    """Proven to be 0, -1, -2, ..., where the gamma function has its poles."""
    return bool(x.is_exact() and x.is_integer() and x <= 0)


def _polygamma(n: int, x: arb) -> arb:
    """The n-th derivative of the digamma function."""
    if _is_pole(x):
        return NAN
    if not n:
        value: arb = x.digamma()
    elif x > 0:  # by Hurwitz' zeta function
        value = arb(n + 1).zeta(x) * math.factorial(n) * (1 if n % 2 else -1)
    else:
        value = acb(x).polygamma(n).real
    return value


def _gammaln(x: arb) -> tuple[arb, ...]:
    if _is_pole(x) or (is_infinite(x) and x > 0):
        return INFINITY, NAN, NAN
    slopes = _polygamma(0, x), _polygamma(1, x) / 2
    if x < 0:  # by reflection
        return (arb.pi().log() - abs(x.sin_pi()).log() - (1 - x).lgamma(), *slopes)
    return (x.lgamma(), *slopes)


def _erfinv(x: arb) -> tuple[arb, ...]:
    if abs(x) == 1:
        return x * INFINITY, NAN, NAN
    value = x.erfinv()
    slope = arb.pi().sqrt() / 2 * (value * value).exp()
    return value, slope, value * slope * slope


def _erfinv_from_value(_: Coefficient, y: Coefficient) -> tuple[Coefficient, ...]:
    slope = rounded(np.sqrt(np.pi) / 2 * rounded(np.exp(rounded(y * y))))
    return slope, rounded(y * rounded(slope * slope))


def _ndtr(x: arb) -> tuple[arb, ...]:
    slope = _density(x)
    return (-x / arb(2).sqrt()).erfc() / 2, slope, -x * slope / 2


def _density(x: arb) -> arb:
    return (-x * x / 2).exp() / (2 * arb.pi()).sqrt()


def _log_ndtr(x: arb) -> tuple[arb, ...]:
    below, above = ((sign * x / arb(2).sqrt()).erfc() / 2 for sign in (-1, 1))
    slope = _density(x) / below
    return (-above).log1p() if x.mid() > 0 else below.log(), slope, -slope * (x + slope) / 2


def _log_ndtr_from_value(x: Coefficient, y: Coefficient) -> tuple[Coefficient, ...]:
    """As all frameworks do: the density over the distribution function, as an exponential of the difference."""
    slope = rounded(np.exp(rounded(rounded(-x * x / 2) - y)) / np.sqrt(2 * np.pi))
    return slope, rounded(-slope * rounded(x + slope) / 2)


def _ndtri(p: arb) -> tuple[arb, ...]:
    if p == 0 or p == 1:
        return (2 * p - 1) * INFINITY, NAN, NAN
    value = -arb(2).sqrt() * (2 * p).erfcinv()
    slope = 1 / _density(value)
    return value, slope, value * slope * slope / 2


def _i0(x: arb) -> tuple[arb, ...]:
    """I_0' = I_1, I_0'' = (I_0 + I_2) / 2."""
    value = x.bessel_i(0)
    return value, x.bessel_i(1), (value + x.bessel_i(2)) / 4


def _i1(x: arb) -> tuple[arb, ...]:
    """I_1' = (I_0 + I_2) / 2, I_1'' = (3 I_1 + I_3) / 4."""
    value = x.bessel_i(1)
    return value, (x.bessel_i(0) + x.bessel_i(2)) / 2, (3 * value + x.bessel_i(3)) / 8


def _i0_from_value(x: Coefficient, y: Coefficient) -> tuple[Coefficient, ...]:
    """JAX differentiates ``e^|x| i0e(x)``: I_0 is taken away and added."""
    _, slope, half = (from_lanes(c, x) for c in _by_balls(_i0)(lanes(x)))
    return rounded(rounded(slope - y) + y), half


def _i1_from_value(x: Coefficient, y: Coefficient) -> tuple[Coefficient, ...]:
    """As all frameworks do: I_1' = I_0 - I_1 / x, and the derivative of that."""
    value, slope, half = (from_lanes(c, x) for c in _by_balls(_i1)(lanes(x)))
    zero = x == 0
    over = rounded(y / np.where(zero, 1, x))
    first = rounded(rounded(slope + value / np.where(zero, 1, x)) - over)
    second = (y - rounded(rounded(first - over) / np.where(zero, 1, x))) / 2
    return np.where(zero, slope, first), np.where(zero, half, second)


def _i0e(y: arb) -> tuple[arb, ...]:
    """The scaled I_0, e^-y I_0(y) for y >= 0: no step of it is larger than 1, as I_0 is from 714 on."""
    scale = (-y).exp()
    zero, one, two = (scale * y.bessel_i(n) for n in range(3))
    return zero, one - zero, ((zero + two) / 2 - 2 * one + zero) / 2


def _i1e_over(y: arb) -> tuple[arb, ...]:
    """With q = I_1(y) / y = (I_0 - I_2) / 2, q' = (I_1 - I_3) / 4, q'' = (I_0 - I_4) / 8: e^-y q, for y >= 0."""
    scale = (-y).exp()
    b = [scale * y.bessel_i(n) for n in range(5)]
    q, slope, second = (b[0] - b[2]) / 2, (b[1] - b[3]) / 4, (b[0] - b[4]) / 8
    return q, slope - q, (second - 2 * slope + q) / 2


def _i0e_from_value(y: Coefficient, s: Coefficient) -> tuple[Coefficient, ...]:
    """As all frameworks do: s_0' = s_1 - s_0, and s_1' = s_0 - s_1 - s_1 / y."""
    over = rounded(from_lanes(_by_balls(_i1e_over)(lanes(y))[0], y))
    one = rounded(y * over)
    slope = rounded(one - s)
    return slope, rounded(rounded(rounded(s - one) - over) - slope) / 2


def _i1e_over_from_value(y: Coefficient, r: Coefficient) -> tuple[Coefficient, ...]:
    """Of s_1 = y r with the roundings of s_1' = s_0 - s_1 - s_1 / y and of its derivative: r' = (s_1' - r) / y."""
    _, slope, half = (from_lanes(c, y) for c in _by_balls(_i1e_over)(lanes(y)))
    small = y < ONE_ROUNDING  # as JAX and PyTorch do
    by = np.where(small, 1, y)
    zero, one = rounded(from_lanes(_by_balls(_i0e)(lanes(y))[0], y)), rounded(y * r)
    first = rounded(rounded(zero - one) - rounded(one / by))
    of_zero, of_over = rounded(one - zero), rounded(rounded(first - rounded(one / by)) / by)
    second = rounded(rounded(of_zero - first) - of_over)
    r_slope = (first - r) / by
    return np.where(small, rounded(slope), r_slope), np.where(small, rounded(half), (second - 2 * r_slope) / by / 2)


def _sinc(x: arb) -> tuple[arb, ...]:
    """With f = sin(pi x) / (pi x): f' = (cos pi x - f) / x, f'' = -pi^2 f - 2 f' / x; at zero 1, 0, -pi^2 / 3."""
    value = x.sinc_pi()
    if x.is_zero():
        return value, arb(0), -(arb.pi() ** 2) / 6
    slope = (x.cos_pi() - value) / x
    return value, slope, -(arb.pi() ** 2) * value / 2 - slope / x


def _of_balls(
    name: str, jet: Jet, formula: str, singular: Callable[[arb], bool] | None = None,
    from_value: FromValue | None = None, rough: int = ROUGH,
) -> Callable[[Any], Array]:  # fmt: skip
    return elementwise(name, _by_balls(jet), formula, singular, from_value, rough)


gammaln = _of_balls("gammaln", _gammaln, "log |Gamma(x)|", _is_pole)
erfinv = _of_balls("erfinv", _erfinv, "y with erf(y) = x", lambda x: bool(abs(x) >= 1), _erfinv_from_value)
ndtr = _of_balls("ndtr", _ndtr, "Phi(x) = 1/sqrt(2 pi) int_-inf^x e^(-s^2 / 2) ds")
log_ndtr = _of_balls("log_ndtr", _log_ndtr, "log Phi(x)", from_value=_log_ndtr_from_value)
ndtri = _of_balls(
    "ndtri", _ndtri, "x with Phi(x) = p", lambda p: bool(p <= 0) or bool(p >= 1),
    rough=64,  # JAX differentiates its rational approximation
)  # fmt: skip
i0 = _of_balls("i0", _i0, "I_0(x), the modified Bessel function", from_value=_i0_from_value)
i1 = _of_balls("i1", _i1, "I_1(x), the modified Bessel function", from_value=_i1_from_value)
_i0e_of_size = _of_balls("i0e", _i0e, "e^-y I_0(y)", from_value=_i0e_from_value)
_i1e_over_size = _of_balls("i1e", _i1e_over, "e^-y I_1(y) / y", from_value=_i1e_over_from_value)
sinc = _of_balls("sinc", _sinc, "sin(pi x) / (pi x)")


def polygamma(n: Any, x: Any) -> Array:
    """The n-th derivative of the digamma function, for a whole n that is no parameter."""
    order = int(asarray(n))
    x = asarray(x)
    note_singular("polygamma", x.balls()[0], _is_pole)

    def jet(value: arb) -> tuple[arb, ...]:
        return _polygamma(order, value), _polygamma(order + 1, value), _polygamma(order + 2, value) / 2

    both = _by_balls(jet)
    return compose(x, lambda value, k: both(value)[: k + 1], rough=ROUGH)


def digamma(x: Any) -> Array:
    """``Gamma'(x) / Gamma(x)``."""
    return polygamma(0, x)


def betaln(a: Any, b: Any) -> Array:
    """``log |Gamma(a) Gamma(b) / Gamma(a + b)|``."""
    return subtract(add(gammaln(a), gammaln(b)), gammaln(add(a, b)))


def beta(a: Any, b: Any) -> Array:
    """``Gamma(a) Gamma(b) / Gamma(a + b)``."""
    a, b = asarray(a), asarray(b)
    return multiply(_gamma_sign(a) * _gamma_sign(b) * _gamma_sign(add(a, b)), exp(betaln(a, b)))


def _gamma_sign(x: Array) -> Coefficient:
    """Sign of the gamma function: constant between its poles, where nothing has a value."""
    return question(lambda c: np.where(c < 0, 1 - 2 * np.mod(np.floor(c), 2), 1), middles(x.balls()[0]))


def _value_alone(x: Any, n: int) -> tuple[Any, ...]:
    """Zero, with slopes that are no numbers."""
    if isinstance(x, arb):
        return (arb(0), NAN, NAN)[: n + 1]
    return (np.zeros(x.shape), *[np.full(x.shape, np.nan)] * n)


def _times_log(name: str, log_of: Callable[[Any], Array], shift: int, words: str) -> Callable[[Any, Any], Array]:
    """``x log(shift + y)``, zero where x is."""

    def function(x: Any, y: Any) -> Array:
        x, y = broadcast_arrays(x, y)
        zero = vanishes(x.balls()[0])
        if not zero.any():
            return multiply(x, log_of(y))
        one = asarray(1.0)
        if x.is_constant:
            return choose(zero, asarray(0.0), multiply(x, log_of(choose(zero, one, y))))
        # Where the logarithm is infinite as well there is a value, and no slope.
        both = zero & vanishes(add(y, shift).balls()[0])
        inner = multiply(x, log_of(choose(both, one, y)))
        if not both.any():
            return inner
        current().singular.append((name, ()))
        return choose(both, compose(x, _value_alone), inner)

    return named(function, name, words)


xlogy = _times_log("xlogy", log, 0, "``x log y``, 0 where x is.")
xlog1py = _times_log("xlog1py", log1p, 1, "``x log(1 + y)``, 0 where x is.")


def entr(x: Any) -> Array:
    """``-x log x``, 0 where x is."""
    return negative(xlogy(x, x))


def logit(x: Any) -> Array:
    """``log(x / (1 - x))``."""
    return log(divide(x, subtract(1, x)))


def i0e(x: Any) -> Array:
    """``e^-|x| I_0(x)``."""
    return _i0e_of_size(absolute(x))


def i1e(x: Any) -> Array:
    """``e^-|x| I_1(x)``."""
    return multiply(x, _i1e_over_size(absolute(x)))


def cumlogsumexp(x: Any, axis: int = -1) -> Array:
    """Running ``log sum e^x`` along an axis."""
    rows: list[Array] = []
    for row in asarray(x).map(lambda c: np.moveaxis(c, axis, 0)):
        rows.append(logaddexp(rows[-1], row) if rows else row)
    return stack(rows).map(lambda c: np.moveaxis(c, 0, axis))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "beta": beta, "betaln": betaln, "cumlogsumexp": cumlogsumexp, "digamma": digamma, "entr": entr, "erfinv": erfinv,
    "gammaln": gammaln, "i0": i0, "i0e": i0e, "i1": i1, "i1e": i1e, "log_ndtr": log_ndtr, "logit": logit, "ndtr": ndtr,
    "ndtri": ndtri, "polygamma": polygamma, "sinc": sinc, "xlog1py": xlog1py, "xlogy": xlogy,
}  # fmt: skip
