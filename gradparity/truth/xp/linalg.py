"""Linear algebra of truncated series: ``A(t) = A_0 + A_1 t + A_2 t^2``, solved order by order.

Reference: M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008), carried to second order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from flint import arb, arb_mat

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import ZERO, Coefficient, box, infinities
from gradparity.truth.numbers.context import NotCertifiableError, current
from gradparity.truth.numbers.matrices import Series, from_mat, of_each, to_mat
from gradparity.truth.numbers.tape import traced
from gradparity.truth.xp import elimination
from gradparity.truth.xp.arithmetic import add, divide, multiply, negative
from gradparity.truth.xp.contraction import matmul, outer, tensordot, vecdot
from gradparity.truth.xp.kinks import choose, signs
from gradparity.truth.xp.reductions import trace as diagonal_sum
from gradparity.truth.xp.reductions import vector_norm
from gradparity.truth.xp.shaping import matrix_transpose
from gradparity.truth.xp.smooth import log


class SlogdetResult(NamedTuple):
    """Sign of a determinant, and the logarithm of its size."""

    sign: Array
    logabsdet: Array


def solve(a: Any, b: Any) -> Array:
    """``A^-1 B``, shapes (..., n, n) and (n,) or (..., n, k); without a value where A is singular.

    A_0 X_k = B_k - sum_{j>0} A_j X_{k-j}.
    """
    a, b = square(a, "solve"), asarray(b)
    if b.ndim == 1:
        return solve(a, b[:, None])[..., 0]
    if b.ndim < a.ndim and b.shape == a.shape[:-1]:
        raise NotCertifiableError(
            "linalg.solve of a batch and as many rows", "Frameworks read b as vectors or as a matrix: say b[..., None]."
        )
    return _quotient(a, b)


def _quotient(a: Array, b: Array) -> Array:
    return traced("solve", _solve(a, b), a, b)


def _solve(a: Array, b: Array) -> Array:
    if current().extended:
        return elimination.solve(a, b)
    return Array(of_each(_solve_series, a.balls(), b.balls(), shape=b.shape[-2:]))


def _solve_series(a: Series, b: Series) -> Series:
    A, B = [to_mat(c) for c in a], [to_mat(c) for c in b]
    order = current().order if len(A) > 1 else len(B) - 1
    out: list[arb_mat] = []
    for k in range(order + 1):
        right = B[k] if k < len(B) else _zero_mat(*b[0].shape)
        for j in range(1, min(k, len(A) - 1) + 1):
            right = right - A[j] * out[k - j]
        out.append(_solved(A[0], right))
    return [from_mat(x) for x in out]


def solve_triangular(a: Any, b: Any, *, lower: bool = False, unit_diagonal: bool = False) -> Array:
    """``A^-1 B`` of one triangle of A, by default the upper one; without a value where its diagonal has a zero.

    Shapes (..., n, n) and (n,) or (..., n, k). The other triangle is not read, nor is a diagonal that is said to be of
    ones.
    """
    a, b = square(a, "solve_triangular"), asarray(b)
    if b.ndim == 1:
        return solve_triangular(a, b[:, None], lower=lower, unit_diagonal=unit_diagonal)[..., 0]
    keep = np.tri(a.shape[-1], k=-1 if unit_diagonal else 0, dtype=bool)
    a = choose(keep if lower else keep.T, a, asarray(np.eye(a.shape[-1]) * float(unit_diagonal)))
    return substituted(a, b, lower=lower)


def substituted(a: Array, b: Array, *, lower: bool) -> Array:
    """The same of a matrix whose other triangle is zero."""
    if current().extended:
        return traced("solve_triangular", elimination.solve_triangular(a, b, lower=lower), a, b, lower=lower)
    return traced("solve_triangular", _solve(a, b), a, b, lower=lower)


def inv(a: Any) -> Array:
    """``A^-1``, shape (..., n, n); without a value where A is singular."""
    a = square(a, "inv")
    return _quotient(a, asarray(np.eye(a.shape[-1])))


def det(a: Any) -> Array:
    """Determinant of (..., n, n), singular matrices included."""
    a = square(a, "det")
    found = _det(a)
    return _by_whole_numbers(a) if found is None else traced("det", found, a)


def _det(a: Array) -> Array | None:
    """Of matrices that are all proven regular, by which derivatives are divided."""
    if current().extended:
        return elimination.det(a) if _is_regular(a) else None
    try:
        series = of_each(lambda c: [box(d)[None, None] for d in _det_series(c)], a.balls(), shape=(1, 1))
    except ZeroDivisionError:
        return None
    return Array(series).map(lambda c: c[..., 0, 0])


def _is_regular(a: Array) -> bool:
    """By elimination; with noise as it was without, or a determinant of zero had the floor of a quotient by zero."""
    ties = current().ties
    if ties is None or not ties.known:
        regular = elimination.is_regular(a)
        if ties is not None and not regular:
            ties.singular = True
        return regular
    return not ties.singular and elimination.is_regular(a)


def _det_series(a: Series) -> list[Any]:
    """d_0, d_1 = d_0 s_0 and d_2 = (d_1 s_0 + d_0 s_1) / 2, with s = tr(A^-1 A') (Jacobi)."""
    A0 = to_mat(a[0])
    d = [A0.det()]
    if d[0].contains(0):
        raise ZeroDivisionError
    order = current().order if len(a) > 1 else 0
    if order:
        X = [A0.solve(to_mat(c)) for c in a[1:]]
        slope = X[0].trace()
        d.append(d[0] * slope)
    if order > 1:
        change = (2 * X[1].trace() if len(X) > 1 else ZERO) - (X[0] * X[0]).trace()
        d.append((d[1] * slope + d[0] * change) / 2)
    return d


def _by_whole_numbers(a: Array) -> Array:
    """Faddeev and LeVerrier's determinant, which divides by whole numbers only."""
    n = a.shape[-1]
    identity = np.eye(n)
    m, c = asarray(np.zeros(a.shape)), asarray(np.ones(a.shape[:-2]))
    for k in range(1, n + 1):
        m = add(matmul(a, m), multiply(c[..., None, None], identity))
        c = negative(divide(trace(matmul(a, m)), k))
    return c if n % 2 == 0 else negative(c)


def slogdet(a: Any) -> SlogdetResult:
    """Sign and ``log |det A|`` of (..., n, n); the determinant must not be zero."""
    value = det(a)
    sign = Array((signs(value, "slogdet"),))
    return SlogdetResult(Array(sign.balls()), log(multiply(sign, value)))


def cholesky(a: Any, *, upper: bool = False) -> Array:
    """Lower triangular L with ``L L^T = A``, from the lower triangle of A, shape (..., n, n); A is positive definite.

    With P = L_0^-1 (A_k - [k = 2] L_1 L_1^T) L_0^-T, L_k = L_0 low(P), low halving the diagonal.
    """
    if upper:
        return cholesky(a).mT
    a = square(a, "cholesky")
    return traced("cholesky", _cholesky(a), a)


def _cholesky(a: Array) -> Array:
    if current().extended:
        return elimination.cholesky(a)
    return Array(of_each(_cholesky_series, a.balls(), shape=a.shape[-2:]))


def _cholesky_series(a: Series) -> Series:
    n = len(a[0])
    lower = [np.tri(n, dtype=bool), np.tri(n, k=-1, dtype=bool)]
    A = [np.where(lower[0], c, c.T) for c in a]
    L = [to_mat(cholesky_of_balls(A[0]))]
    order = current().order if len(A) > 1 else 0
    for k in range(1, order + 1):
        middle = to_mat(A[k]) if k < len(A) else _zero_mat(n, n)
        if k == 2:
            middle = middle - L[1] * L[1].transpose()
        P = from_mat(_solved(L[0], _solved(L[0], middle).transpose()))
        low = np.where(lower[1], P, ZERO)
        np.fill_diagonal(low, np.diagonal(P) / arb(2))
        L.append(L[0] * to_mat(low))
    return [np.where(lower[0], from_mat(x), ZERO) for x in L]


def trace(a: Any) -> Array:
    """Sum of the diagonal of the last two axes."""
    return diagonal_sum(a, axis1=-2, axis2=-1)


def diagonal(a: Any, *, offset: int = 0) -> Array:
    """The diagonal of the last two axes."""
    return asarray(a).map(lambda c: np.diagonal(c, offset, -2, -1))


def matrix_power(a: Any, n: int) -> Array:
    """``A^n`` of (..., m, m) for a whole n of 0 or more; of the inverse for a negative one."""
    a = square(a, "matrix_power")
    base = inv(a) if n < 0 else a
    out = asarray(np.broadcast_to(np.eye(a.shape[-1]), a.shape))
    for bit in bin(abs(n))[2:]:
        out = matmul(out, out)
        out = matmul(out, base) if bit == "1" else out
    return out


def multi_dot(arrays: Any) -> Array:
    """The product of several matrices, the first and the last of which may be vectors."""
    first, *rest = arrays
    return reduce(matmul, rest, asarray(first))


def cholesky_of_balls(a: Coefficient) -> Coefficient:
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


def square(a: Any, name: str) -> Array:
    """`a` as a batch of square matrices, infinite entries being no numbers.

    Raises:
        ValueError: it is none.
    """
    out = matrix(a, name)
    if out.shape[-2] != out.shape[-1]:
        raise ValueError(f"linalg.{name}: square matrices are needed, got shape {out.shape}")
    return out


def matrix(a: Any, name: str) -> Array:
    """`a` as a batch of matrices, infinite entries being no numbers.

    Raises:
        ValueError: it has no two axes.
    """
    a = asarray(a)
    if a.ndim < 2:
        raise ValueError(f"linalg.{name}: matrices are needed, got shape {a.shape}")
    # Elimination would take a limit that depends on how fast the entry grows.
    infinite = infinities(a.balls()[0]) != 0
    return choose(infinite, asarray(np.nan), a) if infinite.any() else a


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cholesky": cholesky, "det": det, "diagonal": diagonal, "inv": inv, "matmul": matmul,
    "matrix_power": matrix_power, "matrix_transpose": matrix_transpose, "multi_dot": multi_dot,
    "outer": outer, "slogdet": slogdet, "solve": solve, "tensordot": tensordot, "trace": trace, "vecdot": vecdot,
    "vector_norm": vector_norm,
}  # fmt: skip
