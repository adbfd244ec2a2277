"""Elementary functions of `doubled` numbers: reduced by tables that balls enclose, then Taylor's series with remainder.

Each function is evaluated at the midpoint, in the arithmetic of `doubled`, and the radius of its argument is added by
the mean value theorem, with a bound of the slope over the whole ball.

Reference: J.-M. Muller, Elementary Functions, 2016, chapters 6 and 11.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from flint import arb

from gradparity.truth.numbers.doubled import (
    DOWN,
    ONE,
    SAFE,
    TINY,
    UP,
    Parts,
    add,
    divide,
    multiply,
    negative,
    polynomial,
    scale,
    subtract,
    two_sum,
    upper,
    where,
    widened,
)

#: Arguments of the exponential whose results stay clear of the ends of float64, and what those below have.
_LARGEST = 700.0
NOTHING: Parts = (0.0, 0.0, 2.0**-1009)
#: Table steps: the exponential's are 1 / 64, those of the logarithm's argument and of an angle 1 / 64 and 1 / 32.
_STEPS = 64
_ANGLES = 32


def parts_of(x: arb) -> tuple[float, float, float]:
    """A ball as a midpoint of two float64 numbers and a radius, which covers what they leave out."""
    with flint.ctx.workprec(192):
        high = float(x.mid())
        rest = x - arb(high)
        low = float(rest.mid())
        left = (rest - arb(low)).abs_upper()
        radius = float(left) * UP
        return high, low, radius if left.is_zero() else max(radius, TINY) if radius < SAFE else radius


def table(values: list[arb]) -> Parts:
    """Balls as parts."""
    high, low, radius = np.array([parts_of(x) for x in values]).T
    return high, low, radius


def _taken(parts: Parts, index: Any) -> Parts:
    return parts[0][index], parts[1][index], parts[2][index]


def _constants(make: Callable[[], Any]) -> Callable[[], Any]:
    def at_high_precision() -> Any:
        with flint.ctx.workprec(512):
            return make()

    return functools.cache(at_high_precision)


@_constants
def _inverse_factorials() -> list[Parts]:
    return [parts_of(1 / arb(math.factorial(k))) for k in range(16)]


@_constants
def _log_two() -> tuple[float, Parts]:
    """Ln 2 as a number of 40 bits, and the rest."""
    whole = math.ldexp(round(math.ldexp(math.log(2), 40)), -40)
    return whole, parts_of(arb(2).log() - arb(whole))


@_constants
def _exponentials() -> Parts:
    return table([(arb(j) / _STEPS).exp() for j in range(-_STEPS, _STEPS + 1)])


def _exponential(x: Parts) -> tuple[Parts, Parts, Any]:
    """``s, w, radius`` with ``e^x = s (1 + w)`` to the midpoint of x, and what x is off by, its reduction included."""
    inside = np.abs(x[0]) <= _LARGEST + 1
    high, low = np.where(inside, x[0], 0.0), np.where(inside, x[1], 0.0)
    k = np.rint(high * (1 / math.log(2)))
    whole, rest = _log_two()
    # k has 11 bits: its product with 40 is exact.
    reduced = subtract((*two_sum(high, -k * whole), 0.0), multiply((k, 0.0, 0.0), rest))
    reduced = add(reduced, (low, 0.0, 0.0))
    j = np.rint(reduced[0] * _STEPS)
    z = add(reduced, (-j / _STEPS, 0.0, 0.0))
    radius = np.where(inside, (x[2] + z[2]) * UP, np.inf)
    w = _expm1_near_zero((z[0], z[1], 0.0))
    s = scale(_taken(_exponentials(), j.astype(np.int64) + _STEPS), np.ldexp(1.0, k.astype(np.int64)))
    return s, w, radius


def _expm1_near_zero(z: Parts) -> Parts:
    """``e^z - 1`` for |z| <= 1/100: z (1 + z/2 + ... + z^4 / 5! + r), the terms from z^5 on in float64."""
    inverse = _inverse_factorials()
    tail = np.zeros_like(z[0])
    for k in range(13, 5, -1):
        tail = tail * z[0] + inverse[k][0]
    fourth = (z[0] * z[0]) ** 2
    size = np.abs(fourth * z[0])
    # Off by fifteen roundings of its first term at most, and z^13 / 14! and what follows are left out.
    lost = size * (2.0**-48 / 720) + size * fourth * fourth * 2.0**-34 + np.where(z[0] != 0, TINY, 0.0)
    tail = tail * (fourth * z[0])
    series = polynomial(z, [inverse[k] for k in (5, 4, 3, 2)])
    inner = add(multiply(series, z), (tail, 0.0, lost))
    return multiply(add(ONE, inner), z)


def spread(slope: Any, radius: Any) -> Any:
    """What a slope makes of a radius, even if the product underflows."""
    return np.where(radius == 0, 0.0, slope * radius + TINY)


def growth(radius: Any) -> Any:
    """No less than ``e^r - 1``; infinite where r is not small."""
    return np.where(radius < 0.5, radius * (1 + radius) * UP, np.inf)


def exp(x: Parts) -> Parts:
    """``e^x``."""
    s, w, radius = _exponential(x)
    value = add(s, multiply(s, w))
    value = where(_is_below(x), NOTHING, widened(value, spread(upper(value), growth(radius))))
    return where((x[0] == -np.inf) & (x[2] == 0), (0.0, 0.0, 0.0), value)


def expm1(x: Parts) -> Parts:
    """``e^x - 1``, to full relative precision."""
    s, w, radius = _exponential(x)
    value = add(subtract(s, ONE), multiply(s, w))
    value = widened(value, spread(upper(value) + 1, growth(radius)))
    return where(_is_below(x), (-1.0, 0.0, NOTHING[2]), value)


def _is_below(x: Parts) -> Any:
    """Where the exponential is proven to be no more than `NOTHING`."""
    return x[0] + x[2] < -_LARGEST - 1


@_constants
def _logarithms() -> tuple[Any, Parts]:
    """Numbers r of few bits by which one in [j / 64, (j + 1) / 64) is near 1, and ``-log r``."""
    places = range(_STEPS // 2, 2 * _STEPS + 1)
    inverses = [1.0 if abs(j - _STEPS) <= 1 else round(2**10 * _STEPS / j) / 2**10 for j in places]
    return np.array(inverses), table([-arb(r).log() for r in inverses])


def log(x: Parts) -> Parts:
    """``log x`` of numbers proven positive."""
    return _logarithm(x, subtract(x, ONE))


def log1p(x: Parts) -> Parts:
    """``log(1 + x)``, to full relative precision."""
    return _logarithm(add(ONE, x), x)


def _logarithm(x: Parts, less_one: Parts) -> Parts:
    """``log x = k log 2 - log r + log(1 + f)``, with ``1 + f = r x / 2^k``; `less_one` is x - 1, known better."""
    least = x[0] * (1 - 2.0**-44) - x[2]
    known = (least > 0) & (x[0] < np.inf)
    high = np.where(known, x[0], 1.0)
    fraction, k = np.frexp(high)
    lower = fraction < math.sqrt(0.5)
    fraction, k = np.where(lower, 2 * fraction, fraction), np.where(lower, k - 1, k)
    inverses, logarithms = _logarithms()
    j = np.rint(fraction * _STEPS).astype(np.int64) - _STEPS // 2
    r = inverses[j]
    fine = (fraction, np.where(known, np.ldexp(x[1], -k), 0.0), np.where(x[1] != 0, TINY, 0.0))
    f = add(multiply(fine, (r, 0.0, 0.0)), negative(ONE))
    plain = (k == 0) & (r == 1)
    f = where(plain, (less_one[0], less_one[1], np.zeros_like(high)), f)
    near = _log1p_near_zero(f)
    whole, rest = _log_two()
    k = k.astype(np.float64)
    far = add((k * whole, 0.0, 0.0), multiply((k, 0.0, 0.0), rest))
    value = where(plain, near, add(add(far, _taken(logarithms, j)), near))
    # log is steepest at the lower end: log(m) - log(m - r) <= r / (m - r).
    radius: Any = np.where(plain, less_one[2], x[2])
    lost = np.where(radius == 0, 0.0, radius / least * UP + TINY)
    return value[0], value[1], np.where(known, (value[2] + lost) * UP, np.inf)


def _log1p_near_zero(f: Parts) -> Parts:
    """``2 artanh(s)``, s = f / (2 + f): 2 s (1 + s^2 / 3 + s^4 / 5 + ...), for |f| <= 1/30; from s^8 on in float64."""
    s = divide(f, add((2.0, 0.0, 0.0), f))
    square = multiply(s, s)
    q = square[0]  # s^2
    tail = np.zeros_like(q)
    for k in range(19, 8, -2):
        tail = tail * q + 1.0 / k
    fourth = (q * q) ** 2
    # Off by a dozen roundings of its first term at most, and q^10 / 21 and what follows are left out.
    lost = fourth * (2.0**-48 / 9) + fourth * fourth * (q * q) / 20 + square[2]
    lost = lost + np.where((q != 0) | (square[2] > 0), TINY, 0.0)
    tail = tail * fourth
    inner = polynomial(square, [_odd()[k] for k in (7, 5, 3)])
    inner = add(multiply(inner, square), (tail, 0.0, lost))
    return scale(multiply(add(ONE, inner), s), 2.0)


@_constants
def _odd() -> dict[int, Parts]:
    return {k: parts_of(1 / arb(k)) for k in (3, 5, 7)}


def sigmoids(x: Parts) -> tuple[Parts, Parts]:
    """``1 / (1 + e^-x)`` and ``1 / (1 + e^x)``, whichever is small to full relative precision."""
    positive = x[0] > 0
    e = _decaying(where(positive, negative(x), x))
    larger = divide(ONE, add(ONE, e))
    smaller = divide(e, add(ONE, e))
    # The slope is their product, and its logarithm's slope less than one.
    lost = spread(upper(smaller) * upper(larger), growth(x[2]))
    smaller, larger = widened(smaller, lost), widened(larger, lost)
    return where(positive, larger, smaller), where(positive, smaller, larger)


def _decaying(x: Parts) -> Parts:
    """``e^x`` at the midpoint of x."""
    return exp((x[0], x[1], np.zeros_like(x[0])))


def softplus(x: Parts) -> Parts:
    """``log(1 + e^x)``; its slope is the sigmoid, whose logarithm has a slope of 1 at most."""
    positive = x[0] > 0
    e = _decaying(where(positive, negative(x), x))
    value = add(log1p(e), where(positive, (x[0], x[1], np.zeros_like(x[0])), (0.0, 0.0, 0.0)))
    slope = np.where(positive, 1.0, upper(e)) / (1 + e[0] * DOWN) * UP
    return widened(value, spread(slope, growth(x[2])))


def tanh(x: Parts) -> Parts:
    """``(1 - q) / (1 + q)``, q = e^(-2|x|), from ``e^(-2|x|) - 1``."""
    positive = x[0] > 0
    size = where(positive, x, negative(x))
    q = expm1((-2 * size[0], -2 * size[1], np.zeros_like(size[0])))
    value = divide(negative(q), add((2.0, 0.0, 0.0), q))
    # The slope is at most 4 e^(-2|x|), and as the logarithm of the slope has one of 2 at most, times e^(2 r).
    steepest = np.minimum(1.0, 4 * (q[0] + 1 + 2.0**-50) / (q[0] + 2) ** 2 * UP)
    lost = spread(np.minimum(1.0, steepest * (1 + growth(2 * x[2]))), x[2])
    return where(positive, widened(value, lost), widened(negative(value), lost))


def sech(x: Parts) -> Parts:
    """``2 e^-|x| / (1 + e^(-2|x|))``; the logarithm of it has a slope of 1 at most."""
    size = where(x[0] > 0, negative(x), x)
    e = _decaying(size)
    value = scale(divide(e, add(ONE, multiply(e, e))), 2.0)
    return widened(value, spread(upper(value), growth(x[2])))


@_constants
def _quarter_turn() -> tuple[float, float, Parts]:
    """A quarter turn, pi / 2, as two numbers of 30 bits, and the rest."""
    half = arb.pi() / 2
    first = math.ldexp(round(math.ldexp(float(half), 29)), -29)
    second = math.ldexp(round(math.ldexp(float(half - arb(first)), 60)), -60)
    return first, second, parts_of(half - arb(first) - arb(second))


@_constants
def _angles() -> tuple[Parts, Parts]:
    places = [arb(j) / _ANGLES for j in range(-_ANGLES, _ANGLES + 1)]
    return table([x.sin() for x in places]), table([x.cos() for x in places])


def sin_cos(x: Parts) -> tuple[Parts, Parts]:
    """Sine and cosine, of angles below 2^20; not known beyond."""
    inside = np.abs(x[0]) < 2.0**20
    high, low = np.where(inside, x[0], 0.0), np.where(inside, x[1], 0.0)
    k = np.rint(high * (2 / math.pi))
    first, second, rest = _quarter_turn()
    reduced = add((*two_sum(high, -k * first), 0.0), (-k * second, 0.0, 0.0))
    reduced = subtract(add(reduced, (low, 0.0, 0.0)), multiply((k, 0.0, 0.0), rest))
    j = np.rint(reduced[0] * _ANGLES)
    z = add(reduced, (-j / _ANGLES, 0.0, 0.0))
    radius = np.where(inside, (x[2] + z[2]) * UP, np.inf)
    z = (z[0], z[1], 0.0)
    square = multiply(z, z)
    sine = multiply(z, add(ONE, multiply(square, _alternating(square, 3))))
    cosine = multiply(square, _alternating(square, 2))  # less one
    sines, cosines = (_taken(each, j.astype(np.int64) + _ANGLES) for each in _angles())
    at_table = j == 0
    s = where(at_table, sine, add(sines, add(multiply(sines, cosine), multiply(cosines, sine))))
    c = add(cosines, subtract(multiply(cosines, cosine), multiply(sines, sine)))
    turn = k.astype(np.int64) % 4
    odd = turn % 2 == 1
    s, c = where(odd, c, s), where(odd, s, c)
    s = where(turn >= 2, negative(s), s)
    c = where((turn == 1) | (turn == 2), negative(c), c)
    # |sin(m + d) - sin m| <= |cos m| d + d^2 / 2.
    return widened(s, spread(upper(c) + radius, radius)), widened(c, spread(upper(s) + radius, radius))


def _alternating(square: Parts, first: int) -> Parts:
    """``-1 / n! + z^2 / (n + 2)! - ...`` with n = first, for |z| <= 1/60; from the fourth term on in float64."""
    inverse = _inverse_factorials()
    q = square[0]
    signed = [inverse[first + 2 * i] if i % 2 else negative(inverse[first + 2 * i]) for i in range(6)]
    tail = (signed[5][0] * q + signed[4][0]) * q + signed[3][0]
    size = inverse[first + 6][0]
    third = q * q * q
    lost = third * (size * 2.0**-48) + third * third * (inverse[first + 12][0] * 2)
    lost = lost + np.where((q != 0) | (square[2] > 0), TINY, 0.0)
    series = polynomial(square, signed[2::-1])
    return add(series, (tail * third, 0.0, lost))
