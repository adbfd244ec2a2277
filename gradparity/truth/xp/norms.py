"""Matrix norms, condition, and what least squares has for an inverse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.context import NotCertifiableError
from gradparity.truth.xp.arithmetic import divide, matrix_product, multiply, subtract
from gradparity.truth.xp.decompositions import singular_values, svdvals
from gradparity.truth.xp.kinks import absolute, less_equal
from gradparity.truth.xp.linalg import inv, matrix, square, substituted
from gradparity.truth.xp.orthogonal import qr
from gradparity.truth.xp.reductions import Axis, amax, amin, vector_norm
from gradparity.truth.xp.reductions import sum as sum_over
from gradparity.truth.xp.shaping import reshape, transpose, zeros


def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Array:  # noqa: A002
    """Vector norms 1, 2, inf and p; of matrices Frobenius, nuclear, spectral, and by sums of rows or columns.

    A kink where a size or singular value that matters is zero, or where two that are largest or smallest are equal.
    """
    x = asarray(x)
    if axis is None and x.ndim == 2 and ord is not None:
        axis = (0, 1)
    if isinstance(axis, tuple) and len(axis) == 2 and ord not in (None, "fro"):
        places = tuple(i % x.ndim for i in axis)
        out = _of_matrices(transpose(x, [*(i for i in range(x.ndim) if i not in places), *places]), ord)
        shape = tuple(1 if i in places else n for i, n in enumerate(x.shape))
        return reshape(out, shape) if keepdims else out
    return vector_norm(x, axis, 2 if ord in (None, "fro") else ord, keepdims=keepdims)


def matrix_norm(x: Any, *, ord: Any = "fro", keepdims: bool = False) -> Array:  # noqa: A002
    """Frobenius, nuclear and spectral norm of the last two axes, and those by sums of rows or columns."""
    return norm(x, ord, (-2, -1), keepdims)


def _of_matrices(a: Array, order: Any) -> Array:
    if order == "nuc":
        return sum_over(svdvals(a), -1)
    if order in (2, -2):
        return singular_values(a, 0 if order > 0 else -1)
    if order in (1, -1, math.inf, -math.inf):
        sums = sum_over(absolute(a), -2 if abs(order) == 1 else -1)
        return (amax if order > 0 else amin)(sums, -1)
    raise ValueError(f"linalg.norm of a matrix: got ord={order!r}, expected 'fro', 'nuc', 1, 2, inf or minus those")


def cond(a: Any, p: Any = None) -> Array:
    """The largest over the smallest singular value; by another norm ``|A| |A^-1|``."""
    if p in (None, 2, -2):
        large, small = singular_values(a, 0), singular_values(a, -1)
        return divide(small, large) if p == -2 else divide(large, small)
    a = square(a, "cond")
    return multiply(matrix_norm(a, ord=p), matrix_norm(inv(a), ord=p))


def _require_full_rank(a: Array, share: Any, name: str) -> None:
    """Refuse where some singular value is no more than a share of the largest, and would be taken for zero.

    Raises:
        NotCertifiableError: there is one.
        UndecidedError: it is not decided at this precision.
    """
    if share is None or (np.ndim(share) == 0 and not share > 0):  # NumPy's -1 says: one rounding
        return
    values = svdvals(a)
    bound = multiply(asarray(share)[..., None], values[..., :1])
    if np.any(less_equal(values, bound).series[0]):
        raise NotCertifiableError(
            f"linalg.{name} of a matrix with singular values below rcond",
            "Certified is full rank: leave out what is small by svd and where, or add a ridge.",
        )


def pinv(a: Any, rcond: Any = None, *, rtol: Any = None) -> Array:
    """``(A^T A)^-1 A^T`` of (..., m, n), or ``A^T (A A^T)^-1``; without a value where A is not of full rank.

    What is small is not taken for zero: below 1e-15 of the largest singular value frameworks do that. What is below an
    `rcond` that is given is refused.
    """
    a = matrix(a, "pinv")
    _require_full_rank(a, rcond if rtol is None else rtol, "pinv")
    if a.shape[-2] < a.shape[-1]:
        return pinv(a.mT).mT
    Q, R = qr(a)
    return substituted(R, Q.mT, lower=False)


class LeastSquares:
    """What `lstsq` gives: solution, residuals, rank and singular values, the last computed when they are asked for."""

    def __init__(self, a: Array, b: Array) -> None:
        m, n = a.shape[-2:]
        self._a = a
        right = b[:, None] if b.ndim == 1 else b
        if m < n:
            Q, R = qr(a.mT)
            x = matrix_product(Q, substituted(R.mT, right, lower=True))
        else:
            Q, R = qr(a)
            x = substituted(R, matrix_product(Q.mT, right), lower=False)
        rest = subtract(right, matrix_product(a, x))
        self.residuals = sum_over(multiply(rest, rest), 0) if m > n else zeros((0,))
        self.x, self.rank = x[:, 0] if b.ndim == 1 else x, min(m, n)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: Any) -> Any:
        return (self.x, self.residuals, self.rank)[place] if place in (0, 1, 2) else list(self)[place]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.x, self.residuals, self.rank, svdvals(self._a)))


def lstsq(a: Any, b: Any, rcond: Any = None) -> LeastSquares:
    """Least squares of (m, n) and (m,) or (m, k), the shortest solution where m < n; no value below full rank.

    What is small is not taken for zero, and refused where it is below an `rcond` that is given.
    """
    a, b = matrix(a, "lstsq"), asarray(b)
    if a.ndim > 2 or b.ndim not in (1, 2):
        raise NotCertifiableError("linalg.lstsq of a batch", "NumPy has none: loop over the batch, or use pinv.")
    _require_full_rank(a, rcond, "lstsq")
    return LeastSquares(a, b)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cond": cond, "lstsq": lstsq, "matrix_norm": matrix_norm, "norm": norm, "pinv": pinv
}  # fmt: skip
