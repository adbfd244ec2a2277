"""Decompositions, least squares, convolution and pooling over arrays of `mpmath_reference.Number`, by definitions.

Eigenvalues are those of matrices of two rows at most, by the roots of their characteristic polynomial.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.evidence.mpmath_arrays import each, inverses, lift, of_each, total
from tests.evidence.mpmath_reference import number, pick, root


class Squares:
    """Vectors with free signs, of which the squares are known."""

    def __init__(self, squares: Any) -> None:
        self.squares = squares

    def __pow__(self, power: int) -> Any:
        if power != 2:
            raise ValueError(power)
        return self.squares


def _eigenvalues(a: Any) -> Any:
    if len(a) > 2:
        raise ValueError("more than two rows")
    if len(a) < 2:
        return a[0]
    (p, _), (b, q) = a
    gap = root((p - q) * (p - q) + 4 * b * b)
    return np.array([(p + q - gap) / 2, (p + q + gap) / 2], dtype=object)


def eigvalsh(a: Any) -> Any:
    """From the lower triangle."""
    return of_each(_eigenvalues, a)


def eigh(a: Any) -> tuple[Any, Squares]:
    """Of one matrix: a unit vector (x, y) has ``x^2 = (1 -+ (p - q) / gap) / 2``."""
    a = lift(a)
    values = eigvalsh(a)
    if len(a) < 2:
        return values, Squares(lift(np.ones((1, 1))))
    share = (a[0, 0] - a[1, 1]) / (values[1] - values[0])
    low, high = (1 - share) / 2, (1 + share) / 2
    return values, Squares(np.array([[low, high], [high, low]], dtype=object))


def svdvals(a: Any) -> Any:
    """Roots of the eigenvalues of the smaller product with the transpose."""
    a = lift(a)
    turned = np.swapaxes(a, -1, -2)
    gram = a @ turned if a.shape[-2] <= a.shape[-1] else turned @ a
    return each(root, eigvalsh(gram)[..., ::-1])


def svd(a: Any, full_matrices: bool = True) -> tuple[Any, Any, Any]:
    """The singular values alone."""
    return None, svdvals(a), None


def qr(a: Any) -> tuple[Squares, Squares]:
    """Gram and Schmidt, of one matrix."""
    a = lift(a)
    m, n = a.shape
    columns: list[Any] = []
    R = lift(np.zeros((min(m, n), n)))
    for j in range(n):
        rest = a[:, j]
        for i, q in enumerate(columns):
            R[i, j] = total(list(q * a[:, j]))
            rest = rest - q * R[i, j]
        if j < m:
            R[j, j] = root(total(list(rest * rest)))
            columns.append(rest / R[j, j])
    return Squares(np.stack(columns, 1) ** 2), Squares(R * R)


def pinv(a: Any) -> Any:
    """Of full rank."""
    a = lift(a)
    turned = np.swapaxes(a, -1, -2)
    return inverses(turned @ a) @ turned if a.shape[-2] >= a.shape[-1] else turned @ inverses(a @ turned)


def matrix_norm(a: Any, order: Any) -> Any:
    """Of one matrix, by singular values or by sums of sizes."""
    if order == "nuc":
        return total(list(svdvals(a)))
    if order in (2, -2):
        return svdvals(a)[0 if order > 0 else -1]
    sizes = each(abs, a)
    sums = [total(list(row)) for row in (sizes.T if abs(order) == 1 else sizes)]
    return sums[pick(sums, order > 0)]


def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """By the inverse of the triangle."""
    a = lift(a)
    keep = np.tri(a.shape[-1], dtype=bool)
    return inverses(np.where(keep if lower else keep.T, a, number(0))) @ lift(b)


def conv(x: Any, kernels: Any, stride: int = 1, padding: int = 0) -> Any:
    """Sum by sum."""
    x, kernels = lift(x), lift(kernels)
    x = _padded(x, padding, number(0))
    starts = [range(0, n - k + 1, stride) for n, k in zip(x.shape[2:], kernels.shape[2:], strict=True)]
    out = lift(np.zeros((len(x), len(kernels), *map(len, starts))))
    for index in np.ndindex(out.shape):
        seen = x[index[0]][(slice(None), *_window(starts, index, kernels.shape[2:]))]
        out[index] = total(list((seen * kernels[index[1]]).ravel()))
    return out


def pool(of: Callable[[list[Any]], Any], filling: float) -> Callable[..., Any]:
    """Window by window."""

    def function(x: Any, window: int, stride: int | None = None, padding: int = 0) -> Any:
        x = lift(x)
        lengths = (window,) * (x.ndim - 2)
        x = _padded(x, padding, number(filling))
        starts = [range(0, n - window + 1, stride or window) for n in x.shape[2:]]
        out = lift(np.zeros((*x.shape[:2], *map(len, starts))))
        for index in np.ndindex(out.shape):
            out[index] = of(list(x[index[:2]][_window(starts, index, lengths)].ravel()))
        return out

    return function


def _padded(x: Any, padding: int, filling: Any) -> Any:
    return np.pad(x, [(0, 0), (0, 0), *[(padding, padding)] * (x.ndim - 2)], constant_values=filling)


def _window(starts: list[range], index: tuple[int, ...], lengths: tuple[int, ...]) -> tuple[slice, ...]:
    corner = [along[i] for along, i in zip(starts, index[2:], strict=True)]
    return tuple(slice(i, i + k) for i, k in zip(corner, lengths, strict=True))


def expm(a: Any) -> Any:
    """Of one matrix: the series of ``A / 2^s``, whose row sums are 1 at most, squared s times."""
    a = lift(a)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ValueError("one square matrix")
    largest = max(float(sum(abs(x.v) for x in row)) for row in a)
    if largest > 1e4:
        raise ValueError("too large")
    doublings = max(0, int(np.ceil(np.log2(largest)))) if largest > 0 else 0
    a, identity = a * number(0.5**doublings), lift(np.eye(len(a)))
    out = identity
    for k in range(100, 0, -1):  # 1 / 101! is below 2^-530
        out = identity + (a @ out) / k
    for _ in range(doublings):
        out = out @ out
    return out


NAMES: dict[str, Callable[..., Any]] = {
    "avg_pool": pool(lambda values: total(values) / len(values), 0.0), "conv": conv,
    "expm": expm, "solve_triangular": solve_triangular,
    "max_pool": pool(lambda values: values[pick(values, True)], -np.inf),
}  # fmt: skip
LINALG: dict[str, Callable[..., Any]] = {
    "cond": lambda a: svdvals(a)[0] / svdvals(a)[-1], "eigh": eigh, "eigvalsh": eigvalsh,
    "lstsq": lambda a, b, rcond=None: (pinv(a) @ lift(b),), "pinv": pinv, "qr": qr, "svd": svd, "svdvals": svdvals,
}  # fmt: skip
