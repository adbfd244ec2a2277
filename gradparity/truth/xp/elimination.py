"""Linear algebra in extended precision, which LAPACK does not have: elimination by columns, to first order in t.

Every step rounds where the evaluation does, so that the noise of a solution is that of a backward stable one, pivots
and growth of this very matrix included. Matrices come in batches, shapes (..., n, n), and each is eliminated by itself.

Reference: Golub and Van Loan, Matrix Computations, 4th edition, algorithms 3.4.1 and 4.2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import box
from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.draws import blank, question
from gradparity.truth.numbers.rounding import rounded, rounded_product

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
    L = np.zeros_like(A[0])
    for j in range(n):
        column = A[0][..., j:, j]
        if j:
            column = rounded(column - _times(L[..., j:, :j], L[..., j, :j, None])[..., 0])
        pivot = rounded(np.sqrt(column[..., :1]))
        L[..., j:, j] = np.concatenate([pivot, rounded(column[..., 1:] / pivot)], -1)
    if len(A) == 1 or not current().order:
        return Array((L,))
    inner = np.tril(_forward(L, np.swapaxes(_forward(L, A[1]), -1, -2)))
    inner[..., range(n), range(n)] /= 2
    return Array((L, np.tril(_times(L, inner))))


def _lu(a: Values) -> tuple[Values, Values]:
    """Rows in order of pivoting, shape (..., n), and L and U packed into one matrix."""
    n = a.shape[-1]
    order = np.broadcast_to(np.arange(n), a.shape[:-1])
    for j in range(n - 1):
        sizes = np.abs(a[..., j:, j])
        pivot = j + question(partial(_largest, axis=sizes.ndim - 1), sizes)[..., None]
        swap = np.broadcast_to(np.arange(n), a.shape[:-1]).copy()
        swap[..., j : j + 1] = pivot
        np.put_along_axis(swap, pivot, j, -1)
        a, order = np.take_along_axis(a, swap[..., None], -2), np.take_along_axis(order, swap, -1)
        a[..., j + 1 :, j] = rounded(a[..., j + 1 :, j] / a[..., j, j, None])
        outer = rounded(a[..., j + 1 :, j, None] * a[..., j, None, j + 1 :])
        a[..., j + 1 :, j + 1 :] = rounded(a[..., j + 1 :, j + 1 :] - outer)
    return order, a


def _solve_lu(factors: tuple[Values, Values], b: Values) -> Values:
    order, packed = factors
    unit = np.tril(packed, -1) + np.eye(packed.shape[-1], dtype=packed.dtype)
    lead = np.broadcast_shapes(order.shape[:-1], b.shape[:-2])
    rows = np.broadcast_to(order, (*lead, order.shape[-1]))[..., None]
    return _backward(packed, _forward(unit, np.take_along_axis(np.broadcast_to(b, lead + b.shape[-2:]), rows, -2)))


def _forward(lower: Values, b: Values) -> Values:
    """``L^-1 B`` by substitution, from the lower triangle."""
    out = blank((*np.broadcast_shapes(lower.shape[:-2], b.shape[:-2]), *b.shape[-2:]), lower, b)
    for i in range(lower.shape[-1]):
        right = b[..., i, :]
        if i:
            right = rounded(right - _times(lower[..., i : i + 1, :i], out[..., :i, :])[..., 0, :])
        out[..., i, :] = rounded(right / lower[..., i, i, None])
    return out


def _backward(upper: Values, b: Values) -> Values:
    """``U^-1 B`` by substitution, from the upper triangle."""
    return _forward(upper[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :]


def _largest(sizes: Values, axis: int) -> Values:
    return box(np.argmax(sizes, axis))


def _diagonal(a: Values) -> Values:
    return np.diagonal(a, axis1=-2, axis2=-1)


def _times(a: Values, b: Values) -> Values:
    return rounded_product(a, b)
