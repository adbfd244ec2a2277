"""Smooth elementary functions: each by its value, its first derivative and half its second, in balls.

The derivative formulas are those that do not cancel where the value saturates: ``sech^2`` and not ``1 - tanh^2``, so
that a logit of 800 needs no extra precision.

Reference: NIST Digital Library of Mathematical Functions, sections 4.20, 4.34 and 7.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb

from gradparity.truth.numbers.arrays import Array, asarray, named
from gradparity.truth.numbers.balls import Coefficient, infinities
from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.lanes import root_pi
from gradparity.truth.numbers.midrad import MidRad
from gradparity.truth.numbers.notes import refuse
from gradparity.truth.numbers.rounding import rounded
from gradparity.truth.numbers.tape import Traced
from gradparity.truth.xp.arithmetic import FromValue, add, compose, divide, multiply, note_singular, subtract
from gradparity.truth.xp.kinks import choose
from gradparity.truth.xp.shaping import broadcast_arrays


def _exp(x: arb) -> tuple[arb, ...]:
    e = x.exp()
    return e, e, e / 2


def _inverse(u: arb) -> tuple[arb, ...]:
    """Derivatives of the logarithm: 1/u, -1/(2 u^2)."""
    return 1 / u, -1 / (2 * u * u)


def _tanh(x: arb) -> tuple[arb, ...]:
    t, s = x.tanh(), x.sech() ** 2
    return t, s, -t * s


def _sinh(x: arb) -> tuple[arb, ...]:
    s, c = x.sinh_cosh()
    return s, c, s / 2


def _cosh(x: arb) -> tuple[arb, ...]:
    s, c = x.sinh_cosh()
    return c, s, c / 2


def _sin(x: arb) -> tuple[arb, ...]:
    s, c = x.sin_cos()
    return s, c, -s / 2


def _cos(x: arb) -> tuple[arb, ...]:
    s, c = x.sin_cos()
    return c, -s, -c / 2


def _tan(x: arb) -> tuple[arb, ...]:
    t, s = x.tan(), x.sec() ** 2
    return t, s, t * s


def _of_quotient(value: arb, d: arb, x: arb) -> tuple[arb, ...]:
    """Of a function whose slope is d = 1 / (1 - x^2), or for -x 1 / (1 + x^2)."""
    return value, d, x * d * d


def _of_root(value: arb, d: arb, x: arb) -> tuple[arb, ...]:
    """Of a function whose slope is d = (1 - x^2)^(-1/2), or for -x (x^2 +- 1)^(-1/2)."""
    return value, d, x * d**3 / 2


def _asin(x: arb) -> tuple[arb, ...]:
    return _of_root(x.asin(), ((1 - x) * (1 + x)).rsqrt(), x)


def _erf(x: arb) -> tuple[arb, ...]:
    d = 2 * (-x * x).exp() / root_pi(x)
    return x.erf(), d, -x * d


def _sigmoid(x: Any) -> tuple[Any, ...]:
    """1 / (1 + e^-x); its slope is the product of both sides, of which either is small without cancellation."""
    up, down = x.sigmoids() if isinstance(x, MidRad) else (1 / (1 + (-x).exp()), 1 / (1 + x.exp()))
    slope = up * down
    return up, slope, slope * (down - up) / 2


def _softplus(x: Any) -> tuple[arb, ...]:
    """log(1 + e^x), written so that only the small side is exponentiated; its slope is the sigmoid."""
    if isinstance(x, MidRad):
        value = x.softplus()
    elif isinstance(x, arb):
        value = x + (-x).exp().log1p() if x.mid() > 0 else x.exp().log1p()
    else:
        value = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    up, slope, _ = _sigmoid(x)
    return value, up, slope / 2


# How JAX, PyTorch and autograd alike compute slopes and half curvatures from the value they have at hand. Where the
# value saturates, ``1 - y^2`` keeps an absolute accuracy only: nothing that a correct backend could help.


def _tanh_from_value(_: Coefficient, y: Coefficient) -> tuple[Coefficient, ...]:
    slope = rounded(1 - rounded(y * y))
    return slope, rounded(-y * slope)


def _expm1_from_value(_: Coefficient, y: Coefficient) -> tuple[Coefficient, ...]:
    slope = rounded(y + 1)
    return slope, slope / 2


def _sigmoid_from_value(_: Coefficient, y: Coefficient) -> tuple[Coefficient, ...]:
    slope = rounded(y * rounded(1 - y))
    return slope, rounded(slope * rounded(1 - 2 * y) / 2)


def _softplus_from_value(x: Coefficient, y: Coefficient) -> tuple[Coefficient, ...]:
    slope = rounded(np.exp(rounded(x - y)))
    return slope, rounded(slope * rounded(1 - slope) / 2)


def _log_sigmoid(x: Any) -> tuple[Any, ...]:
    value, slope, half = _softplus(-x)
    return -value, slope, -half


def _log_sigmoid_from_value(x: Coefficient, y: Coefficient) -> tuple[Coefficient, ...]:
    slope = rounded(np.exp(rounded(y - x)))
    other = rounded(1 - slope)  # the sigmoid, which PyTorch has and goes on with
    return slope, rounded(rounded(other - 1) * other / 2)


INFINITY = math.inf

#: Values at exact points, where FLINT has no number, which may be anything; or any sine at all.
_KNOWN: dict[str, dict[float, float]] = {
    "log": {0: -INFINITY}, "log1p": {-1: -INFINITY}, "arctanh": {1: INFINITY, -1: -INFINITY},
    "erf": {INFINITY: 1, -INFINITY: -1}, "erfc": {INFINITY: 0, -INFINITY: 2},
    "sin": {INFINITY: math.nan, -INFINITY: math.nan}, "cos": {INFINITY: math.nan, -INFINITY: math.nan},
}  # fmt: skip


def _corrected(name: str, x: Any, f: tuple[Any, ...]) -> tuple[Any, ...]:
    known = _KNOWN.get(name, {}) if isinstance(x, arb) else {}
    return next(((arb(value), *f[1:]) for point, value in known.items() if x == point), f)


def elementwise(
    name: str, jet: Callable[[Any], tuple[Any, ...]], formula: str, singular: Callable[[arb], bool] | None = None,
    from_value: FromValue | None = None, rough: int = 1,
) -> Callable[[Any], Array]:  # fmt: skip
    """A smooth function of each element.

    Args:
        name: what it is called.
        jet: its value, first derivative and half its second at a ball, or at an array of extended numbers.
        formula: what it computes.
        singular: whether it is proven to have no finite value or derivative at a ball.
        from_value: see `compose`.
        rough: how many roundings frameworks are off by.
    """

    def function(x: Any) -> Array:
        x = asarray(x)
        if singular is not None:
            note_singular(name, x.balls()[0], singular)
        return compose(x, lambda v, n: _corrected(name, v, jet(v))[: n + 1], from_value, rough=rough, pure=True)

    return named(function, name, f"``{formula}``, element by element.")


exp = elementwise("exp", _exp, "e^x")
expm1 = elementwise("expm1", lambda x: (x.expm1(), *_exp(x)[1:]), "e^x - 1", from_value=_expm1_from_value)
log = elementwise("log", lambda x: (x.log(), *_inverse(x)), "log x", lambda x: bool(x <= 0))
log1p = elementwise("log1p", lambda x: (x.log1p(), *_inverse(1 + x)), "log(1 + x)", lambda x: bool(x <= -1))
tanh = elementwise("tanh", _tanh, "tanh x", from_value=_tanh_from_value)
sinh = elementwise("sinh", _sinh, "sinh x")
cosh = elementwise("cosh", _cosh, "cosh x")
sin = elementwise("sin", _sin, "sin x")
cos = elementwise("cos", _cos, "cos x")
tan = elementwise("tan", _tan, "tan x")
arctan = elementwise("arctan", lambda x: _of_quotient(x.atan(), 1 / (1 + x * x), -x), "arctan x")
arcsin = elementwise("arcsin", _asin, "arcsin x", lambda x: bool(abs(x) >= 1))
arccos = elementwise(
    "arccos", lambda x: (x.acos(), *(-c for c in _asin(x)[1:])), "arccos x", lambda x: bool(abs(x) >= 1)
)
arcsinh = elementwise("arcsinh", lambda x: _of_root(x.asinh(), (1 + x * x).rsqrt(), -x), "arsinh x")
arccosh = elementwise(
    "arccosh", lambda x: _of_root(x.acosh(), ((x - 1) * (x + 1)).rsqrt(), -x), "arcosh x", lambda x: bool(x <= 1)
)
arctanh = elementwise(
    "arctanh", lambda x: _of_quotient(x.atanh(), 1 / ((1 - x) * (1 + x)), x), "artanh x", lambda x: bool(abs(x) >= 1)
)
erf = elementwise("erf", _erf, "2/sqrt(pi) int_0^x e^(-s^2) ds")
erfc = elementwise("erfc", lambda x: (x.erfc(), *(-c for c in _erf(x)[1:])), "1 - erf(x)")
sigmoid = elementwise("sigmoid", _sigmoid, "1 / (1 + e^-x)", from_value=_sigmoid_from_value)
log_sigmoid = elementwise("log_sigmoid", _log_sigmoid, "-log(1 + e^-x)", from_value=_log_sigmoid_from_value)
softplus = elementwise("softplus", _softplus, "log(1 + e^x)", from_value=_softplus_from_value)


def log2(x: Any) -> Array:
    """``log x / log 2``."""
    return divide(log(x), log(2))


def log10(x: Any) -> Array:
    """``log x / log 10``."""
    return divide(log(x), log(10))


def exp2(x: Any) -> Array:
    """``2^x``."""
    return exp(multiply(x, log(2)))


def _of_a_limit(x: Any, n: int) -> tuple[Any, ...]:
    """Zero, with slopes that are no numbers where x is infinite."""
    if isinstance(x, arb):
        slope: Any = arb(0) if x.is_finite() else arb.nan()
        return (arb(0), slope, slope)[: n + 1]
    slope = np.where(np.isfinite(x), x * 0, math.nan)
    return (np.zeros_like(slope), slope, slope)[: n + 1]


def _finite(c: Coefficient) -> Any:
    return np.isfinite(c) if c.dtype != object else np.vectorize(lambda value: value.is_finite(), otypes=[bool])(c)


def logaddexp(a: Any, b: Any) -> Array:
    """``log(e^a + e^b) = b + softplus(a - b)``; the other one beside -inf, which starts many a recursion, and inf."""
    a, b = broadcast_arrays(a, b)
    ends = [infinities(x.balls()[0]) for x in (a, b)]
    refuse("logaddexp")  # it chooses its larger side
    if any(end.any() for end in ends):
        # inf - inf is no number: where one is infinite the result is that one, or the other.
        infinite, zero = (ends[0] != 0) | (ends[1] != 0), asarray(0.0)
        inner = logaddexp(choose(infinite, zero, a), choose(infinite, zero, b))
        first = (ends[0] > 0) | ((ends[1] < 0) & (ends[0] <= 0))
        out = choose(infinite, choose(first, a, b), inner)
        for x, end in zip((a, b), ends, strict=True):
            # An infinity of data counts for nothing. One that is a limit may: logaddexp(0, log x) is log(1 + x).
            limit = (end != 0) & ~np.logical_and.reduce([_finite(c) for c in (np.zeros(x.shape), *x.balls()[1:])])
            if limit.any():
                out = add(out, compose(choose(limit, x, zero), _of_a_limit))
        return out
    if isinstance(b, Traced) and not isinstance(a, Traced):
        # Its slope is then softplus's own, rounded as frameworks round theirs, and not one less that of the other side.
        a, b = b, a
    elif isinstance(a, Traced) and isinstance(b, Traced) and current().noise is not None:
        # Frameworks form the slope of the larger side as exp(a - result), and lose a share u |a| of it.
        larger = np.broadcast_to(a.balls()[0] >= b.balls()[0], a.shape)
        a, b = choose(larger, a, b), choose(larger, b, a)
    return add(b, softplus(subtract(a, b)))
