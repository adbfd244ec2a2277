"""Orthonormal columns and an upper triangle, with the signs that LAPACK gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flint
import numpy as np
import numpy.typing as npt
from flint import arb

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import Coefficient, exact_balls, middles
from gradparity.truth.numbers.context import NotCertifiableError, current
from gradparity.truth.numbers.matrices import from_mat, to_mat
from gradparity.truth.numbers.tape import traced
from gradparity.truth.xp.arithmetic import matrix_product, multiply, subtract
from gradparity.truth.xp.decompositions import (
    BACKWARD,
    BITS,
    as_computed,
    decomposed,
    drawn_signs,
    in_extended,
    joined,
    near_by,
)
from gradparity.truth.xp.linalg import cholesky, cholesky_of_balls, matrix, substituted
from gradparity.truth.xp.shaping import concatenate

#: A pivot of Householder's that is this part of its column has the sign that LAPACK's has everywhere.
SURE = 1e-6


class QRResult(NamedTuple):
    """``A = Q R``."""

    Q: Array
    R: Array


def qr(a: Any, mode: str = "reduced") -> Any:
    """Orthonormal columns and an upper triangle, of (..., m, n); without a value where the columns are dependent.

    Signs are LAPACK's: the diagonal of R has those that Householder's reflections give it.
    """
    a = matrix(a, "qr")
    m, n = a.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        raise NotCertifiableError(f"linalg.qr with mode={mode!r}", "The reduced factors are certified.")
    if m < n:
        Q, first = qr(a[..., :m])
        R = concatenate([first, matrix_product(Q.mT, a[..., m:])], axis=-1)
    else:
        Q, R = _qr(a)
    return R if mode == "r" else QRResult(Q, R)


def _qr(a: Array) -> tuple[Array, Array]:
    """Of at least as many rows as columns."""
    if current().extended:
        return qr_parts(_extended_qr(a), a.shape[-2])
    L = cholesky(matrix_product(a.mT, a))
    signs = asarray(_householders_signs(middles(a.balls()[0])))
    Q = substituted(L, a.mT, lower=True).mT
    return multiply(Q, signs[..., None, :]), multiply(signs[..., :, None], L.mT)


def _extended_qr(a: Array) -> Array:
    A = a.balls()
    m, n = a.shape[-2:]
    found = decomposed(_orthogonal_factors, near_by(A[0], BACKWARD), (m + n, n))
    Q, R = qr_parts(as_computed(found, range(m, m + n)), m)
    series = [(Q, R)]
    if len(A) > 1 and current().order:
        T = substituted(R.mT, Array((A[1],)).mT, lower=True).mT  # A_1 R^-1
        C = matrix_product(Q.mT, T)
        below = multiply(np.tri(n, k=-1), C)
        grown = subtract(C, subtract(below, below.mT))  # R_1 R^-1
        series.append((subtract(T, matrix_product(Q, grown)), matrix_product(grown, R)))
    return traced("qr", joined(*series), a)


def _orthogonal_factors(c: Coefficient) -> Coefficient:
    """Of one matrix (m, n): Q above R, shape (m + n, n)."""
    if not np.isfinite(c).all():
        return np.full((len(c) + c.shape[1], c.shape[1]), np.longdouble("nan"))
    signs = _householders_signs(np.asarray(c, float))
    with flint.ctx.workprec(BITS):
        A = to_mat(exact_balls(c))
        L = cholesky_of_balls(from_mat((A.transpose() * A).mid()))
        try:
            Q = from_mat(to_mat(L).solve(A.transpose())).T
        except ZeroDivisionError:
            Q = np.full(c.shape, arb.nan(), dtype=object)
        return in_extended(np.vstack([Q * exact_balls(signs), (L * exact_balls(signs)).T]))


def _householders_signs(a: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Those of R's diagonal as LAPACK has them, shape (..., n); noted as free where a rounding may turn one."""
    m, n = a.shape[-2:]
    drawn = drawn_signs(a, n)[..., 0, :]
    signs = np.ones((*a.shape[:-2], n))
    for index in np.ndindex(*a.shape[:-2]):
        one = a[index] / (np.abs(a[index]).max(initial=0) or 1)
        if not np.isfinite(one).all() or not n:
            continue
        h, tau = np.linalg.qr(one, mode="raw")
        R = np.diagonal(h.T)
        signs[index] = np.where(R < 0, -1, 1)
        # beta = -sign(alpha) |column| and tau = (beta - alpha) / beta, or 0 where the column has nothing below alpha.
        sure = np.abs(R * (1 - tau)) > SURE * np.linalg.norm(one, axis=0)
        sure &= (tau != 0) | (np.arange(n) == m - 1) | (np.arange(n) == 0)
        current().oriented |= not sure.all()
        signs[index] = np.where(sure, signs[index], signs[index] * drawn[index])
    return signs


def qr_parts(packed: Array, m: int) -> tuple[Array, Array]:
    """Q and R of what the primitive "qr" packs into (..., m + n, n)."""
    return packed[..., :m, :], packed[..., m:, :]


FUNCTIONS: dict[str, Callable[..., Any]] = {"qr": qr}
