"""Linear algebra of truncated series: ``A(t) = A_0 + A_1 t + A_2 t^2``, solved order by order.

Reference: M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008), carried to second order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from flint import arb, arb_mat

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import ZERO, Coefficient, infinities
from gradparity.truth.numbers.context import NotCertifiableError, current
from gradparity.truth.numbers.matrices import from_mat, to_mat
from gradparity.truth.numbers.tape import traced
from gradparity.truth.xp import elimination
from gradparity.truth.xp.arithmetic import add, divide, multiply, negative
from gradparity.truth.xp.contraction import matmul
from gradparity.truth.xp.kinks import choose, signs
from gradparity.truth.xp.reductions import Axis, vector_norm
from gradparity.truth.xp.reductions import trace as diagonal_sum
from gradparity.truth.xp.smooth import log


class SlogdetResult(NamedTuple):
    """Sign of a determinant, and the logarithm of its size."""

    sign: Array
    logabsdet: Array


def solve(a: Any, b: Any) -> Array:
    """``A^-1 B``: A_0 X_k = B_k - sum_{j>0} A_j X_{k-j}. Shapes (n, n) and (n,) or (n, k)."""
    a, b = _square(a, "solve"), asarray(b)
    if b.ndim not in (1, 2):
        raise NotCertifiableError("linalg.solve of a batch", "Loop over the batch.")
    if b.ndim == 1:
        return solve(a, b[:, None])[:, 0]
    return traced("solve", _solve(a, b), a, b)


def _solve(a: Array, b: Array) -> Array:
    if current().extended:
        return elimination.solve(a, b)
    A, B = [to_mat(c) for c in a.balls()], [to_mat(c) for c in b.balls()]
    order = current().order if len(A) > 1 else len(B) - 1
    out: list[arb_mat] = []
    for k in range(order + 1):
        right = B[k] if k < len(B) else _zero_mat(*b.shape)
        for j in range(1, min(k, len(A) - 1) + 1):
            right = right - A[j] * out[k - j]
        out.append(_solved(A[0], right))
    return Array(tuple(from_mat(x) for x in out))


def inv(a: Any) -> Array:
    """``A^-1``, shape (n, n)."""
    a = _square(a, "inv")
    return solve(a, np.eye(a.shape[0]))


def det(a: Any) -> Array:
    """Determinant by Faddeev and LeVerrier, division by whole numbers only: singular matrices are no exception."""
    a = _square(a, "det")
    if current().extended and elimination.is_regular(a):
        return traced("det", elimination.det(a), a)
    n = a.shape[0]
    identity = np.eye(n)
    m, c = asarray(np.zeros((n, n))), asarray(1.0)
    for k in range(1, n + 1):
        m = add(matmul(a, m), multiply(c, identity))
        c = negative(divide(trace(matmul(a, m)), k))
    return c if n % 2 == 0 else negative(c)


def slogdet(a: Any) -> SlogdetResult:
    """Sign and ``log |det A|``; the determinant must not be zero."""
    value = det(a)
    sign = Array((signs(value, "slogdet"),))
    return SlogdetResult(Array(sign.balls()), log(multiply(sign, value)))


def cholesky(a: Any, *, upper: bool = False) -> Array:
    """Lower triangular L with ``L L^T = A``, from the lower triangle of A, shape (n, n).

    With P = L_0^-1 (A_k - [k = 2] L_1 L_1^T) L_0^-T, L_k = L_0 low(P), low halving the diagonal.
    """
    if upper:
        return cholesky(a).mT
    a = _square(a, "cholesky")
    return traced("cholesky", _cholesky(a), a)


def _cholesky(a: Array) -> Array:
    if current().extended:
        return elimination.cholesky(a)
    lower = [np.tril(np.ones(a.shape, dtype=bool)), np.tril(np.ones(a.shape, dtype=bool), -1)]
    A = [np.where(lower[0], c, c.T) for c in a.balls()]
    L = [to_mat(_cholesky_of_balls(A[0]))]
    n = a.shape[0]
    order = current().order if len(A) > 1 else 0
    for k in range(1, order + 1):
        middle = to_mat(A[k]) if k < len(A) else _zero_mat(n, n)
        if k == 2:
            middle = middle - L[1] * L[1].transpose()
        P = from_mat(_solved(L[0], _solved(L[0], middle).transpose()))
        low = np.where(lower[1], P, ZERO)
        np.fill_diagonal(low, np.diagonal(P) / arb(2))
        L.append(L[0] * to_mat(low))
    return Array(tuple(np.where(lower[0], from_mat(x), ZERO) for x in L))


def trace(a: Any) -> Array:
    """Sum of the diagonal of the last two axes."""
    return diagonal_sum(a, axis1=-2, axis2=-1)


def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Array:  # noqa: A002
    """Vector norms 1, 2, inf and p, and the Frobenius norm; a matrix norm by singular values is not certified."""
    x = asarray(x)
    matrix = (axis is None and x.ndim == 2) or (isinstance(axis, tuple) and len(axis) == 2)
    if matrix and ord not in (None, "fro"):
        raise NotCertifiableError(f"linalg.norm of a matrix with ord={ord!r}", "The Frobenius norm is certified.")
    return vector_norm(x, axis, 2 if ord in (None, "fro") else ord, keepdims=keepdims)


def matrix_norm(x: Any, *, ord: Any = "fro", keepdims: bool = False) -> Array:  # noqa: A002
    """The Frobenius norm of the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


def matrix_power(a: Any, n: int) -> Array:
    """``A^n`` for a whole n of 0 or more; of the inverse for a negative one."""
    a = _square(a, "matrix_power")
    base = inv(a) if n < 0 else a
    out = asarray(np.eye(a.shape[0]))
    for bit in bin(abs(n))[2:]:
        out = matmul(out, out)
        out = matmul(out, base) if bit == "1" else out
    return out


def _cholesky_of_balls(a: Coefficient) -> Coefficient:
    """Cholesky and Banachiewicz, row by row."""
    n = a.shape[0]
    L = np.full((n, n), ZERO, dtype=object)
    for i in range(n):
        for j in range(i + 1):
            rest = a[i, j] - np.dot(L[i, :j], L[j, :j]) if j else a[i, j]
            L[i, j] = rest.sqrt() if i == j else rest / L[j, j]
    return L


def _solved(a: arb_mat, b: arb_mat) -> arb_mat:
    """Solution, or balls that are no numbers where the matrix is not proven regular at this precision."""
    try:
        return a.solve(b)
    except ZeroDivisionError:
        if a.det().is_zero():
            current().singular.append(("linalg.solve", ()))
        return arb_mat(b.nrows(), b.ncols(), [arb.nan()] * (b.nrows() * b.ncols()))


def _zero_mat(rows: int, columns: int) -> arb_mat:
    return arb_mat(rows, columns, [ZERO] * (rows * columns))


def _square(a: Any, name: str) -> Array:
    matrix = asarray(a)
    if matrix.ndim > 2:
        raise NotCertifiableError(f"linalg.{name} of a batch", "Loop over the batch.")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"linalg.{name}: a square matrix is needed, got shape {matrix.shape}")
    # Elimination would take a limit that depends on how fast the entry grows.
    infinite = infinities(matrix.balls()[0]) != 0
    return choose(infinite, asarray(np.nan), matrix) if infinite.any() else matrix


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cholesky": cholesky, "det": det, "inv": inv, "matrix_norm": matrix_norm, "matrix_power": matrix_power,
    "norm": norm, "slogdet": slogdet, "solve": solve, "trace": trace, "vector_norm": vector_norm,
}  # fmt: skip
