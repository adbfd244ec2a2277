"""The exponential of a matrix: of balls by FLINT's own, in extended precision by scaling and squaring.

Reference: N. Higham, Functions of Matrices, 2008, sections 3.2 and 10.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import ZERO, Coefficient, box, middles
from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.draws import question
from gradparity.truth.numbers.matrices import Series, from_mat, of_each, to_mat
from gradparity.truth.numbers.tape import traced
from gradparity.truth.xp.arithmetic import add, matrix_product, multiply, subtract
from gradparity.truth.xp.linalg import solve, square
from gradparity.truth.xp.shaping import concatenate

#: Coefficients of Pade's approximant of degree 13, lowest first (equation 10.33 of Higham).
PADE = (
    64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
    670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
)  # fmt: skip
#: Row sums up to which it is good to 2^-66: its error goes with the 27th power, and is 2^-53 at 5.37 (table 10.2).
NORM = 3.8


def expm(a: Any) -> Array:
    """``e^A = sum A^k / k!`` of (..., n, n), not element by element."""
    a = square(a, "expm")
    if current().extended:
        return _scaled_and_squared(a)
    return traced("expm", Array(of_each(_series, a.balls(), shape=a.shape[-2:])), a)


def derivative(a: Array, direction: Array) -> Array:
    """Frechet's, of the exponential at A along E: the upper right block of ``exp [[A, E], [0, A]]`` (theorem 3.6)."""
    n = a.shape[-1]
    lower = concatenate([asarray(np.zeros(a.shape)), a], axis=-1)
    return expm(concatenate([concatenate([a, direction], axis=-1), lower], axis=-2))[..., :n, n:]


def _series(a: Series) -> Series:
    """Of ``A_0 + A_1 t + A_2 t^2``, which multiply as block Toeplitz matrices do."""
    n, order = len(a[0]), current().order if len(a) > 1 else 0
    blocks: Coefficient = np.full((order + 1, n, order + 1, n), ZERO, dtype=object)
    for i in range(order + 1):
        for k, c in enumerate(a[: order + 1 - i]):
            blocks[i, :, i + k] = c
    whole = from_mat(to_mat(blocks.reshape((order + 1) * n, -1)).exp())
    return [whole[:n, k * n : (k + 1) * n] for k in range(order + 1)]


def _scaled_and_squared(a: Array) -> Array:
    """By Pade's approximant of ``A / 2^s``, squared s times: rounded as it is in SciPy and JAX."""
    doublings = _doublings(a.balls()[0])
    a = multiply(a, 0.5**doublings)
    squares = matrix_product(a, a)
    fourths = matrix_product(squares, squares)
    powers = asarray(np.broadcast_to(np.eye(a.shape[-1]), a.shape)), squares, fourths, matrix_product(squares, fourths)
    even, odd = (
        add(matrix_product(powers[3], _sum(PADE[first + 8 :: 2], powers[1:])), _sum(PADE[first:8:2], powers))
        for first in (0, 1)
    )
    odd = matrix_product(a, odd)
    out = solve(subtract(even, odd), add(even, odd))
    for _ in range(doublings):
        out = matrix_product(out, out)
    return out


def _sum(coefficients: Sequence[int], matrices: Sequence[Array]) -> Array:
    return reduce(add, [multiply(c, x) for c, x in zip(coefficients, matrices, strict=True)])


def _doublings(c: Coefficient) -> int:
    def of(values: Any) -> Any:
        sums = np.abs(values).sum(c.ndim - 1)
        largest = sums.max(tuple(range(c.ndim - 1)), initial=0)
        return np.where(np.isfinite(largest), np.ceil(np.log2(np.maximum(largest / NORM, 1))), 0).astype(np.int64)

    return min(int(question(of, box(middles(c)))), math.ceil(math.log2(np.finfo(np.longdouble).maxexp)))


FUNCTIONS: dict[str, Callable[..., Any]] = {"expm": expm}
