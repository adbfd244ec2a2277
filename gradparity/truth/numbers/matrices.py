"""Matrices of balls through flint's own `arb_mat`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from flint import arb_mat

from gradparity.truth.numbers import slices
from gradparity.truth.numbers.balls import ZERO, Coefficient, box, fill
from gradparity.truth.numbers.midrad import MidRad, balls, split

#: Terms of a product of longdoubles from which on slices are quicker.
SLICED = 2**18
#: The coefficients of a truncated series.
Series: TypeAlias = Sequence[Coefficient]


def to_mat(c: Coefficient) -> arb_mat:
    """A matrix of balls, shape (m, n), as flint's own."""
    return arb_mat(c.shape[0], c.shape[1], c.ravel().tolist())


def from_mat(m: arb_mat) -> Coefficient:
    """Flint's matrix as an object array, shape (m, n)."""
    return fill((m.nrows(), m.ncols()), m.entries())


def product(a: Coefficient, b: Coefficient) -> Coefficient:
    """Matrix product of enclosures, shapes (..., m, k) and (..., k, n), broadcast over the leading axes."""
    if isinstance(a, MidRad):
        return box(np.matmul(a, b))
    (m, k), n = a.shape[-2:], b.shape[-1]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if not (k and m and n and math.prod(lead)):
        return np.full((*lead, m, n), ZERO, dtype=object)
    if not lead:
        return from_mat(to_mat(a) * to_mat(b))
    a, b = np.broadcast_to(a, (*lead, m, k)), np.broadcast_to(b, (*lead, k, n))
    out = np.empty((*lead, m, n), dtype=object)
    for index in np.ndindex(*lead):
        out[index] = from_mat(to_mat(a[index]) * to_mat(b[index]))
    return out


def extended_product(a: Coefficient, b: Coefficient) -> Coefficient:
    """Matrix product of plain numbers or draws; of longdoubles by BLAS in slices where they are large.

    As accurate as one that is added up in the numbers' own dtype.
    """
    if a.size * b.shape[-1] < SLICED or not a.dtype == b.dtype == np.longdouble:
        return box(np.matmul(a, b))
    left, right = split(a), split(b)
    if left is None or right is None:
        return box(np.matmul(a, b))
    exact = [np.broadcast_to(np.zeros(()), x.shape) for x in (a, b)]
    high, low, _ = slices.product((*left, exact[0]), (*right, exact[1]), levels=4)
    return np.asarray(high.astype(np.longdouble) + low)


def of_each(f: Callable[..., Series], *operands: Series, shape: tuple[int, ...]) -> tuple[Coefficient, ...]:
    """`f` of series of single matrices, for series of batches of them, broadcast over the leading axes.

    Args:
        f: takes a list of coefficients, shape (m, n) each, for every operand, and gives one.
        operands: series whose coefficients have shapes (..., m, n).
        shape: of one of the results.
    """
    lead = np.broadcast_shapes(*(series[0].shape[:-2] for series in operands))
    if not math.prod(lead):
        return (np.full((*lead, *shape), ZERO, dtype=object),)
    operands = tuple([balls(c) if isinstance(c, MidRad) else c for c in series] for series in operands)
    if not lead:
        return tuple(f(*operands))
    each = [[np.broadcast_to(c, lead + c.shape[-2:]) for c in series] for series in operands]
    found = [f(*([c[index] for c in series] for series in each)) for index in np.ndindex(*lead)]
    return tuple(np.stack(parts).reshape(*lead, *shape) for parts in zip(*found, strict=True))
