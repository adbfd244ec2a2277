"""Matrix products to twice the precision of float64 by BLAS, with a rigorous radius.

Both factors are cut into slices of so few bits that a product of two slices is exact in float64, however BLAS adds it
up. Rows of the left factor and columns of the right one are scaled by powers of two, so that bits count from their
largest element. Slices p and q give bits p + q down from there; of each such level all pairs are one product, their
slices side by side. What is left out is bounded by its size; radii are products of absolute values, for which BLAS may
round in any order.

Reference: K. Ozaki, T. Ogita, S. Oishi and S. M. Rump, "Error-free transformations of matrix multiplication by using
fast routines of matrix multiplication and its applications", Numer. Algorithms 59 (2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.doubled import SAFE, TINY, UNIT, UP, Parts, multiply, total, two_sum

Values = npt.NDArray[np.float64]

#: Slices of a factor at most, and levels of products: some 100 bits.
LEVELS = 5
#: Elements of a product that are computed at a time, and rows at least: for each BLAS packs the whole other factor.
CELLS, ROWS = 2**16, 256
#: Sums of products that are all smaller than the largest of their row and column by so many slices are made one by one,
#: if they have no more terms than this in all: entries of a gradient that only the least adjoints reach, for one.
_FINE, DIRECT = 1.0, 2**23
#: An exponent range of columns, in bits, from which on the inner axis is balanced between the factors.
_UNEVEN = 12


@dataclass(frozen=True)
class _Cut:
    """A factor in slices, as the left one of a product: scaled by rows.

    Attributes:
        slices: side by side, shape (..., m, levels k).
        count: of slices that are not zero, the others are not set.
        exact: nothing is left over.
        scales: of the rows, shape (..., m, 1): powers of two, 0 for a row of exact zeros.
        sizes: absolute values over the scales, shape (..., m, k).
        radii: the same of the radii; None where all are zero.
    """

    slices: Values
    count: int
    exact: bool
    scales: Values
    sizes: Values
    radii: Values | None

    def used(self) -> Any:
        """One where elements are no exact zeros."""
        used = self.sizes != 0
        return (used if self.radii is None else used | (self.radii != 0)).astype(np.float32)


def product(a: Parts, b: Parts, levels: int = LEVELS) -> Parts:
    """``a @ b`` of shapes (..., m, k) and (..., k, n), broadcast over the leading axes; k must not be 0."""
    k = a[0].shape[-1]
    bits = slice_bits(k * levels)
    balance = _balance(a, b)
    if balance is not None:
        a, b = tuple(x * balance for x in a), tuple(x / balance[:, None] for x in b)
    left = _cut(a, bits, levels)
    b = tuple(np.swapaxes(x, -1, -2) for x in b)
    right = _cut(b, bits, levels, reverse=True)
    lead = np.broadcast_shapes(a[0].shape[:-2], b[0].shape[:-2])
    m, n = a[0].shape[-2], b[0].shape[-2]
    out = tuple(np.empty((*lead, m, n)) for _ in range(3))
    coarse = np.zeros((*lead, m, n), bool)
    rows = m if lead else max(ROWS, CELLS // max(1, n))
    for start in range(0, m, rows):
        current().check_time()
        part = (..., slice(start, start + rows), slice(None))
        for whole, block in zip(out, _rows(left, right, part, bits, levels), strict=True):
            whole[part] = block
        if not _is_whole(left, right, levels):
            sizes = np.matmul(left.sizes[part], np.swapaxes(right.sizes, -1, -2))
            coarse[part] = (sizes > 0) & (sizes < k * 2.0 ** (-_FINE * bits))
    where = np.nonzero(coarse)
    if 0 < len(where[0]) <= DIRECT // k:
        terms = (
            [np.broadcast_to(x, (*lead, *x.shape[-2:]))[(*where[:-2], i)] for x in c]
            for c, i in ((a, where[-2]), (b, where[-1]))
        )
        (ah, al, ar), (bh, bl, br) = terms
        for whole, found in zip(out, total(multiply((ah, al, ar), (bh, bl, br))), strict=True):
            whole[where] = found
    return out[0], out[1], out[2]


def _is_whole(left: _Cut, right: _Cut, levels: int) -> bool:
    """Whether the slices are all of both factors, and all their products are made."""
    return left.exact and right.exact and left.count + right.count <= levels + 1


def slice_bits(terms: int) -> int:
    """Bits of a slice such that so many products of two slices, each half a unit at most, add up to 2^53 units."""
    return (55 - math.ceil(math.log2(max(1, terms)))) // 2


def _rows(left: _Cut, right: _Cut, part: Any, bits: int, levels: int) -> Parts:
    """The product for some rows of the left factor."""
    k = left.sizes.shape[-1]
    slices, others = left.slices[part], np.swapaxes(right.slices, -1, -2)
    high, low, lost = 0.0, 0.0, 0.0
    for level in range(1, levels + 1):
        first, last = max(1, level + 1 - right.count), min(left.count, level)
        if first > last:
            break
        start = (levels - level - 1 + first) * k
        pairs = (last - first + 1) * k
        exact = np.matmul(slices[..., (first - 1) * k : last * k], others[..., start : start + pairs, :])
        high, e = two_sum(high, exact)
        low, f = two_sum(low, e)
        lost = lost + np.abs(f)
    high, low = two_sum(high, low)
    if not _is_whole(left, right, levels):
        # Pairs beyond the last level, at most levels - 1 and half a unit each, and what the slices leave of each.
        lost = lost + k * (levels + 2) / 4 * 2.0 ** (-levels * bits)
    spread = 0.0
    if right.radii is not None:
        spread = np.matmul(left.sizes[part], np.swapaxes(right.radii, -1, -2))
    if left.radii is not None:
        reach = right.sizes if right.radii is None else right.sizes + right.radii
        spread = spread + np.matmul(left.radii[part], np.swapaxes(reach, -1, -2))
    if left.radii is not None or right.radii is not None:
        lost = lost + spread * (1 + (k + 8) * 2 * UNIT) + k * TINY
    scales = left.scales[part], np.swapaxes(right.scales, -1, -2)
    factor = scales[0] * scales[1]
    used = (scales[0] != 0) & (scales[1] != 0)
    underflow = np.where((lost > 0) | (factor < SAFE * 2.0**200), k * TINY, 0.0)
    radius = np.where(used, lost * factor * UP + underflow, 0.0)
    if np.any(radius) and not (left.sizes.all() and right.sizes.all()):
        # Sums of exact zeros are exact zeros.
        radius = np.where(np.matmul(left.used()[part], np.swapaxes(right.used(), -1, -2)) > 0, radius, 0.0)
    high, low = high * factor, low * factor
    return high, low, np.where(np.isfinite(high + low), radius, np.inf)


def _balance(a: Parts, b: Parts) -> Values | None:
    """Powers of two, shape (k,), for columns of `a` whose sizes differ widely, as inputs in different units do."""
    columns = np.abs(a[0]).max(axis=tuple(range(a[0].ndim - 1)), initial=0)
    rows = np.abs(b[0]).max(axis=(*range(b[0].ndim - 2), b[0].ndim - 1), initial=0)
    both = (columns > 0) & (rows > 0)
    if not (both.any() and np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    of_columns, of_rows = np.frexp(columns[both])[1], np.frexp(rows[both])[1]
    if max(np.ptp(of_columns), np.ptp(of_rows)) < _UNEVEN:
        return None
    powers = np.zeros(len(both), int)
    powers[both] = (of_rows - of_columns) // 2
    # Nothing may underflow on the way.
    safe = np.abs(powers).max() < 100 and min(map(_least, (*a, *b))) > SAFE
    return np.ldexp(1.0, powers) if safe else None


def _least(x: Values) -> float:
    """The smallest magnitude that is not zero, 1 at most."""
    size = np.abs(x)
    return float(np.min(np.where(size == 0, 1.0, size), initial=1.0))


def _cut(x: Parts, bits: int, levels: int, *, reverse: bool = False) -> _Cut:
    """With the slices from the least one on, where reversed."""
    high, low, radius = x
    largest = np.abs(high).max(axis=-1, keepdims=True)
    some = largest if not radius.any() else np.maximum(largest, radius.max(axis=-1, keepdims=True))
    # Half of the scale is more than the largest element.
    exponents = np.maximum(np.frexp(largest)[1] + 1, -1000)
    scales = np.where(some > 0, np.where(largest < 2.0**1000, np.ldexp(1.0, exponents), np.nan), some)
    inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scales != 0)
    h, rest = high * inverse, low * inverse
    # Scaled down, the smallest might have underflown.
    exact = bool(min(_least(high), _least(low)) * np.min(inverse, initial=1.0, where=inverse > 0) > SAFE)
    sizes = np.abs(h) if exact else np.where(high != 0, np.maximum(np.abs(h), 2.0**-1074), 0.0)
    slices, count, left_over = _sliced(h, rest, bits, levels, reverse)
    radii = np.where(radius != 0, radius * inverse + TINY, 0.0) if radius.any() else None
    return _Cut(slices, count, exact and not left_over, scales, sizes, radii)


def _sliced(h: Values, rest: Values, bits: int, levels: int, reverse: bool) -> tuple[Values, int, bool]:
    """Slices of numbers of up to 1/2, how many of them are not all zero, and whether anything is left over."""
    k = h.shape[-1]
    slices = np.empty((*h.shape[:-1], levels * k))
    rows, step = slices.reshape(-1, levels, k), max(1, CELLS // (4 * k))
    high, low = h.reshape(-1, k), rest.reshape(-1, k)
    count, left_over = 1, False
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        x, y = high[block], low[block]
        for p in range(1, levels + 1):
            part = rows[block, levels - p if reverse else p - 1]
            if not x.any():
                part[...] = 0
                continue
            shift = 1.5 * 2.0 ** (52 - p * bits)  # beside it there is room for whole units of 2^(-p bits) only
            np.subtract(x + shift, shift, out=part)
            x, y = two_sum(x - part, y)
            count = max(count, p)
        left_over = left_over or bool(x.any())
    return slices, count, left_over
