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
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks, Extended
from gradparity.numerics.perturbation import few_draws
from gradparity.truth.derivatives.inputs import Line, Loss, constant, is_numeric, lines_of
from gradparity.truth.derivatives.reverse import (
    coefficient,
    pull_back,
    scalar,
)
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import Coefficient, extended
from gradparity.truth.numbers.context import Context, Forced, Ties, evaluation
from gradparity.truth.numbers.noise import Nearest, Noise, Roundings
from gradparity.truth.numbers.walks import ACCUMULATORS
from gradparity.truth.xp.namespace import xp

#: Draws: their rms over fewer comes out low by accident (a third, once in 300 entries for 6, once in 10^6 for 16):
#: see `not_by_chance`.
MOST_DRAWS, FEWEST_DRAWS = 32, 6

#: Draws in which an entry has to be a number, or nothing is said of it.
FEWEST_NUMBERS = 3
#: Shares of a rounding that draws are made with where whole ones leave the domain of the loss. Extended precision
#: itself rounds by 2^-11 of what float64 does: half as much noise again.
SMALLER_STEPS = {"float64": (2.0**-10,), "float32": (2.0**-10, 2.0**-30)}

Key = tuple[str, str]
_BY_GRADIENT = ("jvp", "by gradient")


class Tape:
    """A loss at a point and along a direction, ready to be evaluated in extended precision.

    Attributes:
        ignored: parameters that no operation leads from to the loss, as of the last evaluation.
        ties: of the last evaluation at the point without noise.
    """

    def __init__(self, loss: Loss, params: Any, data: Any, direction: Any) -> None:
        self.loss, self.params, self.data, self.direction = loss, params, data, direction
        self.lines = lines_of(params, direction, extended)
        self.order = 0 if direction is None else 1
        self.ignored: tuple[str, ...] = ()
        self.ties = Ties()

    def values(self) -> Blocks:
        """Every block: loss and gradient, along a direction JVP and Hessian-vector product."""
        return _public(self._evaluate())

    def draw(self, noise: Roundings) -> Blocks:
        """The same, rounded."""
        return _public(self._evaluate(noise))

    def off(self, along: Any, distance: float) -> Blocks:
        """The same at ``p + distance along``."""
        moves = {path: distance * extended(leaf) for path, leaf in leaves(along)}
        lines = {path: (line[0] + moves[path], *line[1:]) for path, line in self.lines.items()}
        return _public(self._evaluate(lines=lines))

    def forced(self, forced: Forced) -> Blocks:
        """The same at the point, of the pieces that are drawn at its ties."""
        return _public(self._evaluate(lines=self.lines, forced=forced))

    def depends_on(self, paths: Collection[str], rng: np.random.Generator) -> dict[Key, npt.NDArray[np.bool_]]:
        """Which entries change in any bit when these parameters, and how they move, are others."""

        def other(c: Coefficient) -> Coefficient:
            return np.asarray(c + 2.0**-10 * (1 + np.abs(c)) * rng.standard_normal(c.shape))

        lines = {path: tuple(map(other, line)) if path in paths else line for path, line in self.lines.items()}
        base, moved = self.values(), _public(self._evaluate(lines=lines))
        return {key: np.asarray(value != moved[key]) for key, value in base.items()}

    def _evaluate(
        self, noise: Roundings | None = None, lines: Mapping[str, Line] | None = None, forced: Forced | None = None
    ) -> Blocks:
        ties = Ties(self.ties.found) if noise is not None else Ties()
        if noise is None and lines is None:
            self.ties = ties
        lines = self.lines if lines is None else lines
        with evaluation(Context(order=self.order, extended=True, noise=noise, ties=ties, forced=forced)):
            if noise is not None:
                lines = {path: _rounded(line, noise) for path, line in lines.items()}
            data = map_tree(lambda _, leaf: _input(leaf, noise), self.data)
            value, adjoints = pull_back(self.loss, self.params, lines, data)
            self.ignored = tuple(path for path, adjoint in adjoints.items() if adjoint is None)
            blocks = {}
            for k, (of_loss, of_parameter) in enumerate((("loss", "gradient"), ("jvp", "hvp"))[: self.order + 1]):
                blocks[of_loss, ""] = np.asarray(scalar(value, k), np.longdouble)
                blocks |= {
                    (of_parameter, path): np.array(coefficient(adjoints[path], k, line[0].shape), np.longdouble)
                    for path, line in lines.items()
                }
            if self.order:
                blocks[_BY_GRADIENT] = _along(adjoints, lines)
            return blocks

    def floor(self, truth: Blocks, dtype: str, *, seed: int, seconds: float) -> Blocks:
        """The floor of every entry of `truth`, from as many draws as time allows; nan where none is known."""
        rng = np.random.default_rng([seed, 5])
        base = self._evaluate()
        spread = _Spread(base)
        deadline = time.monotonic() + seconds
        while spread.draws < FEWEST_DRAWS or (spread.draws < MOST_DRAWS and time.monotonic() < deadline):
            spread.add(self._evaluate(Noise(dtype, rng)))
        variances = spread.variances()
        for share in SMALLER_STEPS[dtype]:
            if all(np.isfinite(variances[key]).all() for key in truth):
                break
            smaller = _Spread(base)
            for _ in range(FEWEST_DRAWS):
                smaller.add(self._evaluate(Noise(dtype, rng, share)))
            found = {key: value / np.longdouble(share) ** 2 for key, value in smaller.variances().items()}
            variances = {key: np.where(np.isfinite(value), value, found[key]) for key, value in variances.items()}
        systematic = {key: np.zeros_like(value) for key, value in base.items()}
        for accumulators in ACCUMULATORS:
            moved = self._evaluate(Nearest(dtype, accumulators))
            systematic = {key: np.fmax(value, _square(moved[key], base[key])) for key, value in systematic.items()}
        # A backend may differentiate forwards, or multiply its gradient with the direction.
        squares = {key: value + systematic[key] for key, value in variances.items()}
        by_gradient = squares.pop(_BY_GRADIENT, None)
        if by_gradient is not None:
            squares["jvp", ""] = np.maximum(squares["jvp", ""], by_gradient)
        unit = np.longdouble(np.finfo(dtype).eps) / 2
        return {key: np.asarray(np.sqrt(square + (unit * truth[key]) ** 2)) for key, square in squares.items()}


class _Spread:
    """How far draws are from where there is no noise, in the mean square over those that are numbers.

    A draw that leaves the domain of the loss in some entry, the logarithm of a number that has become negative, says
    nothing about that entry.
    """

    def __init__(self, base: Blocks) -> None:
        self.base, self.draws = base, 0
        self.squares = {key: np.zeros_like(value) for key, value in base.items()}
        self.counts = {key: np.zeros(value.shape, int) for key, value in base.items()}

    def add(self, moved: Blocks) -> None:
        """One draw."""
        self.draws += 1
        for key, value in moved.items():
            square = _square(value, self.base[key])
            numbers = np.isfinite(square)
            self.squares[key] = self.squares[key] + np.where(numbers, square, 0)
            self.counts[key] += numbers

    def variances(self) -> Blocks:
        """By entry, not too low by chance; nan where too few draws are numbers."""
        return {
            key: not_by_chance(
                np.where(self.counts[key] >= FEWEST_NUMBERS, square / np.maximum(self.counts[key], 1), np.nan),
                self.draws,
            )
            for key, square in self.squares.items()
        }


def not_by_chance(variances: Extended, draws: int) -> Extended:
    """Mean squares of so few draws, raised where their rows and columns say that chance made them low.

    An entry ``x_i d_j`` of a layer's gradient rounds as much as its row does, and its column: ``r_i c_j`` over the mean
    of all, each a mean of many entries. None is raised by more than what chance may have taken (`few_draws`), so that
    an entry that is small by itself keeps its floor.
    """
    if variances.ndim == 0:
        return variances
    known = np.where(np.isfinite(variances), variances, 0)
    mean = known.mean() if known.any() else np.longdouble(1)
    usual = np.asarray(mean)
    if variances.ndim > 1:
        rows = known.reshape(len(known), -1)
        usual = (rows.mean(1, keepdims=True) * (rows.mean(0, keepdims=True) / mean)).reshape(known.shape)
    raised = np.minimum(usual, few_draws(draws) ** 2 * known)
    return np.asarray(np.where(np.isfinite(variances), np.maximum(known, raised), variances))


def _square(moved: Extended, base: Extended) -> Extended:
    with np.errstate(all="ignore"):
        return np.asarray((moved - base) ** 2)


def _public(blocks: Blocks) -> Blocks:
    blocks.pop(_BY_GRADIENT, None)
    return blocks


def _along(adjoints: Mapping[str, Array | None], lines: Mapping[str, Line]) -> Extended:
    """``g.v`` from the gradient, added up parameter by parameter."""
    total = Array((np.zeros((), np.longdouble),))
    for path, line in lines.items():
        gradient = Array((coefficient(adjoints[path], 0, line[0].shape),))
        total = total + xp.sum(gradient * Array(line[1:]))
    return np.asarray(total.balls()[0])


def _rounded(line: Line, noise: Roundings) -> Line:
    return tuple(noise.rounded(c) for c in line)


def _input(leaf: Any, noise: Roundings | None) -> Any:
    """A leaf of the data, whose numbers that are not whole are off by a rounding."""
    if noise is None or not is_numeric(leaf) or np.asarray(leaf).dtype.kind != "f":
        return constant(leaf)
    values = extended(leaf)
    return Array((np.where(values == np.rint(values), values, noise.rounded(values)),))
