"""Linear algebra in extended precision, which LAPACK does not have: elimination by columns, to first order in t.

Where the evaluation rounds, the noise is what every step rounds: that of a backward stable elimination, pivots and
growth of this very matrix included. Matrices come in batches, shapes (..., n, n), and each is eliminated by itself.

Reference: Golub and Van Loan, Matrix Computations, 4th edition, algorithms 3.4.1 and 4.2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import box
from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.draws import draws_last, in_each_draw
from gradparity.truth.numbers.rounding import rounded, rounded_elimination, rounded_product

Values = npt.NDArray[Any]


def solve(a: Array, b: Array) -> Array:
    """``A^-1 B`` for (..., n, n) and (..., n, k): X_0 = A_0^-1 B_0, and X_1 = A_0^-1 (B_1 - A_1 X_0)."""
    factors = _lu(a.balls()[0])
    return _series(a, b, lambda right: _solve_lu(factors, right))


def solve_triangular(a: Array, b: Array, *, lower: bool) -> Array:
    """The same of a triangular A, by substitution."""
    T = a.balls()[0]
    return _series(a, b, lambda right: _forward(T, right) if lower else _backward(T, right))


def _series(a: Array, b: Array, solved: Callable[[Values], Values]) -> Array:
    A, B = a.balls(), b.balls()
    out = [solved(B[0])]
    if current().order and max(len(A), len(B)) > 1:
        right = B[1] if len(B) > 1 else np.zeros_like(B[0])
        out.append(solved(rounded(right - _times(A[1], out[0])) if len(A) > 1 else right))
    return Array(tuple(out))


def is_regular(a: Array) -> bool:
    """Whether elimination meets no pivot of zero, by which the derivatives of a determinant would be divided."""
    return bool(np.all(_diagonal(_lu(a.balls()[0])[1]) != 0))


def det(a: Array) -> Array:
    """The product of the pivots, d; along t, d tr(A_0^-1 A_1)."""
    A = a.balls()
    factors = _lu(A[0])
    order, packed = factors
    swaps = np.rint(np.linalg.det(np.eye(order.shape[-1])[order]))
    value = box(np.prod(_diagonal(packed), -1) * swaps)
    if len(A) == 1 or not current().order:
        return Array((rounded(value),))
    slope = value * np.sum(_diagonal(_solve_lu(factors, A[1])), -1)
    return Array((rounded(value), rounded(box(slope))))


def cholesky(a: Array) -> Array:
    """L_0 by columns from the lower triangle, and L_1 = L_0 low(L_0^-1 A_1 L_0^-T), low halving the diagonal."""
    A = [np.tril(c) + np.swapaxes(np.tril(c, -1), -1, -2) for c in a.balls()]
    n = A[0].shape[-1]
    L = rounded_elimination(_factor, A[0])
    if len(A) == 1 or not current().order:
        return Array((L,))
    inner = np.tril(_forward(L, np.swapaxes(_forward(L, A[1]), -1, -2)))
    inner[..., range(n), range(n)] /= 2
    return Array((L, np.tril(_times(L, inner))))


def _lu(a: Values) -> tuple[Values, Values]:
    """Rows in order of pivoting, shape (..., n), and L and U packed into one matrix."""
    if _is_upper(a):  # as a transposed Cholesky factor is: nothing is to be exchanged, nor eliminated
        return np.broadcast_to(np.arange(a.shape[-1]), a.shape[:-1]), rounded_elimination(_eliminate_upper, a)
    order = in_each_draw(_pivots, a)
    return order, rounded_elimination(_eliminate, np.take_along_axis(a, order[..., None], -2))


def _solve_lu(factors: tuple[Values, Values], b: Values) -> Values:
    order, packed = factors
    lead = np.broadcast_shapes(order.shape[:-1], b.shape[:-2])
    rows = np.broadcast_to(order, (*lead, order.shape[-1]))[..., None]
    b = np.take_along_axis(np.broadcast_to(b, lead + b.shape[-2:]), rows, -2)
    if _is_upper(packed):
        return _backward(packed, rounded_elimination(_substitute_unit, b))
    return _backward(packed, _forward(np.tril(packed, -1) + np.eye(packed.shape[-1], dtype=packed.dtype), b))


def _forward(lower: Values, b: Values) -> Values:
    """``L^-1 B`` by substitution, from the lower triangle."""
    return rounded_elimination(_substitute, lower, b)


def _backward(upper: Values, b: Values) -> Values:
    """``U^-1 B`` by substitution, from the upper triangle."""
    return _forward(upper[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :]


# Eliminations of plain numbers. What their steps round is as if the last operand had been off by it, and its square,
# over u^2, is added to `errors`: every step takes a product from an element, or divides it.


def _pivots(a: Values) -> Values:
    """Rows in order of pivoting, shape (..., n)."""
    shape, a = a.shape, a.reshape(-1, *a.shape[-2:]).copy()
    each, order = np.arange(len(a)), np.tile(np.arange(shape[-1]), (len(a), 1))
    for j in range(shape[-1] - 1):
        pivot = j + np.argmax(np.abs(a[:, j:, j]), 1)
        for x in (a, order):
            x[each, pivot], x[:, j] = x[:, j].copy(), x[each, pivot]
        a[:, j + 1 :, j + 1 :] -= (a[:, j + 1 :, j] / a[:, j, j, None])[..., None] * a[:, j, None, j + 1 :]
    return order.reshape(shape[:-1])


def _eliminate(a: Values, errors: Values | None = None) -> Values:
    """L and U of a matrix whose rows are in order, packed into one."""
    a = a.copy()
    for j in range(a.shape[-1] - 1):
        below = (..., slice(j + 1, None), j)
        if errors is not None:
            errors[below] += a[below] ** 2
        a[below] /= a[..., j, j, None]
        outer = a[below][..., None] * a[..., j, None, j + 1 :]
        rest = a[..., j + 1 :, j + 1 :]
        rest -= outer
        if errors is not None:
            errors[..., j + 1 :, j + 1 :] += outer**2 + rest**2
    return a


def _is_upper(a: Values) -> bool:
    """Whether nothing stands below the diagonals, and no zero on them, in any draw."""
    return not draws_last(np.tril(a, -1)).any() and bool(np.all(draws_last(_diagonal(a))))


def _eliminate_upper(a: Values, errors: Values | None = None) -> Values:
    """`_eliminate` of a matrix with nothing to eliminate: what is taken off every row before it is zero."""
    if errors is not None:
        errors += np.minimum(*np.indices(a.shape[-2:])) * a**2
    return a


def _substitute_unit(b: Values, errors: Values | None = None) -> Values:
    """`_substitute` of the identity."""
    if errors is not None:
        errors += 2 * b**2
    return b


def _substitute(lower: Values, b: Values, errors: Values | None = None) -> Values:
    """``L^-1 B``."""
    out = np.empty((*np.broadcast_shapes(lower.shape[:-2], b.shape[:-2]), *b.shape[-2:]), np.result_type(lower, b))
    sums = np.zeros_like(out)
    for i in range(lower.shape[-1]):
        left = b[..., i, :] - sums[..., i, :]
        out[..., i, :] = left / lower[..., i, i, None]
        terms = lower[..., i + 1 :, i, None] * out[..., i, None, :]
        sums[..., i + 1 :, :] += terms
        if errors is not None:
            errors[..., i, :] += 2 * left**2 + sums[..., i, :] ** 2
            errors[..., i + 1 :, :] += terms**2 + sums[..., i + 1 :, :] ** 2
    return out


def _factor(a: Values, errors: Values | None = None) -> Values:
    """Cholesky's factor, from the lower triangle."""
    L, sums = np.zeros_like(a), np.zeros_like(a)
    for j in range(a.shape[-1]):
        left = a[..., j:, j] - sums[..., j:, j]
        L[..., j, j] = np.sqrt(left[..., 0])
        L[..., j + 1 :, j] = left[..., 1:] / L[..., j, j, None]
        rest = (..., slice(j + 1, None), slice(j + 1, None))
        outer = L[..., j + 1 :, j, None] * L[..., None, j + 1 :, j]
        if errors is not None:  # a root that is off by u is that of a number off by 2 u
            errors[..., j:, j] += 2 * left**2 + sums[..., j:, j] ** 2
            errors[..., j, j] += 3 * left[..., 0] ** 2
            errors[rest] += outer**2 + (sums[rest] + outer) ** 2
        sums[rest] += outer
    return L


def _diagonal(a: Values) -> Values:
    return np.diagonal(a, axis1=-2, axis2=-1)


def _times(a: Values, b: Values) -> Values:
    return rounded_product(a, b)
