"""Roundings of several draws that are evaluated together: `Draws` in, `Draws` out, each rounded by its own rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradparity.truth.numbers.draws import Values, draws_first, draws_last, wrapped
from gradparity.truth.numbers.noise import Elimination, Nearest, Product, Roundings, held_by


class SideBySide:
    """The roundings of `noise.Roundings`, for draws beside each other.

    Args:
        groups: roundings to one dtype, and how many draws each makes.
    """

    def __init__(self, groups: Sequence[tuple[Roundings, int]]) -> None:
        ends = np.cumsum([count for _, count in groups])
        self.groups = [
            (rule, slice(int(end) - count, int(end))) for (rule, count), end in zip(groups, ends, strict=True)
        ]
        self.draws, self.dtype = int(ends[-1]), groups[0][0].dtype
        # Single elements are rounded to the nearest number alike, and so are eliminations, whatever sums are: by
        # neighbours at once.
        self.of_elements = self.groups[:1]
        for rule, part in self.groups[1:]:
            last, before = self.of_elements[-1]
            if isinstance(rule, Nearest) and isinstance(last, Nearest):
                self.of_elements[-1] = (last, slice(before.start, part.stop))
            else:
                self.of_elements.append((rule, part))

    def rounded(self, x: Values) -> Values:
        """Each element rounded once."""
        return self._of_elements(x, lambda rule, values: rule.rounded(values))

    def constant(self, x: Values) -> Values:
        """Numbers written in the loss; those that the dtypes hold are alike in all draws."""
        if held_by(self.dtype, x):
            return x
        return self._of_elements(x, lambda rule, values: rule.constant(values))

    def product(self, a: Values, b: Values, times: Product) -> Values:
        """A matrix product whose terms and partial sums round."""
        ndim = max(a.ndim, b.ndim)
        A, B = (draws_first(x, ndim) for x in (a, b))
        return self._joined(lambda rule, part: rule.product(_each(A, part), B[part] if len(B) > 1 else B, times))

    def eliminated(self, f: Elimination, *operands: Values) -> Values:
        """An elimination whose steps round."""
        ndim = max(x.ndim for x in operands)
        each = [draws_first(x, ndim) for x in operands]
        return self._joined(lambda rule, part: rule.eliminated(f, *(_each(x, part) for x in each)), self.of_elements)

    def sum(self, terms: Values, total: Values) -> Values:
        """A sum over the last axis whose partial sums round."""
        T, S = draws_first(terms, terms.ndim), draws_first(total, total.ndim)
        return self._joined(lambda rule, part: rule.sum(_each(T, part), _each(S, part)))

    def scan(self, terms: Values, axis: int) -> Values:
        """Running sums whose every step rounds."""
        T, along = draws_first(terms, terms.ndim), axis % terms.ndim + 1
        return self._joined(lambda rule, part: rule.scan(_each(T, part), along))

    def scatter(self, terms: Values, places: Values, out: Values) -> Values:
        """Sums of the terms that share a place."""
        T, S = draws_first(terms, terms.ndim), draws_first(out, out.ndim)
        return self._joined(
            lambda rule, part: np.moveaxis(
                rule.scatter(np.moveaxis(_each(T, part), 0, -1), places, np.moveaxis(_each(S, part), 0, -1)), -1, 0
            )
        )

    def _of_elements(self, x: Values, f: Callable[[Roundings, Values], Values]) -> Values:
        values = draws_last(x)
        if values.shape[-1] != self.draws:
            values = np.broadcast_to(values, (*x.shape, self.draws))
        if len(self.of_elements) == 1:
            return wrapped(f(self.of_elements[0][0], values))
        out = np.empty(values.shape, values.dtype)
        for rule, part in self.of_elements:
            out[..., part] = f(rule, values[..., part])
        return wrapped(out)

    def _joined(
        self, f: Callable[[Roundings, slice], Values], groups: Sequence[tuple[Roundings, slice]] | None = None
    ) -> Values:
        """What each group makes, its draws on the first axis."""
        made = [f(rule, part) for rule, part in groups or self.groups]
        return wrapped(np.moveaxis(np.concatenate(made) if len(made) > 1 else made[0], 0, -1))


def _each(x: Any, part: slice) -> Values:
    """These draws, each of them."""
    return x[part] if len(x) > 1 else np.broadcast_to(x, (part.stop - part.start, *x.shape[1:]))
