"""The noise floor of a neutral loss: its own tape evaluated again and again, every step of it rounded at random.

A draw moves every input and every result of a primitive, there and back, by one rounding of the dtype (`noise`). How
far an entry moves from where it is without, in the root mean square over draws and in quadrature with one rounding of
the entry itself, is its floor: a backend that computes the loss as it is written does no better. Numbers of the data
that are whole, labels and counts, are exact in every dtype and stay.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradparity.model_spec.trees import map_tree
from gradparity.numerics.extended import Blocks, Extended
from gradparity.truth.derivatives.inputs import Line, Loss, constant, is_numeric, lines_of
from gradparity.truth.derivatives.reverse import (
    coefficient,
    pull_back,
    scalar,
)
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import extended
from gradparity.truth.numbers.context import Context, evaluation
from gradparity.truth.numbers.noise import Noise
from gradparity.truth.xp.namespace import xp

#: Draws: their rms over fewer comes out low by accident (a third, once in 300 entries for 6, once in 10^6 for 16).
MOST_DRAWS, FEWEST_DRAWS = 32, 6

_BY_GRADIENT = ("jvp", "by gradient")


class Tape:
    """A loss at a point and along a direction, ready to be evaluated in extended precision.

    Attributes:
        ignored: parameters that no operation leads from to the loss, as of the last evaluation.
    """

    def __init__(self, loss: Loss, params: Any, data: Any, direction: Any) -> None:
        self.loss, self.params, self.data = loss, params, data
        self.lines = lines_of(params, direction, extended)
        self.order = 0 if direction is None else 1
        self.ignored: tuple[str, ...] = ()

    def values(self, noise: Noise | None = None) -> Blocks:
        """Every block: loss and gradient, along a direction JVP and Hessian-vector product; with `noise`, one draw."""
        blocks = self._evaluate(noise)
        blocks.pop(_BY_GRADIENT, None)
        return blocks

    def _evaluate(self, noise: Noise | None = None) -> Blocks:
        with evaluation(Context(order=self.order, extended=True, noise=noise)):
            lines = self.lines if noise is None else {path: _rounded(line, noise) for path, line in self.lines.items()}
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
        """The floor of every entry of `truth`, from as many draws as time allows; infinite where one is no number."""
        rng = np.random.default_rng([seed, 5])
        base = self._evaluate()
        squares = {key: np.zeros_like(value) for key, value in base.items()}
        deadline = time.monotonic() + seconds
        draws = 0
        while draws < FEWEST_DRAWS or (draws < MOST_DRAWS and time.monotonic() < deadline):
            moved = self._evaluate(Noise(dtype, rng))
            squares = {key: square + (moved[key] - base[key]) ** 2 for key, square in squares.items()}
            draws += 1
        # A backend may differentiate forwards, or multiply its gradient with the direction.
        by_gradient = squares.pop(_BY_GRADIENT, None)
        if by_gradient is not None:
            squares["jvp", ""] = np.maximum(squares["jvp", ""], by_gradient)
        unit = np.longdouble(np.finfo(dtype).eps) / 2
        floors = {key: np.sqrt(square / draws + (unit * truth[key]) ** 2) for key, square in squares.items()}
        return {key: np.where(np.isnan(value), np.inf, value) for key, value in floors.items()}


def _along(adjoints: Mapping[str, Array | None], lines: Mapping[str, Line]) -> Extended:
    """``g.v`` from the gradient, added up parameter by parameter."""
    total = Array((np.zeros((), np.longdouble),))
    for path, line in lines.items():
        gradient = Array((coefficient(adjoints[path], 0, line[0].shape),))
        total = total + xp.sum(gradient * Array(line[1:]))
    return np.asarray(total.balls()[0])


def _rounded(line: Line, noise: Noise) -> Line:
    return tuple(noise.rounded(c) for c in line)


def _input(leaf: Any, noise: Noise | None) -> Any:
    """A leaf of the data, whose numbers that are not whole are off by a rounding."""
    if noise is None or not is_numeric(leaf) or np.asarray(leaf).dtype.kind != "f":
        return constant(leaf)
    values = extended(leaf)
    return constant(np.where(values == np.rint(values), values, noise.rounded(values)))
