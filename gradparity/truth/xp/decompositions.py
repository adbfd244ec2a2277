"""Eigenvalues, singular values and orthogonal factors: one decomposition of the values, and series by perturbation.

In balls a symmetric matrix is decomposed by enclosures (`eigen`), and the others by way of ``A^T A``, whose condition
costs bits alone. In extended precision what LAPACK computes is the decomposition of a matrix near by (it is backward
stable, by a small multiple of u times the matrix): that one's, of four times the bits, is rounded once.

Repeated eigenvalues have no derivatives, nor have their vectors values: those are no numbers, and are seen from both
sides as any kink. The sign of a vector is free.

Reference: M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008); J. Townsend, "Differentiating the singular value decomposition" (2016); Anderson et al., LAPACK Users' Guide,
1999, sections 4.7 to 4.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple
from zlib import crc32

import flint
import numpy as np
import numpy.typing as npt
from flint import arb

from gradparity.truth.numbers import eigen
from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import Coefficient, box, exact_balls, middles, vanishes
from gradparity.truth.numbers.context import NotCertifiableError, current
from gradparity.truth.numbers.draws import Draws, draws_first, wrapped
from gradparity.truth.numbers.enclosure import to_longdouble
from gradparity.truth.numbers.matrices import from_mat, of_each, to_mat
from gradparity.truth.numbers.rounding import rounded
from gradparity.truth.numbers.tape import traced
from gradparity.truth.xp.arithmetic import add, divide, matrix_product, multiply, note_singular, subtract
from gradparity.truth.xp.kinks import choose
from gradparity.truth.xp.linalg import diagonal, matrix, square
from gradparity.truth.xp.powers import sqrt
from gradparity.truth.xp.reductions import sum as sum_over

#: Bits for what is to be rounded to extended precision: ``A^T A`` has the square of A's condition.
BITS = 256
#: Backward error of a decomposition, each element's in roundings of the Frobenius norm: QR and eigenvalues; and the
#: singular value decomposition, which ends where what is left is 100 eps of a singular value (LAPACK's xBDSQR), and is
#: off by as much now and then: eight of these.
BACKWARD, DEFLATED = 1.0, 16.0


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and their vectors in columns."""

    eigenvalues: Array
    eigenvectors: Array


class SVDResult(NamedTuple):
    """``A = U diag(S) Vh``, singular values in descending order."""

    U: Array
    S: Array
    Vh: Array


def eigh(a: Any, UPLO: Literal["L", "U"] = "L") -> EighResult:
    """Eigenvalues and unit eigenvectors of symmetric (..., n, n), from one triangle; a loss may not depend on signs."""
    current().oriented = True
    return EighResult(*eigen_parts(_eigh(a, UPLO)))


def eigvalsh(a: Any, UPLO: Literal["L", "U"] = "L") -> Array:
    """Eigenvalues of symmetric (..., n, n) in ascending order, from one triangle; no derivative where repeated."""
    return eigen_parts(_eigh(a, UPLO))[0]


def _eigh(a: Any, triangle: str) -> Array:
    a = square(a, "eigh")
    keep = np.tri(a.shape[-1], dtype=bool)
    keep = keep if triangle == "L" else keep.T

    def symmetric(c: Coefficient) -> Coefficient:
        return np.where(keep, c, np.swapaxes(c, -1, -2))

    a = a.map(symmetric)
    A = a.balls()
    n = a.shape[-1]
    found = decomposed(_eigensystem, symmetric(near_by(A[0], BACKWARD)), (n + 1, n))
    values, vectors = eigen_parts(as_computed(found, [0]))
    vectors = multiply(vectors, drawn_signs(A[0], n))
    terms = [Array((c,)) for c in A[: current().order + 1]]
    series = [(values, vectors)]
    if len(terms) > 1:
        apart = gaps(values, "linalg.eigh")
        first = matrix_product(vectors.mT, matrix_product(terms[1], vectors))
        turn = where_apart(first, apart)
        slopes = diagonal(first)
        turned = matrix_product(vectors, turn)
        series.append((slopes, turned))
    if current().order > 1 and len(terms) > 1:
        # V^T of A_0 V_2 + A_1 V_1 + A_2 V_0 = V_2 L_0 + V_1 L_1 + V_0 L_2, with V_k = V_0 C_k and V^T V = I.
        curved = matrix_product(terms[1], turned)
        if len(terms) > 2:
            curved = add(curved, matrix_product(terms[2], vectors))
        second = subtract(matrix_product(vectors.mT, curved), multiply(turn, slopes[..., None, :]))
        shrunk = multiply(-0.5, sum_over(multiply(turn, turn), -2))
        bend = add(where_apart(second, apart), multiply(np.eye(n), shrunk[..., None, :]))
        series.append((diagonal(second), matrix_product(vectors, bend)))
    return traced("eigh", joined(*((each[..., None, :], turned) for each, turned in series)), a)


def _eigensystem(c: Coefficient) -> Coefficient:
    """Of one matrix: eigenvalues in a row above their vectors, shape (n + 1, n)."""
    if not current().extended:
        values, vectors = eigen.enclosed(c)
        return np.concatenate([values[None], vectors])
    if not np.isfinite(c).all():
        return np.full((len(c) + 1, len(c)), np.longdouble("nan"))
    with flint.ctx.workprec(BITS):
        return in_extended(np.vstack(_approximate(exact_balls(c))))


def _approximate(a: Coefficient) -> tuple[Coefficient, Coefficient]:
    """Eigenvalues in ascending order, shape (1, n), and vectors, as points."""
    A = to_mat(a)
    X = eigen.approximate(A)
    values = np.diagonal(from_mat(X.transpose() * A * X))
    order = eigen.ascending(values)
    return values[order][None], from_mat(X)[:, order]


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Singular values and vectors of (..., m, n), of rectangular ones with ``full_matrices=False`` alone.

    A loss may not depend on signs. Where singular values are repeated, or zero, vectors have no values.
    """
    a = matrix(a, "svd")
    m, n = a.shape[-2:]
    if not compute_uv:
        return svdvals(a)
    if full_matrices and m != n:
        raise NotCertifiableError(
            "linalg.svd of full matrices", "Say full_matrices=False: the vectors beyond are arbitrary."
        )
    current().oriented = True
    if m < n:
        U, S, V = _svd(a.mT)
        return SVDResult(V, S, U.mT)
    U, S, V = _svd(a)
    return SVDResult(U, S, V.mT)


def svdvals(a: Any) -> Array:
    """Singular values of (..., m, n) in descending order; no derivative where repeated, or zero."""
    return singular_values(a, slice(None))


def singular_values(a: Any, which: Any) -> Array:
    """Some of the singular values, in descending order."""
    a = matrix(a, "svdvals")
    a = a.mT if a.shape[-2] < a.shape[-1] else a
    if current().extended:
        return singular_parts(_extended_svd(a), a.shape[-2])[1][..., which]
    return sqrt(eigvalsh(matrix_product(a.mT, a))[..., ::-1][..., which])


def _svd(a: Array) -> tuple[Array, Array, Array]:
    """Of at least as many rows as columns: U, S and V."""
    if current().extended:
        return singular_parts(_extended_svd(a), a.shape[-2])
    values, vectors = eigen_parts(_eigh(matrix_product(a.mT, a), "L"))
    S, V = sqrt(values[..., ::-1]), vectors[..., ::-1]
    return divide(matrix_product(a, V), S[..., None, :]), S, V


def _extended_svd(a: Array) -> Array:
    A = a.balls()
    m, n = a.shape[-2:]
    found = decomposed(_singular_system, near_by(A[0], DEFLATED), (m + 1 + n, n))
    U, S, V = singular_parts(as_computed(found, [m]), m)
    signs = drawn_signs(A[0], n)
    U, V = multiply(U, signs), multiply(V, signs)
    series = [(U, S[..., None, :], V)]
    if len(A) > 1 and current().order:
        A1 = Array((A[1],))
        moved = matrix_product(A1, V)
        P = matrix_product(U.mT, moved)
        apart = gaps(multiply(S, S), "linalg.svd")
        PS, SP = multiply(P, S[..., None, :]), multiply(S[..., :, None], P)
        U1 = matrix_product(U, where_apart(add(PS, PS.mT), apart))
        V1 = matrix_product(V, where_apart(add(SP, SP.mT), apart))
        if m > n:
            U1 = add(U1, divide(subtract(moved, matrix_product(U, P)), S[..., None, :]))
        series.append((U1, diagonal(P)[..., None, :], V1))
    return traced("svd", joined(*series), a)


def _singular_system(c: Coefficient) -> Coefficient:
    """Of one matrix (m, n): U, a row of singular values, and V, shape (m + 1 + n, n)."""
    if not np.isfinite(c).all():
        return np.full((len(c) + 1 + c.shape[1], c.shape[1]), np.longdouble("nan"))
    with flint.ctx.workprec(BITS):
        A = to_mat(exact_balls(c))
        squares, V = _approximate(from_mat((A.transpose() * A).mid()))
        V = V[:, ::-1]
        # Squares that are zero come out as small as the bits allow, on either side of it.
        small = max((abs(value) for value in squares.ravel()), default=arb(0)) * arb(2) ** (40 - BITS)
        S = np.array([[value.mid().sqrt() if value > small else arb(0) for value in squares[0, ::-1]]], dtype=object)
        return in_extended(np.vstack([from_mat(A * to_mat(V)) / S, S, V]))


def eigen_parts(packed: Array) -> tuple[Array, Array]:
    """Eigenvalues and vectors of what the primitive "eigh" packs into (..., n + 1, n)."""
    return packed[..., 0, :], packed[..., 1:, :]


def singular_parts(packed: Array, m: int) -> tuple[Array, Array, Array]:
    """U, S and V of what the primitive "svd" packs into (..., m + 1 + n, n)."""
    return packed[..., :m, :], packed[..., m, :], packed[..., m + 1 :, :]


def joined(*series: tuple[Array, ...]) -> Array:
    """Coefficients, each the rows of several parts, as one array."""
    return Array(tuple(np.concatenate([part.balls()[0] for part in each], axis=-2) for each in series))


def gaps(values: Array, name: str) -> Array:
    """``g_ij = values_j - values_i``, no number where these are equal, and 1 on the diagonal."""
    n = values.shape[-1]
    out = subtract(values[..., None, :], values[..., :, None])
    own = np.eye(n, dtype=bool)
    equal = vanishes(out.balls()[0]) & ~own
    note_singular(name, out.balls()[0], lambda value: value.is_zero(), where=[bool(at) for at in equal.ravel()])
    return choose(own, asarray(1.0), choose(equal, asarray(np.nan), out))


def where_apart(top: Array, apart: Array) -> Array:
    """``top / gaps`` off the diagonal; zero on it, and where `top` is exactly zero."""
    none = np.logical_and.reduce([vanishes(c) for c in top.balls()]) | np.eye(top.shape[-1], dtype=bool)
    return choose(none, asarray(0.0), divide(top, apart))


def decomposed(f: Callable[[Coefficient], Coefficient], a: Coefficient, shape: tuple[int, ...]) -> Coefficient:
    """`f` of each matrix of a batch, in each draw; `shape` is that of one result."""
    if not isinstance(a, Draws):
        return of_each(lambda c: [f(c[0])], [a], shape=shape)[0]
    found = of_each(lambda c: [f(c[0])], [draws_first(a, a.ndim)], shape=shape)[0]
    return wrapped(np.moveaxis(found, 0, -1))


def near_by(a: Coefficient, roundings: float) -> Coefficient:
    """A matrix as far away, where the evaluation rounds, as the one that LAPACK's result is exact for."""
    if current().noise is None:
        return a
    size = np.broadcast_to(np.sqrt((a * a).sum(axis=(-2, -1), keepdims=True)), a.shape)
    return box(a + (rounded(size) - size) * np.longdouble(roundings))


def as_computed(packed: Coefficient, others: Sequence[int]) -> Array:
    """Rounded once, and elements of unit vectors as far off as these are orthonormal; `others` are the other rows."""
    if current().noise is None:
        return Array((packed,))
    one = np.ones(packed.shape, np.longdouble)
    one[..., others, :] = 0
    return Array((box(rounded(packed) + (rounded(one) - one)),))


def drawn_signs(a: Coefficient, count: int) -> npt.NDArray[np.int64]:
    """A row of signs for the columns of vectors: ones, or drawn, alike for one matrix whenever it is decomposed."""
    shape = (*a.shape[:-2], 1, count)
    turn = current().orientation
    if turn is None:
        return np.ones(shape, np.int64)
    return np.random.default_rng([turn, crc32(middles(a).astype(np.float64).tobytes())]).choice([-1, 1], shape)


def in_extended(points: Coefficient) -> Coefficient:
    """Midpoints of balls, rounded to extended precision."""
    return np.array([to_longdouble(value.mid()) for value in points.ravel()], np.longdouble).reshape(points.shape)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eigh": eigh,
    "eigvalsh": eigvalsh,
    "svd": svd,
    "svdvals": svdvals,
}
