"""The noise floor of a neutral loss: its own tape evaluated again and again, every step of it rounded.

A draw moves every input and every result of a primitive, there and back, by one rounding of the dtype at random
(`noise.Noise`). How far an entry moves from where it is without, in the root mean square over draws and in quadrature
with one rounding of the entry itself, is its floor: a backend that computes the loss as it is written does no better.
So is how far it moves where all is rounded as it really is (`noise.Nearest`), which is more where many roundings are
alike. Numbers of the data that are whole, labels and counts, are exact in every dtype and stay.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.precisions import PRECISIONS
from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks, Extended
from gradparity.truth.derivatives.inputs import Line, Loss, constant, is_numeric, lines_of
from gradparity.truth.derivatives.reverse import (
    coefficient,
    pull_back,
    scalar,
)
from gradparity.truth.model.drawing import Drawable, Drawing
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import Coefficient, exact, extended
from gradparity.truth.numbers.context import Context, Forced, OutOfTimeError, Ties, evaluation
from gradparity.truth.numbers.draws import Draws, draws_last
from gradparity.truth.numbers.noise import Roundings
from gradparity.truth.numbers.side_by_side import SideBySide
from gradparity.truth.xp.namespace import xp

#: Shares of a rounding that draws are made with where whole ones leave the domain of the loss. Extended precision
#: itself rounds by 2^-11 of what float64 does: half as much noise again.
SMALLER_STEPS = (2.0**-10, 2.0**-30)
#: The smallest step that there is room for.
LEAST_STEP = 2.0**-63

NO_FLOOR = "a step of the formula is not a finite number, or is none as soon as anything is rounded"
NO_DRAWS = "the time ended before the noise floor had its draws: a larger --budget has them"

Key = tuple[str, str]
#: Size from which on a number's last bits have squares in the range of float64.
SQUARED = 2.0**-400
_BY_GRADIENT = ("jvp", "by gradient")


class Tape:
    """A loss at a point and along a direction, ready to be evaluated in extended precision.

    Attributes:
        ignored: parameters that no operation leads from to the loss, as of the last evaluation.
        ties: of the last evaluation at the point without noise.
        cells: numbers that an evaluation computes, terms of sums and products counted.
        oriented: eigenvectors are computed on the way, or what has a sign that is as free.
    """

    def __init__(self, loss: Loss, params: Any, data: Any, direction: Any) -> None:
        self.loss, self.params, self.data, self.direction = loss, params, data, direction
        self.lines = lines_of(params, direction, extended)
        self.order = 0 if direction is None else 1
        self.ignored: tuple[str, ...] = ()
        self.ties = Ties()
        self.cells = 0
        self._base: Blocks | None = None
        self.oriented = False

    def values(self) -> Blocks:
        """Every block: loss and gradient, along a direction JVP and Hessian-vector product."""
        return _public(dict(self.base()))

    def base(self, deadline: float | None = None) -> Blocks:
        """Every block, and the JVP by the gradient, without roundings; evaluated once.

        Raises:
            OutOfTimeError: the deadline passed.
        """
        if self._base is None:
            self._base = self.evaluated(deadline=deadline)
        return self._base

    def in_float64(self, noise: Roundings | None, deadline: float | None) -> Blocks:
        """The same, evaluated in float64, and rounded.

        Raises:
            OutOfTimeError: the deadline passed.
        """
        return self.evaluated(noise, deadline=deadline, number=np.float64)

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

    def turned(self, orientation: int) -> Blocks:
        """The same at the point, free signs drawn anew, by this number."""
        return _public(self.evaluated(lines=self.lines, orientation=orientation))

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
        number: type[np.floating[Any]] = np.longdouble,
        orientation: int | None = None,
    ) -> Blocks:
        """Every block, and the JVP by the gradient.

        Args:
            noise: roundings.
            lines: the series of each parameter, if not those of the point.
            forced: pieces that are drawn at ties.
            deadline: `time.monotonic()` value that it must not pass.
            number: what it computes with.
            orientation: number of the free signs that are drawn.

        Raises:
            OutOfTimeError: the deadline passed.
        """
        as_known = noise is not None or number is not np.longdouble
        ties = replace(self.ties, known=True, place=0) if as_known else Ties()
        if lines is None and not as_known:
            self.ties = ties
        lines = self.lines if lines is None else lines
        context = Context(
            order=self.order, extended=True, number=number, noise=noise, ties=ties, forced=forced, deadline=deadline,
            orientation=orientation,
        )  # fmt: skip
        with evaluation(context):
            if as_known:
                lines = {path: tuple(_rounded(extended(c), noise) for c in line) for path, line in lines.items()}
            data = map_tree(lambda _, leaf: rounded_leaf(leaf, noise), self.data)
            value, adjoints = pull_back(self.loss, self.params, lines, data)
            self.ignored = tuple(path for path, adjoint in adjoints.items() if adjoint is None)
            self.cells = context.cells if noise is None else self.cells
            self.oriented = self.oriented or context.oriented
            blocks = {}
            for k, (of_loss, of_parameter) in enumerate((("loss", "gradient"), ("jvp", "hvp"))[: self.order + 1]):
                blocks[of_loss, ""] = scalar(value, k)
                blocks |= {
                    (of_parameter, path): coefficient(adjoints[path], k, line[0].shape) for path, line in lines.items()
                }
            if self.order:
                blocks[_BY_GRADIENT] = _along(adjoints, lines)
            draws = noise.draws if isinstance(noise, SideBySide) else 0
            return {key: _plain(c, draws, number) for key, c in blocks.items()}

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
        return floor_of(self, truth, dtype, seed=seed, seconds=seconds, deadline=deadline)


def floor_of(
    tape: Drawable, truth: Blocks, dtype: str, *, seed: int, seconds: float, deadline: float | None = None
) -> Blocks:
    """As `Tape.floor`, of anything that can be drawn."""
    unit = np.longdouble(PRECISIONS[dtype].unit)
    try:
        draws = Drawing(tape, dtype, np.random.default_rng([seed, 5]), deadline)
    except OutOfTimeError:
        return {key: np.full_like(value, np.nan) for key, value in truth.items()}
    variances, systematic = draws.moved(time.monotonic() + seconds)
    for share in (share for share in SMALLER_STEPS if share * unit >= LEAST_STEP):
        if all(np.isfinite(variances[key]).all() for key in truth):
            break
        found = draws.by_smaller_steps(share)
        variances = {key: np.where(np.isfinite(value), value, found[key]) for key, value in variances.items()}
    # A backend may differentiate forwards, or multiply its gradient with the direction.
    squares = {key: value + systematic[key] for key, value in variances.items()}
    by_gradient = squares.pop(_BY_GRADIENT, None)
    if by_gradient is not None:
        squares["jvp", ""] = np.maximum(squares["jvp", ""], by_gradient)
    return {key: np.asarray(np.sqrt(square + (unit * truth[key]) ** 2)) for key, square in squares.items()}


def floors(tape: Tape, dtypes: Collection[str], *, seed: int, seconds: float) -> dict[str, Blocks]:
    """The floors of every block in several dtypes, none below one rounding of the value; nan where one is not known.

    Args:
        tape: the loss at a point.
        dtypes: what a backend may round to.
        seed: of the noise.
        seconds: for draws beyond the fewest, of all dtypes together; ten times as many for those.
    """
    values, found = tape.values(), {}
    for dtype in dtypes:
        deadline = time.monotonic() + 10 * seconds / len(dtypes)
        found[dtype] = tape.floor(values, dtype, seed=seed, seconds=seconds / len(dtypes), deadline=deadline)
    return found


def _plain(c: Coefficient, draws: int, number: type[np.floating[Any]]) -> Extended:
    """Numbers as a plain array, of several draws those on a first axis.

    Of an evaluation in float64 they stay in it, unless squares of what noise moves them by would be below its range.
    """
    if not draws and not isinstance(c, Draws):
        plain = np.array(c, number)
        least = np.min(size := np.abs(plain), initial=1.0, where=size > 0)
        return plain.astype(np.longdouble) if least < SQUARED else plain
    values = np.moveaxis(draws_last(np.asarray(c)), -1, 0)
    draws = draws or len(values)
    return np.array(np.broadcast_to(values, (draws, *np.shape(c))), np.longdouble)


def _public(blocks: Blocks) -> Blocks:
    blocks.pop(_BY_GRADIENT, None)
    return blocks


def _along(adjoints: Mapping[str, Array | None], lines: Mapping[str, Line]) -> Coefficient:
    """``g.v`` from the gradient, added up parameter by parameter."""
    total = Array((exact(0),))
    for path, line in lines.items():
        gradient = Array((coefficient(adjoints[path], 0, line[0].shape),))
        total = total + xp.sum(gradient * Array(line[1:]))
    return total.balls()[0]


def _rounded(c: Coefficient, noise: Roundings | None) -> Coefficient:
    return c if noise is None else noise.rounded(c)


def rounded_leaf(leaf: Any, noise: Roundings | None) -> Any:
    """A leaf of the data, whose numbers that are not whole are off by a rounding."""
    if isinstance(leaf, Draws) and noise is None:
        return Array((leaf,))
    if noise is None or not (isinstance(leaf, Draws) or (is_numeric(leaf) and np.asarray(leaf).dtype.kind == "f")):
        return constant(leaf)
    values = extended(leaf)
    whole = values == np.rint(values)
    return Array((values if whole.all() else np.where(whole, values, noise.rounded(values)),))
