"""Rigorous arithmetic on whole arrays: a midpoint of two float64 numbers, and a radius that bounds what it is off by.

A number is three arrays, ``(high, low, radius)``: the true one is within ``radius`` of ``high + low``, and ``low`` is
what rounding the sum to float64 leaves over. No rounding mode is switched: operations round to nearest, and underflow
gradually (`is_usual`). What an operation rounds is either computed
exactly, by `two_sum` and what divisions leave over, or bounded by u times a result, and added to the radius; the radius
itself is a sum of products of numbers that are not negative, rounded a dozen times, for which `UP` makes up. Results of
radius zero are exact, zeros among them. Where a product may have underflowed, and only there, the radius gets `TINY`.
What is no number, or too large to be split, has a radius that is none: it is not known. An infinity of the data, as
masks are made of, is one of radius zero; sums keep it, the exponential has its limit, products do not know it.

Reference: T. J. Dekker, "A floating-point technique for extending the available precision", Numer. Math. 18 (1971);
S. M. Rump, "Verification methods: rigorous results using floating-point arithmetic", Acta Numerica 19 (2010).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

#: high, low, radius; arrays that broadcast together, or numbers.
Parts: TypeAlias = tuple[Any, Any, Any]

UNIT = 2.0**-53  #: unit roundoff of float64
UP = 1 + 2.0**-44  #: more than what rounding a radius some hundred times takes off it
DOWN = 1 - 2.0**-44
TINY = 2.0**-1060  #: more than what some dozen underflows take off
#: Products of this size and more have no part that underflows, unless a factor's low part does.
SAFE = 2.0**-900
_FEW = 2.0**6  #: `TINY` over it is still a float64 number
_SPLITTER = 2.0**27 + 1

ONE: Parts = (1.0, 0.0, 0.0)


def is_usual() -> bool:
    """Whether float64 rounds to nearest, ties to even, and underflows gradually: a library may have it otherwise."""
    x = np.array([1.0, 1.0, -1.0, 2.0**-1022, 2.0**-1074])
    moved = x + np.array([2.0**-53, 3 * 2.0**-54, -(2.0**-53), 0.0, 0.0])
    halved = x[3:] * np.array([0.5, 1.0])
    return bool(moved[:3].tolist() == [1.0, 1 + 2.0**-52, -1.0] and halved.tolist() == [2.0**-1023, 2.0**-1074])


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """``a + b`` rounded, and what that leaves over, exactly (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _halves(a: Any) -> tuple[Any, Any]:
    """Two numbers of 26 bits whose sum is `a` (Veltkamp)."""
    c = _SPLITTER * a
    high = c - (c - a)
    return high, a - high


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """``a b`` rounded, and what that leaves over, exactly unless it underflows (Dekker)."""
    p = a * b
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return p, al * bl - (((p - ah * bh) - al * bh) - ah * bl)


def add(a: Parts, b: Parts) -> Parts:
    """``a + b``; what is not kept is known exactly."""
    s, e = two_sum(a[0], b[0])
    t, f = two_sum(a[1], b[1])
    v, g = two_sum(e, t)
    high, low = two_sum(s, v)
    radius = (a[2] + b[2] + np.abs(f) + np.abs(g)) * UP
    if np.isfinite(s).all():
        return high, low, radius
    # An infinity of the data, and something that is finite or as infinite.
    ends = [np.isinf(x[0]) & (x[2] == 0) for x in (a, b)]
    fine = [end | (np.isfinite(x[0]) & np.isfinite(x[2])) for end, x in zip(ends, (a, b), strict=True)]
    infinite = (ends[0] | ends[1]) & fine[0] & fine[1] & np.isinf(s)
    return where(infinite, (s, 0.0, 0.0), (high, low, radius))


def negative(a: Parts) -> Parts:
    """``-a``."""
    return -a[0], -a[1], a[2]


def subtract(a: Parts, b: Parts) -> Parts:
    """``a - b``."""
    return add(a, negative(b))


def _underflow(lost: Any, *sizes: Any) -> Any:
    """More than what underflows take off where anything is `lost` at all; nothing where a size is zero."""
    for size in sizes:
        lost = np.minimum(lost, size)
    return np.minimum(lost, TINY / _FEW) * _FEW


def _small(p: Any, *factors: Any) -> Any:
    """`TINY` where a product is so small that its parts may underflow, though no factor is zero."""
    small = np.abs(p) < SAFE
    if not np.any(small):
        return 0.0
    for factor in factors:
        small = small & (factor != 0)
    return np.where(small, TINY, 0.0)


def multiply(a: Parts, b: Parts) -> Parts:
    """``a b``: the product of the low parts is left out, those of low and high are rounded."""
    p, e = two_product(a[0], b[0])
    c, d = a[0] * b[1], a[1] * b[0]
    v, g = two_sum(e, c + d)
    size_a, size_b = np.abs(a[0]), np.abs(b[0])
    reach_a, reach_b = size_a + a[2], size_b + b[2]
    # Either of the two is off by u of itself, and so is their sum; `UP` makes up for |a| being |high| (1 + u).
    lost = 2 * UNIT * (np.abs(c) + np.abs(d)) + np.abs(a[1] * b[1]) + np.abs(g)
    lost = lost + (a[2] * reach_b + size_a * b[2])
    inexact = np.abs(a[1]) + np.abs(b[1]) + a[2] + b[2]
    lost = lost + _underflow(inexact, reach_a, reach_b) + _small(p, a[0], b[0])
    return (*two_sum(p, v), lost * UP)


def scale(a: Parts, factor: Any) -> Parts:
    """``a`` times powers of two."""
    high, low = a[0] * factor, a[1] * factor
    lost = a[2] * factor
    inexact = np.where(np.abs(high) < SAFE, np.abs(a[0]) + a[2], np.where(np.abs(low) < SAFE, np.abs(a[1]) + a[2], 0))
    return (*two_sum(high, low), lost + _underflow(inexact))


def divide(a: Parts, b: Parts) -> Parts:
    """``a / b``: two digits of float64 by division, and what they leave over bounded, exactly zero where it is."""
    q, rest = _digit(a[0], b[0])
    f = q * b[1]
    t, g = two_sum(a[1], -f)
    r, h = two_sum(rest, t)
    q2, rest2 = _digit(r, b[0])
    high, low = two_sum(q, q2)
    size = np.abs(high)
    left = np.abs(rest2) + UNIT * np.abs(f) + np.abs(g) + np.abs(h) + np.abs(q2 * b[1])
    inexact = np.abs(a[1]) + np.abs(b[1]) + a[2] + b[2]
    reach = np.abs(a[0]) + a[2]
    tiny = _underflow(inexact, reach)
    tiny = tiny + np.where((reach > 0) & (np.minimum(np.abs(a[0]), size) < SAFE), TINY, 0.0)
    least = (np.abs(b[0]) * DOWN - b[2]) * DOWN
    radius = (left + a[2] + size * b[2] + tiny) / least * UP + tiny
    return high, low, np.where(least > 0, radius, np.inf)


def _digit(a: Any, b: Any) -> tuple[Any, Any]:
    """``a / b`` rounded, and the rest ``a - q b``, which is a float64 number unless it underflows."""
    q = a / b
    p, e = two_product(q, b)
    return q, (a - p) - e


def sqrt(a: Parts) -> Parts:
    """The root of a positive number, or of an exact zero; not known for others."""
    root = np.sqrt(a[0])
    p, e = two_product(root, root)
    r, g = two_sum((a[0] - p) - e, a[1])
    second, rest = _digit(r, 2 * root)
    high, low = two_sum(root, second)
    left = np.abs(rest) + np.abs(g) + second * second
    inexact = np.abs(a[1]) + a[2] + np.abs(second)
    tiny = _underflow(inexact) + np.where(a[0] < SAFE, TINY, 0.0)
    least = np.sqrt(np.maximum(a[0] * DOWN - a[2], 0)) * DOWN
    radius = ((left + tiny) / (2 * root * DOWN) + a[2] / (root * DOWN + least)) * UP + tiny
    zero = (a[0] == 0) & (a[2] == 0)
    known = (a[0] * DOWN > a[2]) | zero
    radius = np.where(known, radius, np.inf)
    return np.where(zero, 0.0, high), np.where(zero, 0.0, low), np.where(zero, 0.0, radius)


def widened(a: Parts, by: Any) -> Parts:
    """The same midpoint with more radius."""
    return a[0], a[1], (a[2] + by) * UP


def upper(a: Parts) -> Any:
    """No less than the magnitude of the number."""
    return (np.abs(a[0]) + a[2]) * UP


def where(mask: Any, a: Parts, b: Parts) -> Parts:
    """Elements of `a` where the mask holds, of `b` elsewhere."""
    return np.where(mask, a[0], b[0]), np.where(mask, a[1], b[1]), np.where(mask, a[2], b[2])


def total(a: Parts) -> Parts:
    """Sums over the last axis, in pairs."""
    while a[0].shape[-1] > 1:
        half = a[0].shape[-1] // 2
        parts = (slice(half), slice(half, 2 * half), slice(2 * half, None))
        first, second, rest = ((a[0][..., part], a[1][..., part], a[2][..., part]) for part in parts)
        high, low, radius = (np.concatenate(each, -1) for each in zip(add(first, second), rest, strict=True))
        a = high, low, radius
    return a[0][..., 0], a[1][..., 0], a[2][..., 0]


def polynomial(x: Parts, coefficients: list[Parts]) -> Parts:
    """Horner's rule, highest first."""
    total = coefficients[0]
    for c in coefficients[1:]:
        total = add(multiply(total, x), c)
    return total
