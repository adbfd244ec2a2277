"""The error function and its complement of `doubled` numbers, by series of the scaled complement at places of a table.

    erfc(x) = e^(-x^2) w(x),  w(x) = 2 / sqrt(pi) int_0^inf e^(-t^2 - 2 x t) dt,  w' = 2 x w - 2 / sqrt(pi)

so that coefficients of w(c + z) follow from w(c): (k + 1) a_{k+1} = 2 c a_k + 2 a_{k-1}, less 2 / sqrt(pi) for k = 0.

Reference: NIST Digital Library of Mathematical Functions, 7.2.3 and 7.10.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import flint
import numpy as np
from flint import arb

from gradparity.truth.numbers import elementary
from gradparity.truth.numbers.doubled import (
    ONE,
    TINY,
    UP,
    Parts,
    add,
    multiply,
    negative,
    polynomial,
    subtract,
    upper,
    where,
    widened,
)

#: Places of the table are 1 / 16 apart, and reach to where the complement is below 2^-1009.
_STEPS, _LAST = 16, 27
#: Coefficients of a series, and of those the first, which are not rounded to float64.
_TERMS, _FIRST = 18, 9
#: Below it the function is taken from its own series.
_SMALL = 1 / 16


@functools.cache
def _series() -> tuple[Parts, Any, Any]:
    """Coefficients at each place, in full and in float64, and what the latter's sum loses over |z|^_FIRST.

    What is left out is M (|z| / 2)^n / (1 - |z| / 2) at most, n the number of terms and M the largest |w| within 2 of
    the place (Cauchy); |w(x + iy)| <= w(x), which is 1 at most from x = 0 on, and 110 from -2 on.
    """
    full, rounded, lost = [], [], []
    with flint.ctx.workprec(512):
        for j in range(_STEPS * _LAST + 1):
            c = arb(j) / _STEPS
            a = [(c * c).exp() * c.erfc()]
            for k in range(_TERMS - 1):
                inner = 2 * c * a[k] + (2 * a[k - 1] if k else -2 / arb.pi().sqrt())
                a.append(inner / (k + 1))
            full.append([elementary.parts_of(x) for x in a[:_FIRST]])
            rounded.append([float(x.mid()) for x in a[_FIRST:]])
            sizes = math.fsum(abs(x) / 31**k for k, x in enumerate(rounded[-1]))
            left_out = (110 if j < 2 * _STEPS else 1) * 2.0**-_TERMS / 31 ** (_TERMS - _FIRST) * 1.1
            # Fewer than sixty roundings: of a power, of Horner's rule, and of z itself.
            lost.append(sizes * 2.0**-47 + left_out)
    high, low, radius = np.array(full).transpose(2, 1, 0)
    return (high, low, radius), np.array(rounded).T, np.array(lost)


@functools.cache
def _odd_series() -> list[Parts]:
    """``2 / sqrt(pi) (-1)^k / (k! (2 k + 1))``."""
    with flint.ctx.workprec(512):
        scale = 2 / arb.pi().sqrt()
        return [elementary.parts_of(scale * (-1) ** k / (math.factorial(k) * (2 * k + 1))) for k in range(13)]


def _scaled(x: Parts) -> Parts:
    """``w(x)`` at the midpoint of 0 <= x <= _LAST."""
    j = np.rint(x[0] * _STEPS)
    z = add((x[0], x[1], 0.0), (-j / _STEPS, 0.0, 0.0))
    j = j.astype(np.int64)
    full, rounded, lost = _series()
    tail = np.zeros_like(z[0])
    for each in rounded[::-1]:
        tail = tail * z[0] + each[j]
    power = ((z[0] * z[0]) ** 2) ** 2 * z[0]
    series = polynomial((z[0], z[1], 0.0), [tuple(part[k][j] for part in full) for k in range(_FIRST - 1, -1, -1)])
    off = np.abs(power) * lost[j] + np.where(z[0] != 0, TINY, 0.0) + 2 * z[2]
    return add(series, (tail * power, 0.0, off))


def _near_zero(x: Parts) -> Parts:
    """``erf(x)`` at the midpoint of |x| <= _SMALL: terms from x^11 on in float64."""
    b = _odd_series()
    square = multiply((x[0], x[1], 0.0), (x[0], x[1], 0.0))
    q = square[0]
    tail = np.zeros_like(q)
    for k in range(11, 4, -1):
        tail = tail * q + b[k][0]
    fifth = q * q * q * q * q
    # The terms alternate and fall: the first of those left out bounds them all.
    off = fifth * (abs(b[5][0]) * 2.0**-47 + q**7 * abs(b[12][0]) * UP) + np.where(x[0] != 0, TINY, 0.0) + square[2]
    series = add(polynomial(square, b[4::-1]), (tail * fifth, 0.0, off))
    return multiply(series, (x[0], x[1], 0.0))


def _decay(x: Parts) -> Parts:
    """``e^(-x^2)`` at the midpoint of x."""
    return elementary.exp(negative(multiply((x[0], x[1], 0.0), (x[0], x[1], 0.0))))


def _parts(x: Parts) -> tuple[Parts, Parts, Any]:
    """|x| at its midpoint, at most _LAST, the complement there, and what the radius of x makes of both functions."""
    positive = x[0] > 0
    inside = np.abs(x[0]) <= _LAST
    size = where(positive, x, negative(x))
    at = (np.where(inside, size[0], 0.0), np.where(inside, size[1], 0.0), np.zeros_like(x[0]))
    decay = _decay(at)
    value = where(inside, multiply(decay, _scaled(at)), elementary.NOTHING)
    # The slope, 2 / sqrt(pi) e^(-x^2), grows by e^(2 |x| r) at most.
    far = np.where(size[0] - x[2] > _LAST, elementary.NOTHING[2], 1.0)
    steepest = np.where(inside, upper(decay) * (1 + elementary.growth(2 * size[0] * x[2])), far)
    return at, value, elementary.spread(np.minimum(1.0, steepest) * 1.13, x[2])


def _is_end(x: Parts) -> Any:
    return np.isinf(x[0]) & (x[2] == 0)


def erfc(x: Parts) -> Parts:
    """``2 / sqrt(pi) int_x^inf e^(-s^2) ds``, of positive numbers up to 26 to full relative precision."""
    _, value, lost = _parts(x)
    value = widened(where(x[0] > 0, value, subtract((2.0, 0.0, 0.0), value)), lost)
    return where(_is_end(x), (1 - np.sign(x[0]), 0.0, 0.0), value)


def erf(x: Parts) -> Parts:
    """``2 / sqrt(pi) int_0^x e^(-s^2) ds``, to full relative precision."""
    at, complement, lost = _parts(x)
    small = at[0] <= _SMALL
    near = _near_zero((np.where(small, at[0], 0.0), np.where(small, at[1], 0.0), 0.0))
    value = where(small & (np.abs(x[0]) <= _SMALL), near, subtract(ONE, complement))
    value = widened(where(x[0] > 0, value, negative(value)), lost)
    return where(_is_end(x), (np.sign(x[0]), 0.0, 0.0), value)
