"""Where an evaluation rounds: each result of a primitive passes through here, and stays as it is without `Noise`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.noise import Values
from gradparity.truth.numbers.walks import expected_walk, walk

#: Products of a matrix product whose partial sums are followed one by one; of more, the mean over all orders is taken.
CELLS_FOLLOWED = 2**18


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
