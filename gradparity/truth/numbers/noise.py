"""Rounding as an experiment: every result of a primitive is moved by one rounding, at random.

Monte Carlo arithmetic: each element becomes ``x (1 + u xi)``, with xi a standard normal number and u the unit roundoff
of the dtype that the backends work in. A sum of n terms rounds each of its partial sums s_k, an error of variance
``u^2 sum_k s_k^2`` (`walks`). An element below the smallest normal number may be flushed to zero, as XLA does: its
rounding is as large as itself. Normal numbers, not signs: those of few draws cancel by accident.

Reference: D. S. Parker, "Monte Carlo Arithmetic", UCLA CSD-970002 (1997); Higham, Accuracy and Stability of Numerical
Algorithms, 2002, section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.walks import expected_walk, walk

Values = npt.NDArray[Any]

#: Products of a matrix product whose partial sums are followed one by one; of more, the mean over all orders is taken.
CELLS_FOLLOWED = 2**18


class Noise:
    """The roundings of one draw."""

    def __init__(self, dtype: str, rng: np.random.Generator) -> None:
        self.unit = np.longdouble(np.finfo(dtype).eps) / 2
        self.tiny = np.longdouble(np.finfo(dtype).tiny)
        self.rng = rng

    def rounded(self, x: Values) -> Values:
        """Each element rounded once."""
        size = np.abs(x)
        relative = np.where(size < self.tiny, 1, self.unit) if np.any(size < self.tiny) else self.unit
        return np.asarray(x + x * relative * self._normal(x.shape))

    def moved(self, x: Values, variance: Values) -> Values:
        """Each element moved by an error of this variance, given over u^2, and rounded."""
        return self.rounded(np.asarray(x + self.unit * np.sqrt(variance) * self._normal(x.shape)))

    def _normal(self, shape: tuple[int, ...]) -> Values:
        return np.asarray(self.rng.standard_normal(shape, np.float32))


def rounded(x: Values) -> Values:
    """Each element rounded once, where the evaluation rounds."""
    noise = current().noise
    return x if noise is None else noise.rounded(x)


def rounded_product(a: Values, b: Values, product: Values) -> Values:
    """A matrix product whose terms and partial sums round; shapes (..., m, k), (..., k, n) and (..., m, n)."""
    noise = current().noise
    if noise is None or not product.size:
        return product
    # A variance needs two digits: float64 has them, and BLAS, once the factors are scaled into its range.
    (a, largest_a), (b, largest_b) = _scaled(a), _scaled(b)
    terms = np.matmul(a**2, b**2)  # each rounds once, and so does each partial sum
    followed = product.size * a.shape[-1] <= CELLS_FOLLOWED
    partial = walk(a[..., :, :, None] * b[..., None, :, :], -2) if followed else expected_walk(a, b, np.matmul(a, b))
    return noise.moved(product, (terms + partial) * (largest_a * largest_b) ** 2)


def _scaled(x: Values) -> tuple[Values, Any]:
    """`x` over its largest magnitude, in float64, and that magnitude."""
    largest = np.abs(x).max(initial=0) or np.longdouble(1)
    return (x / largest).astype(np.float64), largest


def rounded_sum(terms: Values, axes: tuple[int, ...], total: Values) -> Values:
    """A sum over axes whose partial sums round; `total` may have kept those axes."""
    noise = current().noise
    if noise is None or not terms.size or not axes:
        return total
    kept = [i for i in range(terms.ndim) if i not in axes]
    flat = np.transpose(terms, kept + list(axes)).reshape((*(terms.shape[i] for i in kept), -1))
    return noise.moved(total, walk(flat, -1).reshape(total.shape))


def rounded_scan(x: Values, axis: int) -> Values:
    """Running sums whose every step rounds: an error stays in all that follow."""
    noise = current().noise
    return x if noise is None else np.asarray(x + np.cumsum(noise.rounded(x) - x, axis))


def rounded_scatter(out: Values, terms: Values, places: Values, counts: Values) -> Values:
    """Sums of the terms that share a place, in no particular order: `walks.expected_walk` of each."""
    noise = current().noise
    if noise is None:
        return out
    squares = np.zeros_like(out)
    np.add.at(squares, places, terms**2)
    variance = np.where(counts > 1, (counts + 1) / 6 * squares + (counts + 1) / 3 * out**2, 0)
    return np.where(counts > 1, noise.moved(out, variance), out)
