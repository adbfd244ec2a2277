"""Eigenvalues and eigenvectors of a symmetric matrix of balls: an approximation, and how far from it the true ones are.

Let X be any matrix of points with ``N = X^T X`` near I and ``S = X^T A X`` near the diagonal D. With the polar factor
``X = Q N^(1/2)``, ``B = Q^T A Q`` has A's eigenvalues, and ``B - D = N^(-1/2) (S - N^(1/2) D N^(1/2)) N^(-1/2)`` is no
larger than ``w = (|S - D| + (2 d + d^2) |D|) / (1 - d)``, d being ``|N - I|``: in order, no eigenvalue is further than
w from its element of D (Weyl). A unit eigenvector whose eigenvalue is told apart from all others is no further than
``sqrt(2) |A x - D_i x| / (|x| gap)`` from ``x / |x|``, gap being the distance of D_i to the other eigenvalues.

References: Parlett, The Symmetric Eigenvalue Problem, 1998, sections 10.3 and 11.7; Ogita and Aishima, "Iterative
refinement for symmetric eigenvalue decomposition", Japan J. Indust. Appl. Math. 35 (2018), for the approximation.
"""

from __future__ import annotations

from functools import cmp_to_key, reduce

import flint
import numpy as np
import numpy.typing as npt
from flint import arb, arb_mat

from gradparity.truth.numbers.balls import ZERO, Coefficient, exact_balls, fill
from gradparity.truth.numbers.matrices import from_mat, to_mat

#: Elements of ``X^T A X`` that are this part, as a power of two, of the gap of their eigenvalues are rotated away at
#: first order; others in blocks.
SEPARATE = 10
#: Bits of the last places, in which an approximation is not improved any more.
LAST = 12
MOST_STEPS = 60


def enclosed(a: Coefficient) -> tuple[Coefficient, Coefficient]:
    """Eigenvalues in ascending order, shape (n,), and their unit eigenvectors in columns, shape (n, n).

    An eigenvector is no number where its eigenvalue is not told apart from all others at the precision under way. The
    sign of each is the one that makes the largest element of its approximation positive.
    """
    n = len(a)
    A = to_mat(a)
    if not all(value.is_finite() for value in a.ravel()):
        return np.full(n, arb.nan(), dtype=object), np.full((n, n), arb.nan(), dtype=object)
    X = approximate(A)
    S, N = from_mat(X.transpose() * A * X), from_mat(X.transpose() * X)
    D = np.array([value.mid() for value in np.diagonal(S)], dtype=object)
    places = np.array(ascending(D), np.int64)
    X = to_mat(from_mat(X)[:, places])
    S, N, D = S[places][:, places], N[places][:, places], D[places]
    d = _norm(N - exact_balls(np.eye(n)))
    if not d < 0.5:
        return np.full(n, arb.nan(), dtype=object), np.full((n, n), arb.nan(), dtype=object)
    largest = max((abs(value) for value in D), default=ZERO)
    w = ((_norm(S - _diagonal(D)) + (2 * d + d * d) * largest) / (1 - d)).abs_upper()
    values = fill((n,), [_within(value, w) for value in D])
    residuals = from_mat(A * X) - from_mat(X) * D
    columns = from_mat(X)
    vectors = np.full((n, n), arb.nan(), dtype=object)
    for i in range(n):
        gaps = [abs(D[i] - D[j]) for j in range(n) if j != i]
        if all(gap > 2 * w for gap in gaps):
            length = sum((value * value for value in columns[:, i]), ZERO).sqrt()
            gap = reduce(arb.min, gaps, arb.pos_inf()) - w
            far = (arb(2).sqrt() * _norm(residuals[:, i]) / (length * gap)).abs_upper()
            vectors[:, i] = [_within(value / length, far) for value in columns[:, i]]
    return values, vectors


def ascending(points: Coefficient) -> list[int]:
    """Positions in ascending order."""

    def order(i: int, j: int) -> int:
        return int(points[i] > points[j]) - int(points[i] < points[j])

    return sorted(range(len(points)), key=cmp_to_key(order))


def approximate(a: arb_mat) -> arb_mat:
    """Points in columns that are nearly orthonormal, and nearly eigenvectors of the midpoints.

    Rotations at first order converge quadratically where eigenvalues are told apart; blocks of those that are not are
    rotated by float64's eigenvectors, as often as it takes.
    """
    a = a.mid()
    bits = flint.ctx.prec
    X = to_mat(exact_balls(_floats_eigenvectors(from_mat(a))))
    largest = max((abs(value) for value in a.entries()), default=ZERO)
    negligible = largest * arb(2) ** (LAST - bits)
    for _ in range(MOST_STEPS):
        X = _orthonormal(X)
        E, size, R = _rotations(from_mat((X.transpose() * a * X).mid()), negligible)
        X = (X + X * to_mat(E)).mid()
        if R is not None:
            X = (X * to_mat(exact_balls(R))).mid()
        elif size * size < arb(2) ** (LAST - bits):
            break
    return _oriented(_orthonormal(X))


def _orthonormal(X: arb_mat) -> arb_mat:
    """Columns that nearly are made so by Newton's and Schulz's iteration, ``X - X (X^T X - I) / 2``."""
    identity = to_mat(exact_balls(np.eye(X.ncols())))
    half = arb(2) ** (-flint.ctx.prec // 2)
    for _ in range(MOST_STEPS):
        excess = (X.transpose() * X - identity).mid()
        X = (X - X * excess * arb(0.5)).mid()
        if all(abs(value) < half for value in excess.entries()):
            break
    return X


def _rotations(S: Coefficient, negligible: arb) -> tuple[Coefficient, arb, npt.NDArray[np.float64] | None]:
    """Of what diagonalises S: E of the rotation I + E, E's largest element, and the rotation of blocks behind it.

    E_ij = S_ij / (S_jj - S_ii), which is first order; blocks are of eigenvalues that are not told apart.
    """
    n = len(S)
    E = np.full((n, n), ZERO, dtype=object)
    size = ZERO
    block = list(range(n))
    scale = arb(2) ** SEPARATE
    for i in range(n):
        for j in range(i):
            if abs(S[i, j]) <= negligible:
                continue
            gap = S[j, j] - S[i, i]
            if abs(S[i, j]) * scale < abs(gap):
                E[i, j] = (S[i, j] / gap).mid()
                E[j, i] = -E[i, j]
                size = size.max(abs(E[i, j]))
            else:
                block = [block[j] if each == block[i] else each for each in block]
    found = [[k for k in range(n) if block[k] == name] for name in dict.fromkeys(block)]
    together = [each for each in found if len(each) > 1]
    if not together:
        return E, size, None
    R = np.eye(n)
    for each in together:
        where = np.ix_(each, each)
        E[where] = ZERO
        R[where] = _floats_eigenvectors(S[where])
    return E, size, R


def _floats_eigenvectors(S: Coefficient) -> npt.NDArray[np.float64]:
    """Of a symmetric matrix of points in float64, once its mean is taken away and it is scaled into its range."""
    n = len(S)
    mean = (sum(np.diagonal(S), ZERO) / n).mid() if n else ZERO
    rest = S - _diagonal(np.full(n, mean, dtype=object))
    largest = max((abs(value.mid()) for value in rest.ravel()), default=ZERO)
    if not largest > 0:
        return np.eye(n)
    return np.linalg.eigh(np.array([float((value / largest).mid()) for value in rest.ravel()]).reshape(n, n))[1]


def _oriented(X: arb_mat) -> arb_mat:
    """Columns whose largest element is positive."""
    columns = from_mat(X)
    floats = np.array([float(value) for value in columns.ravel()]).reshape(columns.shape)
    for i in range(columns.shape[1]):
        if floats[np.argmax(np.abs(floats[:, i])), i] < 0:
            columns[:, i] = -columns[:, i]
    return to_mat(columns)


def _norm(c: Coefficient) -> arb:
    """An upper bound of the Euclidean norm."""
    total: arb = sum((value.abs_upper() ** 2 for value in c.ravel()), ZERO)
    return total.sqrt().abs_upper()


def _diagonal(values: Coefficient) -> Coefficient:
    out = np.full((len(values), len(values)), ZERO, dtype=object)
    np.fill_diagonal(out, values)
    return out


def _within(middle: arb, radius: arb) -> arb:
    return middle + arb(0, 1) * radius
