"""Where an evaluation rounds: each result of a primitive passes through here, and stays as it is without `noise`."""

from __future__ import annotations

import numpy as np

from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.draws import in_each_draw
from gradparity.truth.numbers.matrices import extended_product
from gradparity.truth.numbers.noise import Elimination, Values

#: Roundings that are granted to a function which frameworks approximate by series and rational functions of their own.
ROUGH = 8


def rounded(x: Values, times: int = 1) -> Values:
    """Each element off by a rounding, or several, where the evaluation rounds."""
    context = current()
    if context.noise is not None:
        x = np.asarray(x) if np.isscalar(x) else x  # NumPy's result of two arrays of shape ()
        once = context.noise.rounded(x)
        return once if times == 1 else np.where(np.isfinite(x), x + times * (once - x), x)
    context.cells += x.size
    return x


def rounded_product(a: Values, b: Values) -> Values:
    """A matrix product whose terms and partial sums round; shapes (..., m, k) and (..., k, n)."""
    context = current()
    if context.noise is not None and a.size and b.size:
        return context.noise.product(a, b, extended_product)
    product = extended_product(a, b)
    context.cells += product.size * a.shape[-1]
    return product


def rounded_elimination(f: Elimination, *operands: Values) -> Values:
    """``f(*operands)`` of matrices (..., m, n) whose every step rounds."""
    context = current()
    if context.noise is not None:
        return context.noise.eliminated(f, *operands)
    found = in_each_draw(f, *operands)
    context.cells += found.size * operands[0].shape[-1]
    return found


def rounded_sum(terms: Values, axes: tuple[int, ...], total: Values) -> Values:
    """A sum over axes whose partial sums round; `total` may have kept those axes."""
    context = current()
    noise = context.noise
    if noise is None or not terms.size or not axes:
        context.cells += terms.size
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
