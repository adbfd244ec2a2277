"""Derivatives where reverse mode has none at the point itself: their limits along a line, from either side.

At a tie, at the end of a root's domain, at 0 / 0, the loss is smooth a little off the point: there, at ``p +- t w``,
reverse mode encloses every derivative. The distances ``t`` are so small that what is left at both is the limit: a
derivative that goes to its limit as slowly as the square root of t has come to it within 2^-200 at the first. That is
no proof of the limit, as that of a series is (`series`), but takes one pass for all entries, and a quotient whose
numerator and denominator vanish has a limit like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import flint
import numpy as np
import numpy.typing as npt
from flint import arb

from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks
from gradparity.truth.derivatives.certificate import Derivatives
from gradparity.truth.derivatives.inputs import Line, Loss, constant, lines_of
from gradparity.truth.derivatives.reverse import enclosed_at
from gradparity.truth.numbers.balls import exact_balls
from gradparity.truth.numbers.context import Context, Forced, UndecidedError
from gradparity.truth.numbers.enclosure import Enclosures, to_longdouble

#: Distances from the point, as powers of two. Doubles have 53 bits: what cancels by less than 2^-400 and not to zero
#: takes products of eight of them, or data as small, beside which a distance has to be small too (`_distances`).
DISTANCES = (400, 800)
#: Working precisions over the further distance: a quotient loses as many times its bits as powers of t go out of it.
BITS = (4, 8)
#: What is proven to be no more than this at both distances, and may be zero, is zero.
NOTHING = arb(2) ** -300
#: Relative agreement, as a power of two, of two distances that have come to the limit, and of two limits.
AGREEMENT = 64
#: A value that becomes smaller by this power of two from one distance to the next goes to zero; larger, to infinity.
VANISHING = 64


class Neighbourhood:
    """A loss around a point, its inputs converted once.

    Attributes:
        ties: how many were met at the point itself.
        kinds: the functions that met them.
    """

    def __init__(self, loss: Loss, params: Any, data: Any, direction: Any, deadline: float) -> None:
        self.loss, self.params, self.deadline = loss, params, deadline
        self.data = map_tree(lambda _, leaf: constant(leaf), data)
        self.lines = lines_of(params, direction, exact_balls)
        smallest = [_smallest(leaf) for tree in (params, data) for _, leaf in leaves(tree)]
        self.distances = tuple(k + max([0, *smallest]) for k in DISTANCES)
        self.ties = 0
        self.kinds: set[str] = set()

    def limits(self, along: Any, side: int) -> Blocks:
        """Limits along ``p + side t along`` of derivatives along the direction: nan where there is none to be seen.

        Raises:
            OutOfTimeError: the deadline passed.
        """
        moves = dict(leaves(along))
        near, nearer = (self._moved(moves, side, k) for k in self.distances)
        found: Blocks = {}
        for bits in BITS:
            pair = [self._enclosed(lines, bits * self.distances[-1], 1) for lines in (near, nearer)]
            if pair[0] is None or pair[1] is None:
                break
            blocks = pair[0].blocks, pair[1].blocks
            found = {key: _limit(each, blocks[1][key]) for key, each in blocks[0].items()}
            if all(np.isfinite(value).all() for value in found.values()) or not np.isfinite(found["loss", ""]):
                break
        shapes = {path: line[0].shape for path, line in self.lines.items()}
        keys = {("loss", ""): (), ("jvp", ""): ()}
        keys |= {(quantity, path): shape for quantity in ("gradient", "hvp") for path, shape in shapes.items()}
        return {key: found.get(key, np.full(shape, np.nan, np.longdouble)) for key, shape in keys.items()}

    def at_the_point(self) -> Blocks:
        """Derivatives of the branches that are taken at the point itself, as frameworks take them.

        Raises:
            OutOfTimeError: the deadline passed.
        """
        found = self._enclosed(self.lines, BITS[0] * self.distances[-1], 0)
        return {} if found is None else {key: each.as_longdouble() for key, each in found.blocks.items()}

    def forced(self, forced: Forced) -> Blocks:
        """Derivatives at the point of the pieces that are drawn at its ties.

        Raises:
            OutOfTimeError: the deadline passed.
        """
        found = self._enclosed(self.lines, BITS[0] * self.distances[-1], 1, forced)
        return {} if found is None else {key: each.as_longdouble() for key, each in found.blocks.items()}

    def _moved(self, moves: Mapping[str, Any], side: int, k: int) -> dict[str, Line]:
        # Exact: bits for the point, for the way down to t w, and for the fraction of w.
        with flint.ctx.workprec(k + 2048):
            t = side * arb(2) ** -k
            return {
                path: (np.asarray(line[0] + exact_balls(moves[path]) * t), *line[1:])
                for path, line in self.lines.items()
            }

    def _enclosed(
        self, lines: Mapping[str, Line], bits: int, side: int, forced: Forced | None = None
    ) -> Derivatives | None:
        """At exact lines; None where a comparison is undecided, or a tie active off the point."""
        for share in (False, True):
            chosen = None if forced is None else replace(forced)  # from the first tie on, whatever was tried before
            context = Context(bits=bits, order=1, side=side, deadline=self.deadline, share=share, forced=chosen)
            try:
                found = enclosed_at(self.loss, self.params, lines, self.data, context)
            except UndecidedError:
                continue
            if side == 0:
                self.ties, self.kinds = len(context.kinks), {kink.name for kink in context.kinks}
            off = side != 0 and forced is None
            return None if off and any(kink.active for kink in context.kinks) else found
        return None


def _smallest(leaf: Any) -> int:
    """How far below 1 the smallest number of an array is, in bits; a loss may compare with it."""
    values = np.asarray(leaf)
    if values.dtype.kind != "f":
        return 0
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    return max(0, -int(np.floor(np.log2(sizes.min())))) if sizes.size else 0


def _limit(near: Enclosures, nearer: Enclosures) -> npt.NDArray[np.longdouble]:
    """By entry, from its values at both distances."""
    pairs = zip(near.balls.ravel(), nearer.balls.ravel(), strict=True)
    return np.array([_limit_of(a, b) for a, b in pairs], np.longdouble).reshape(near.balls.shape)


def _limit_of(a: arb, b: arb) -> Any:
    if not (a.is_finite() and b.is_finite()):
        return np.nan
    if b.contains(0):
        # Of zero more cannot be shown than that it is far below what a distance of t leaves of anything.
        return np.longdouble(0) if abs(b) <= NOTHING and abs(a) <= NOTHING else np.nan
    if abs(a - b) <= arb(2) ** -AGREEMENT * abs(b):
        return to_longdouble(b.mid())
    if abs(b) <= abs(a) * arb(2) ** -VANISHING:
        return np.longdouble(0)
    if abs(b) * arb(2) ** -VANISHING >= abs(a):
        return np.longdouble(np.inf if b > 0 else -np.inf)
    return np.nan
