"""What adding many terms rounds: the random walk of the partial sums, and what terms that repeat make of it.

A sum of n terms, one added after the other, rounds every partial sum s_k: an error of variance ``u^2 sum_k s_k^2``. Any
other order of additions has shorter partial sums, so this is generous, and by no more than a backend may make use of.

Reference: Higham, Accuracy and Stability of Numerical Algorithms, 2002, sections 2.8 and 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Accumulators that sums over rows are tried with: one, and what vector units and threads have.
ACCUMULATORS = (1, 4, 32)


class Walk:
    """Sums over rows in their order: the running totals, and the squared error of adding them up, times ``scale``.

    That is the random walk of the partial sums, unless what adding the rounded terms in the dtype really makes, by one
    accumulator or by several, is more: equal terms, as equal rows have, round the same way every time, which is no
    random walk. How much more is the worst over the columns: in each alone it may be small by accident.
    """

    def __init__(self, zero: Array, dtype: str, scale: Any) -> None:
        self.total, self.walked, self.dtype, self.scale = zero, zero, dtype, scale
        self.exact = np.asarray(zero, np.longdouble)
        self.sums = [np.zeros((lanes, *zero.shape), dtype) for lanes in ACCUMULATORS]

    def extend(self, terms: Array, noise: Array | None = None) -> None:
        """Add terms along the first axis; ``noise`` is the variance, over u^2, that they come with."""
        partial = self.total + np.cumsum(terms, 0)
        self.total = partial[-1]
        self.walked = self.walked + (partial**2).sum(0) + (0 if noise is None else noise.sum(0))
        with np.errstate(over="ignore"):
            # Scaled first, as reverse mode does: terms of 1/2 add up exactly, and thirds of them do not.
            rounded = (self.scale * terms).astype(self.dtype, copy=False)
        if not np.isfinite(rounded).all():  # no framework adds these up in the dtype either
            return
        self.exact = self.exact + rounded.sum(0, dtype=np.longdouble)
        for place, lanes in enumerate(ACCUMULATORS):
            self.sums[place] = _in_order(self.sums[place], _in_turns(rounded, lanes))

    def squares(self, unit: Any) -> Array:
        """The squared error of the scaled sums."""
        made = [_in_order(each[0], each[1:]) - self.exact for each in self.sums]
        walked = (self.scale * unit) ** 2 * self.walked
        worst = np.max(np.square(made) / np.where(walked > 0, walked, np.inf))
        return np.asarray(walked * self.total.dtype.type(max(1, worst)))


def added_up(terms: Array, accumulators: int) -> Array:
    """The sum over the first axis in the terms' own dtype: by accumulators in turn, which are added up at the end."""
    sums = _in_order(np.zeros((accumulators, *terms.shape[1:]), terms.dtype), _in_turns(terms, accumulators))
    return _in_order(sums[0], sums[1:])


def _in_turns(terms: Array, accumulators: int) -> Array:
    """Terms as each turn of the accumulators takes them; shape (turns, accumulators, ...)."""
    padding = np.zeros((-len(terms) % accumulators, *terms.shape[1:]), terms.dtype)  # adding zeros is exact
    turns = np.concatenate([terms, padding]) if len(padding) else terms
    return turns.reshape(-1, accumulators, *terms.shape[1:])


def _in_order(start: Array, terms: Array) -> Array:
    """``start`` with terms added one after the other along the first axis."""
    every = np.concatenate([start[None], terms])
    # NumPy adds whole rows in their order, and a lone column in pairs; its cumulative sum always goes in order.
    return np.asarray(np.add.reduce(every, 0) if start.size > 1 else np.cumsum(every, 0)[-1])


def walk(terms: Array, axis: int) -> Array:
    """``sum_k s_k^2`` of the partial sums: the variance, over u^2, of adding terms in their order."""
    return np.asarray((np.cumsum(terms, axis) ** 2).sum(axis))


def expected_walk(squares: Array, product: Array, n: int) -> Array:
    """`walk` of every sum of a matrix product in the mean over all orders of its n terms.

    With sum T and sum of squares Q of the terms, E s_k^2 = Q k (n - k) / (n (n - 1)) + T^2 k (k - 1) / (n (n - 1)),
    whose sum over k is (n + 1) / 6 Q + (n + 1) / 3 T^2.
    """
    found = np.asarray(np.square(product))
    found *= (n + 1) / 3
    found += (n + 1) / 6 * squares
    return found
