"""The noise floor of a neutral loss: its own tape evaluated again and again, every step of it rounded.

A draw moves every input and every result of a primitive, there and back, by one rounding of the dtype at random
(`noise.Noise`). How far an entry moves from where it is without, in the root mean square over draws and in quadrature
with one rounding of the entry itself, is its floor: a backend that computes the loss as it is written does no better.
So is how far it moves where all is rounded as it really is (`noise.Nearest`), which is more where many roundings are
alike. Numbers of the data that are whole, labels and counts, are exact in every dtype and stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks, Extended
from gradparity.truth.derivatives.inputs import Line, Loss, constant, is_numeric, lines_of
from gradparity.truth.derivatives.reverse import (
    coefficient,
    pull_back,
    scalar,
)
from gradparity.truth.model.spread import ENOUGH, Spread
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import Coefficient, extended
from gradparity.truth.numbers.beside import SideBySide
from gradparity.truth.numbers.context import Context, Forced, OutOfTimeError, Ties, evaluation
from gradparity.truth.numbers.draws import DifferError, Draws, draws_last
from gradparity.truth.numbers.noise import Nearest, Noise, Roundings
from gradparity.truth.numbers.walks import ACCUMULATORS
from gradparity.truth.xp.namespace import xp

#: Draws: their rms over fewer comes out low by accident (a third, once in 300 entries for 6, once in 10^6 for 16):
#: see `not_by_chance`.
MOST_DRAWS, FEWEST_DRAWS = 32, ENOUGH

#: Numbers that all draws of one evaluation may compute, of 16 bytes each, and draws for which that pays.
CELLS_TOGETHER, FEWEST_TOGETHER = 2**22, 3
#: Shares of a rounding that draws are made with where whole ones leave the domain of the loss. Extended precision
#: itself rounds by 2^-11 of what float64 does: half as much noise again.
SMALLER_STEPS = {"float64": (2.0**-10,), "float32": (2.0**-10, 2.0**-30)}

Key = tuple[str, str]
#: Makes the roundings of so many draws.
Rule: TypeAlias = Callable[[int], Roundings]
_BY_GRADIENT = ("jvp", "by gradient")


class Tape:
    """A loss at a point and along a direction, ready to be evaluated in extended precision.

    Attributes:
        ignored: parameters that no operation leads from to the loss, as of the last evaluation.
        ties: of the last evaluation at the point without noise.
        cells: numbers that an evaluation computes, terms of sums and products counted.
    """

    def __init__(self, loss: Loss, params: Any, data: Any, direction: Any) -> None:
        self.loss, self.params, self.data, self.direction = loss, params, data, direction
        self.lines = lines_of(params, direction, extended)
        self.order = 0 if direction is None else 1
        self.ignored: tuple[str, ...] = ()
        self.ties = Ties()
        self.cells = 0

    def values(self) -> Blocks:
        """Every block: loss and gradient, along a direction JVP and Hessian-vector product."""
        return _public(self.evaluated())

    def draw(self, noise: Roundings) -> Blocks:
        """The same, rounded; of roundings side by side each draw on a first axis."""
        return _public(self.evaluated(noise))

    def off(self, along: Any, distance: float) -> Blocks:
        """The same at ``p + distance along``."""
        moves = {path: distance * extended(leaf) for path, leaf in leaves(along)}
        lines = {path: (line[0] + moves[path], *line[1:]) for path, line in self.lines.items()}
        return _public(self.evaluated(lines=lines))

    def forced(self, forced: Forced) -> Blocks:
        """The same at the point, of the pieces that are drawn at its ties."""
        return _public(self.evaluated(lines=self.lines, forced=forced))

    def depends_on(self, paths: Collection[str], rng: np.random.Generator) -> dict[Key, npt.NDArray[np.bool_]]:
        """Which entries change in any bit when these parameters, and how they move, are others."""

        def other(c: Coefficient) -> Coefficient:
            return np.asarray(c + 2.0**-10 * (1 + np.abs(c)) * rng.standard_normal(c.shape))

        lines = {path: tuple(map(other, line)) if path in paths else line for path, line in self.lines.items()}
        base, moved = self.values(), _public(self.evaluated(lines=lines))
        return {key: np.asarray(value != moved[key]) for key, value in base.items()}

    def evaluated(
        self,
        noise: Roundings | None = None,
        lines: Mapping[str, Line] | None = None,
        forced: Forced | None = None,
        deadline: float | None = None,
    ) -> Blocks:
        """Every block, and the JVP by the gradient.

        Args:
            noise: roundings.
            lines: the series of each parameter, if not those of the point.
            forced: pieces that are drawn at ties.
            deadline: `time.monotonic()` value that it must not pass.

        Raises:
            OutOfTimeError: the deadline passed.
        """
        ties = Ties(self.ties.found) if noise is not None else Ties()
        if noise is None and lines is None:
            self.ties = ties
        lines = self.lines if lines is None else lines
        context = Context(order=self.order, extended=True, noise=noise, ties=ties, forced=forced, deadline=deadline)
        with evaluation(context):
            if noise is not None:
                lines = {path: _rounded(line, noise) for path, line in lines.items()}
            data = map_tree(lambda _, leaf: _input(leaf, noise), self.data)
            value, adjoints = pull_back(self.loss, self.params, lines, data)
            self.ignored = tuple(path for path, adjoint in adjoints.items() if adjoint is None)
            self.cells = context.cells or self.cells
            blocks = {}
            for k, (of_loss, of_parameter) in enumerate((("loss", "gradient"), ("jvp", "hvp"))[: self.order + 1]):
                blocks[of_loss, ""] = scalar(value, k)
                blocks |= {
                    (of_parameter, path): coefficient(adjoints[path], k, line[0].shape) for path, line in lines.items()
                }
            if self.order:
                blocks[_BY_GRADIENT] = _along(adjoints, lines)
            draws = noise.draws if isinstance(noise, SideBySide) else 0
            return {key: _plain(c, draws) for key, c in blocks.items()}

    def floor(self, truth: Blocks, dtype: str, *, seed: int, seconds: float, deadline: float | None = None) -> Blocks:
        """The floor of every entry of `truth`, nan where none is known.

        Args:
            truth: values, by block.
            dtype: what a backend rounds to.
            seed: of the noise.
            seconds: for draws beyond the fewest.
            deadline: `time.monotonic()` value after which none goes on; what is left unknown then is nan.

        Returns:
            Floors, shaped like the values.
        """
        draws = Drawing(self, dtype, np.random.default_rng([seed, 5]), deadline)
        variances, systematic = draws.moved(time.monotonic() + seconds)
        for share in SMALLER_STEPS[dtype]:
            if all(np.isfinite(variances[key]).all() for key in truth):
                break
            found = draws.by_smaller_steps(share)
            variances = {key: np.where(np.isfinite(value), value, found[key]) for key, value in variances.items()}
        # A backend may differentiate forwards, or multiply its gradient with the direction.
        squares = {key: value + systematic[key] for key, value in variances.items()}
        by_gradient = squares.pop(_BY_GRADIENT, None)
        if by_gradient is not None:
            squares["jvp", ""] = np.maximum(squares["jvp", ""], by_gradient)
        unit = np.longdouble(np.finfo(dtype).eps) / 2
        return {key: np.asarray(np.sqrt(square + (unit * truth[key]) ** 2)) for key, square in squares.items()}


class Drawing:
    """Draws of a tape, as many of them in one evaluation as memory has room for, and as their branches allow.

    Args:
        tape: what is drawn.
        dtype: that is rounded to.
        rng: of the noise.
        deadline: `time.monotonic()` value after which no draw goes on, or None.
    """

    def __init__(self, tape: Tape, dtype: str, rng: np.random.Generator, deadline: float | None) -> None:
        self.tape, self.dtype, self.rng, self.deadline = tape, dtype, rng, deadline
        self.base = tape.evaluated(deadline=deadline)
        self.together = CELLS_TOGETHER // max(1, tape.cells)

    def moved(self, soon: float) -> tuple[Blocks, Blocks]:
        """Mean squares of the moves by noise, and the largest squares of those by roundings as they really are.

        Of noise there are the fewest draws, and more until it is `soon`.
        """
        noisy, really = Spread(self.base), Spread(self.base)
        nearest: list[tuple[Rule, int]] = [(partial(self._nearest, accumulators), 1) for accumulators in ACCUMULATORS]
        with suppress(OutOfTimeError):
            first = self._at_once([*nearest, (self._noise, min(MOST_DRAWS, self.together - len(nearest)))])
            if first is not None:
                noisy.add(first.pop())
            for blocks in first or map(self._one, nearest):
                really.add(blocks)
            while noisy.draws < FEWEST_DRAWS or (noisy.draws < MOST_DRAWS and time.monotonic() < soon):
                noisy.add(self._some(self._noise, MOST_DRAWS - noisy.draws))
        if really.draws < len(nearest):  # how far those go is no matter of chance: nothing is known without them
            return noisy.unknown(), really.unknown()
        return noisy.variances(), really.largest

    def by_smaller_steps(self, share: float) -> Blocks:
        """Mean squares of the moves by a share of the noise, scaled to all of it."""
        spread = Spread(self.base)
        with suppress(OutOfTimeError):
            while spread.draws < FEWEST_DRAWS:
                spread.add(self._some(partial(self._noise, share=share), FEWEST_DRAWS - spread.draws))
        return {key: value / np.longdouble(share) ** 2 for key, value in spread.variances().items()}

    def _noise(self, draws: int, share: float = 1.0) -> Noise:
        return Noise(self.dtype, self.rng, share, draws)

    def _nearest(self, accumulators: int, _draws: int) -> Nearest:
        return Nearest(self.dtype, accumulators)

    def _some(self, rule: Rule, wanted: int) -> Blocks:
        """As many draws of a rule as can be made at once, of those that are wanted."""
        blocks = self._at_once([(rule, min(wanted, self.together))])
        return self._one((rule, 1)) if blocks is None else blocks[0]

    def _one(self, group: tuple[Rule, int]) -> Blocks:
        blocks = self.tape.evaluated(group[0](1), deadline=self.deadline)
        return {key: value[None] for key, value in blocks.items()}

    def _at_once(self, groups: Sequence[tuple[Rule, int]]) -> list[Blocks] | None:
        """The draws of each group, on a first axis; None where they have to be made one at a time."""
        counts = [count for _, count in groups]
        if min(counts) < 1 or sum(counts) < FEWEST_TOGETHER:
            return None
        roundings = SideBySide([(rule(count), count) for rule, count in groups])
        try:
            blocks = self.tape.evaluated(roundings, deadline=self.deadline)
        except (DifferError, TypeError):  # NumPy refuses what has no arithmetic for records with a TypeError
            self.together = 0
            return None
        ends = np.cumsum(counts)
        return [
            {key: value[end - count : end] for key, value in blocks.items()}
            for count, end in zip(counts, ends, strict=True)
        ]


def _plain(c: Coefficient, draws: int) -> Extended:
    """Numbers as a plain array, of several draws those on a first axis."""
    if not draws and not isinstance(c, Draws):
        return np.array(c, np.longdouble)
    values = np.moveaxis(draws_last(np.asarray(c)), -1, 0)
    draws = draws or len(values)
    return np.array(np.broadcast_to(values, (draws, *np.shape(c))), np.longdouble)


def _public(blocks: Blocks) -> Blocks:
    blocks.pop(_BY_GRADIENT, None)
    return blocks


def _along(adjoints: Mapping[str, Array | None], lines: Mapping[str, Line]) -> Coefficient:
    """``g.v`` from the gradient, added up parameter by parameter."""
    total = Array((np.zeros((), np.longdouble),))
    for path, line in lines.items():
        gradient = Array((coefficient(adjoints[path], 0, line[0].shape),))
        total = total + xp.sum(gradient * Array(line[1:]))
    return total.balls()[0]


def _rounded(line: Line, noise: Roundings) -> Line:
    return tuple(noise.rounded(c) for c in line)


def _input(leaf: Any, noise: Roundings | None) -> Any:
    """A leaf of the data, whose numbers that are not whole are off by a rounding."""
    if isinstance(leaf, Draws) and noise is None:
        return Array((leaf,))
    if noise is None or not (isinstance(leaf, Draws) or (is_numeric(leaf) and np.asarray(leaf).dtype.kind == "f")):
        return constant(leaf)
    values = extended(leaf)
    whole = values == np.rint(values)
    return Array((values if whole.all() else np.where(whole, values, noise.rounded(values)),))
