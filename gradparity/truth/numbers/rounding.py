"""Where an evaluation rounds: each result of a primitive passes through here, and stays as it is without `noise`."""

from __future__ import annotations

import numpy as np

from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.noise import Values


def rounded(x: Values) -> Values:
    """Each element rounded once, where the evaluation rounds."""
    noise = current().noise
    return x if noise is None else noise.rounded(x)


def rounded_product(a: Values, b: Values, product: Values) -> Values:
    """A matrix product whose terms and partial sums round; shapes (..., m, k), (..., k, n) and (..., m, n)."""
    noise = current().noise
    return product if noise is None or not product.size else noise.product(a, b, product)


def rounded_sum(terms: Values, axes: tuple[int, ...], total: Values) -> Values:
    """A sum over axes whose partial sums round; `total` may have kept those axes."""
    noise = current().noise
    if noise is None or not terms.size or not axes:
        return total
    kept = [i for i in range(terms.ndim) if i not in axes]
    flat = np.transpose(terms, kept + list(axes)).reshape((*(terms.shape[i] for i in kept), -1))
    return noise.sum(flat, total.reshape(flat.shape[:-1])).reshape(total.shape)


def rounded_scan(terms: Values, axis: int) -> Values:
    """Running sums whose every step rounds: an error stays in all that follow."""
    noise = current().noise
    return np.add.accumulate(terms, axis=axis) if noise is None else noise.scan(terms, axis)


def rounded_scatter(terms: Values, places: Values, out: Values) -> Values:
    """Sums of the terms that share a place, which are `out` without roundings."""
    noise = current().noise
    return out if noise is None else noise.scatter(terms, places, out)
