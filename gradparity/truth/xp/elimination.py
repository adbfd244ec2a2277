"""Linear algebra in extended precision, which LAPACK does not have: elimination by columns, to first order in t.

Every step rounds where the evaluation does, so that the noise of a solution is that of a backward stable one, pivots
and growth of this very matrix included.

Reference: Golub and Van Loan, Matrix Computations, 4th edition, algorithms 3.4.1 and 4.2.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.rounding import rounded, rounded_product

Values = npt.NDArray[Any]


def solve(a: Array, b: Array) -> Array:
    """``A^-1 B`` for (n, n) and (n, k): X_0 = A_0^-1 B_0, and X_1 = A_0^-1 (B_1 - A_1 X_0)."""
    A, B = a.balls(), b.balls()
    factors = _lu(A[0])
    out = [_solve_lu(factors, B[0])]
    if current().order and max(len(A), len(B)) > 1:
        right = B[1] if len(B) > 1 else np.zeros_like(B[0])
        out.append(_solve_lu(factors, rounded(right - _times(A[1], out[0])) if len(A) > 1 else right))
    return Array(tuple(out))


def is_regular(a: Array) -> bool:
    """Whether elimination meets no pivot of zero, by which the derivatives of a determinant would be divided."""
    return bool(np.all(np.diagonal(_lu(a.balls()[0])[1])))


def det(a: Array) -> Array:
    """The product of the pivots, d; along t, d tr(A_0^-1 A_1)."""
    A = a.balls()
    factors = _lu(A[0])
    order, packed = factors
    swaps = np.linalg.det(np.eye(len(order))[order])
    value = np.asarray(np.prod(np.diagonal(packed)) * np.rint(swaps))
    if len(A) == 1 or not current().order:
        return Array((rounded(value),))
    slope = value * np.trace(_solve_lu(factors, A[1]))
    return Array((rounded(value), rounded(np.asarray(slope))))


def cholesky(a: Array) -> Array:
    """L_0 by columns from the lower triangle, and L_1 = L_0 low(L_0^-1 A_1 L_0^-T), low halving the diagonal."""
    A = [np.tril(c) + np.tril(c, -1).T for c in a.balls()]
    n = len(A[0])
    L = np.zeros_like(A[0])
    for j in range(n):
        column = A[0][j:, j]
        if j:
            column = rounded(column - _times(L[j:, :j], L[j, :j, None])[:, 0])
        pivot = rounded(np.sqrt(column[:1]))
        L[j:, j] = np.concatenate([pivot, rounded(column[1:] / pivot)])
    if len(A) == 1 or not current().order:
        return Array((L,))
    inner = np.tril(_forward(L, _forward(L, A[1]).T))
    inner[np.diag_indices(n)] /= 2
    return Array((L, np.tril(_times(L, inner))))


def _lu(a: Values) -> tuple[Values, Values]:
    """Rows in order of pivoting, and L and U packed into one matrix."""
    a, n = a.copy(), len(a)
    order = np.arange(n)
    for j in range(n - 1):
        pivot = j + int(np.argmax(np.abs(a[j:, j])))
        a[[j, pivot]], order[[j, pivot]] = a[[pivot, j]], order[[pivot, j]]
        a[j + 1 :, j] = rounded(a[j + 1 :, j] / a[j, j])
        a[j + 1 :, j + 1 :] = rounded(a[j + 1 :, j + 1 :] - rounded(np.multiply.outer(a[j + 1 :, j], a[j, j + 1 :])))
    return order, a


def _solve_lu(factors: tuple[Values, Values], b: Values) -> Values:
    order, packed = factors
    unit = np.tril(packed, -1) + np.eye(len(packed), dtype=packed.dtype)
    return _forward(np.triu(packed)[::-1, ::-1], _forward(unit, b[order])[::-1])[::-1]


def _forward(lower: Values, b: Values) -> Values:
    """``L^-1 B`` by substitution."""
    out = np.zeros(b.shape, np.longdouble)
    for i in range(len(lower)):
        rest = rounded(b[i] - _times(lower[i : i + 1, :i], out[:i])[0]) if i else b[0]
        out[i] = rounded(rest / lower[i, i])
    return out


def _times(a: Values, b: Values) -> Values:
    return rounded_product(a, b, np.matmul(a, b))
