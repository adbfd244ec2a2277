"""Rounding as an experiment: every result of a primitive moved by one rounding at random, or rounded as it really is.

Monte Carlo arithmetic (`Noise`): each element becomes ``x (1 + u xi)``, with xi a standard normal number and u the unit
roundoff of the dtype that the backends work in. A sum of n terms rounds each of its partial sums s_k, an error of
variance ``u^2 sum_k s_k^2`` (`walks`). An element below the smallest normal number may be flushed to zero, as XLA does:
its rounding is as large as itself. Normal numbers, not signs: those of few draws cancel by accident.

What rounds the same way every time is no random walk: equal terms added up, a step that is taken again and again, a
constant that the dtype does not hold. `Nearest` rounds every result to the dtype as a program does.

Infinities round to themselves.

In half precision (`precisions.Precision`) a product is added up in float32 and rounded once, and so is a sum; TF32
shortens the factors of a product, and nothing else.

Reference: D. S. Parker, "Monte Carlo Arithmetic", UCLA CSD-970002 (1997); Higham, Accuracy and Stability of Numerical
Algorithms, 2002, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.precisions import PRECISIONS
from gradparity.truth.numbers.walks import added_up, expected_walk, walk

Values = npt.NDArray[Any]
Product: TypeAlias = Callable[[Values, Values], Values]
#: Takes matrices, and `errors` of the shape of its result: see `Roundings.eliminated`.
Elimination: TypeAlias = Callable[..., Values]

#: Products of a matrix product whose partial sums are followed one by one; of more, the mean over all orders is taken.
CELLS_FOLLOWED = 2**18
#: The same for sums in the dtype, which are as much faster; of more, BLAS adds them up.
CELLS_ADDED = 2**21
#: Share of the largest number from which on squares of an elimination's numbers are in the range of float64.
SQUARED = 2.0**-200
#: Normal numbers that are drawn at a time.
POOL = 2**16


class Roundings(Protocol):
    """What an evaluation does to every result of a primitive.

    Attributes:
        dtype: what results are rounded to.
    """

    dtype: str

    def rounded(self, x: Values) -> Values:
        """Each element rounded once."""

    def constant(self, x: Values) -> Values:
        """Numbers written in the loss, which a backend rounds to its dtype."""

    def product(self, a: Values, b: Values, times: Product) -> Values:
        """A matrix product whose terms and partial sums round, shapes (..., m, k) and (..., k, n), `times` without."""

    def eliminated(self, f: Elimination, *operands: Values) -> Values:
        """``f(*operands)`` whose steps round.

        What they round is as if the last operand, of the shape of the result, had been off by it: given ``errors``, `f`
        adds its variance to them, over u^2.
        """

    def sum(self, terms: Values, total: Values) -> Values:
        """A sum over the last axis whose partial sums round."""

    def scan(self, terms: Values, axis: int) -> Values:
        """Running sums whose every step rounds: an error stays in all that follow."""

    def scatter(self, terms: Values, places: Values, out: Values) -> Values:
        """Sums along the first axis of the terms that share a place."""


class Noise:
    """The roundings of one draw, at random, or of several that are evaluated together.

    Args:
        dtype: what results are rounded to.
        rng: of the roundings.
        share: of a rounding that is made: smaller steps stay in a domain that whole ones leave.
        draws: that the arrays hold beside each other.
    """

    def __init__(self, dtype: str, rng: np.random.Generator, share: float = 1.0, draws: int = 1) -> None:
        self.dtype, self.rng, self.share, self.draws = dtype, rng, share, draws
        self.precision = PRECISIONS[dtype]
        # Python's numbers, which promote no array; powers of two, and exact.
        self.unit, self.tiny = share * self.precision.unit, self.precision.tiny
        self.unit_of_sums = share * self.precision.unit_of_sums
        self._of_sums = (self.unit_of_sums / self.unit) ** 2
        self._pool, self._taken = np.empty(0, np.float32), 0

    def factors(self, shape: tuple[int, ...]) -> Values:
        """What numbers of this shape are multiplied with to be rounded, where none is below the smallest normal one."""
        return np.asarray(1 + self.unit * self.rng.standard_normal(shape, np.float32).astype(np.longdouble))

    def rounded(self, x: Values) -> Values:
        """Each element rounded once."""
        if not x.size:
            return x
        relative: Any = self.unit
        if not np.minimum.reduce(size := np.abs(x), None) >= self.tiny:
            lost: Any = self.share
            if self.precision.gradual:  # by half of the smallest number, which is no more than all of it
                lost = np.minimum(self.unit * (self.tiny / np.maximum(size, self.unit * self.tiny)), self.share)
            relative = np.where(size < self.tiny, lost, self.unit)
        moved = x * (relative * self._normal(x.shape))
        moved += x
        return np.asarray(moved) if np.isfinite(np.add.reduce(moved, None)) else _finite_or(x, np.asarray(moved))

    def constant(self, x: Values) -> Values:
        """Each number off by its own error in the dtype, which is none where the dtype holds it."""
        if held_by(self.dtype, x):
            return x
        return np.asarray(x + self.share * _error_in(self.dtype, x) * self._normal(x.shape))

    def product(self, a: Values, b: Values, times: Product) -> Values:
        """By the walk of each sum's terms, which round once, and so does each partial sum."""
        if self.precision.factors:
            share = self.share * self.precision.unit_of_factors
            a, b = (np.asarray(x * (1 + share * self._normal(x.shape))) for x in (a, b))
        product = times(a, b)
        # A variance needs two digits: float64 has them, and BLAS, once the factors are scaled into its range.
        (a, largest_a), (b, largest_b) = _scaled(a), _scaled(b)
        terms, scale = np.matmul(np.square(a), np.square(b)), largest_a * largest_b
        if product.size * a.shape[-1] <= CELLS_FOLLOWED * self.draws:
            partial = walk(a[..., :, :, None] * b[..., None, :, :], -2)
        else:
            partial = expected_walk(terms, (product / scale).astype(np.float64, copy=False), a.shape[-1])
        terms += partial
        return self._moved(product, terms * (self._of_sums * scale**2))

    def eliminated(self, f: Elimination, *operands: Values) -> Values:
        """By what the steps of one elimination round, as an error of what another one starts with."""
        *others, last = operands
        errors = _errors(f, operands)
        moved = last + self.unit_of_sums * np.sqrt(errors) * self._normal(errors.shape)
        found = f(*others, np.where(np.isfinite(moved), moved, last))
        if self._of_sums < 1:
            return self.rounded(found)
        small = np.abs(found) < self.tiny
        return np.where(small, self.rounded(found), found) if small.any() else found

    def sum(self, terms: Values, total: Values) -> Values:
        """By the walk of the terms in their order."""
        return self._moved(total, self._of_sums * walk(terms, -1))

    def scan(self, terms: Values, axis: int) -> Values:
        """By the sum of the roundings so far."""
        running = np.cumsum(terms, axis)
        errors = _finite_or_zero(self.rounded(running) - running)
        return _finite_or(running, np.asarray(running + np.cumsum(errors, axis)))

    def scatter(self, terms: Values, places: Values, out: Values) -> Values:
        """By `walks.expected_walk` of each: they come in no particular order."""
        counts = np.bincount(places, minlength=len(out)).reshape(-1, *(1,) * (out.ndim - 1))
        squares = np.zeros_like(out)
        np.add.at(squares, places, terms**2)
        variance = np.where(counts > 1, (counts + 1) / 6 * squares + (counts + 1) / 3 * out**2, 0)
        return np.where(counts > 1, self._moved(out, variance), out)

    def _moved(self, x: Values, variance: Values) -> Values:
        """Each element moved by an error of this variance, given over u^2, and rounded."""
        if x.size and np.minimum.reduce(np.abs(x), None) >= self.tiny:
            moves = np.asarray(np.sqrt(variance + x * x))  # both errors at once
            moves *= self.unit
            moves *= self._normal(x.shape)
            moves += x
            return _finite_or(x, moves)
        return _finite_or(x, self.rounded(np.asarray(x + self.unit * np.sqrt(variance) * self._normal(x.shape))))

    def _normal(self, shape: tuple[int, ...]) -> Values:
        size = math.prod(shape)
        if size > POOL // 8:
            return np.asarray(self.rng.standard_normal(shape, np.float32))
        # A call for a few takes as long as several operations: they are drawn many at a time.
        if self._taken + size > len(self._pool):
            self._pool, self._taken = self.rng.standard_normal(POOL, np.float32), 0
        self._taken += size
        return self._pool[self._taken - size : self._taken].reshape(shape)


class Nearest:
    """Every result rounded to the nearest number of the dtype, and sums added up in it, or in what it is added up in.

    Args:
        dtype: what results are rounded to.
        accumulators: that a sum is divided among; see `walks.ACCUMULATORS`.
    """

    draws = 1

    def __init__(self, dtype: str, accumulators: int) -> None:
        self.dtype, self.accumulators, self.precision = dtype, accumulators, PRECISIONS[dtype]
        self._sums = self.precision.sums

    def rounded(self, x: Values) -> Values:
        """Each element in the dtype."""
        return self.precision.rounded(x)

    def constant(self, x: Values) -> Values:
        """The number that the dtype holds."""
        return self.rounded(x)

    def product(self, a: Values, b: Values, times: Product) -> Values:  # noqa: ARG002
        """Term by term in their order, or of many as BLAS does it."""
        kept = np.result_type(a, b)
        a, b = (np.asarray(self.precision.factor(x), self._sums) for x in (a, b))
        cells = math.prod(np.broadcast_shapes(a.shape[:-2], b.shape[:-2])) * a.shape[-2] * math.prod(b.shape[-2:])
        if cells > CELLS_ADDED:
            return self.rounded(np.asarray(np.matmul(a, b), kept))
        return self._added(np.moveaxis(a[..., :, :, None] * b[..., None, :, :], -2, 0), kept)

    def eliminated(self, f: Elimination, *operands: Values) -> Values:
        """In the arithmetic of the dtype."""
        return self.rounded(f(*(np.asarray(x, self._sums) for x in operands)).astype(np.result_type(*operands)))

    def sum(self, terms: Values, total: Values) -> Values:
        """In the order of the terms."""
        return self._added(np.moveaxis(terms, -1, 0).astype(self._sums), terms.dtype).reshape(total.shape)

    def scan(self, terms: Values, axis: int) -> Values:
        """One after the other."""
        return self.rounded(np.cumsum(terms.astype(self._sums), axis).astype(terms.dtype))

    def scatter(self, terms: Values, places: Values, out: Values) -> Values:
        """In the order of the terms, an accumulator in turn."""
        sums = np.zeros((self.accumulators, *out.shape), self._sums)
        np.add.at(sums, (np.arange(len(places)) % self.accumulators, places), terms.astype(self._sums))
        return self._added(sums, terms.dtype)

    def _added(self, terms: Values, dtype: np.dtype[Any]) -> Values:
        return self.rounded(added_up(np.ascontiguousarray(terms), self.accumulators).astype(dtype))


def held_by(dtype: str, x: Values) -> bool:
    """Whether these are all numbers of the dtype, or none that it could round."""
    return not _error_in(dtype, x).any()


def _error_in(dtype: str, x: Values) -> Values:
    with np.errstate(all="ignore"):
        error = PRECISIONS[dtype].rounded(x) - x
    return _finite_or_zero(error)


def _finite_or_zero(x: Values) -> Values:
    return np.where(np.isfinite(x), x, 0)


def _finite_or(other: Values, x: Values) -> Values:
    """`x` where `other` is a finite number, and `other` where it is none."""
    return np.where(np.isfinite(other), x, other) if not np.isfinite(other).all() else x


def _errors(f: Elimination, operands: tuple[Values, ...]) -> Values:
    """What the steps of an elimination round, in the mean square over u^2, as errors of its last operand.

    A variance needs two digits: float64 has them, but where squares leave its range.
    """
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in operands))
    shape = (*lead, *operands[-1].shape[-2:])
    scaled = [_scaled(x) for x in operands]
    if all(np.min(size := np.abs(x), initial=1.0, where=size > 0) > SQUARED for x, _ in scaled):
        errors = np.zeros(shape)
        with np.errstate(all="ignore"):
            f(*(x for x, _ in scaled), errors=errors)
        if np.isfinite(errors).all():
            return np.asarray(errors * scaled[-1][1] ** 2)
    errors = np.zeros(shape, np.result_type(*operands))
    f(*operands, errors=errors)
    return errors


def _scaled(x: Values) -> tuple[Values, Any]:
    """`x` over its largest magnitude, in float64, and that magnitude; infinities are left out."""
    largest = np.abs(x).max(initial=0)
    if not np.isfinite(largest):
        x = np.where(np.isfinite(x), x, 0)
        largest = np.abs(x).max(initial=0)
    largest = largest or x.dtype.type(1)
    return (x / largest).astype(np.float64, copy=False), largest
