"""How far draws of a loss are from where there is no noise, and what chance makes of few of them. Pure."""

from __future__ import annotations

import numpy as np

from gradparity.numerics.extended import Blocks, Extended
from gradparity.numerics.perturbation import few_draws

#: Draws in which an entry has to be a number, or nothing is said of it.
FEWEST_NUMBERS = 3
#: Draws of which a root mean square that is too low by chance is made up for by rows and columns alone.
ENOUGH = 6


class Spread:
    """How far draws are from where there is no noise, in the mean square over those that are numbers.

    A draw that leaves the domain of the loss in some entry, the logarithm of a number that has become negative, says
    nothing about that entry. Squares are made in the dtype of the base.
    """

    def __init__(self, base: Blocks) -> None:
        self.base, self.draws = base, 0
        self.squares = {key: np.zeros_like(value) for key, value in base.items()}
        self.largest = {key: np.zeros_like(value) for key, value in base.items()}
        self.counts = {key: np.zeros(value.shape, np.int16) for key, value in base.items()}

    def add(self, moved: Blocks) -> None:
        """Some draws, on the first axis."""
        self.draws += len(moved["loss", ""])
        for key, value in moved.items():
            with np.errstate(all="ignore"):
                squares = np.square(value - self.base[key])
            numbers = np.isfinite(squares)
            self.counts[key] += numbers.sum(0, dtype=np.int16)
            known = squares if numbers.all() else np.where(numbers, squares, 0)
            self.squares[key] = self.squares[key] + (known.sum(0) if len(known) > 1 else known[0])
            largest = np.fmax.reduce(squares, 0) if len(squares) > 1 else squares[0]
            self.largest[key] = np.fmax(self.largest[key], largest)

    def variances(self) -> Blocks:
        """By entry, not too low by chance; nan where too few draws are numbers."""
        return {
            key: not_by_chance(
                np.where(self.counts[key] >= FEWEST_NUMBERS, square / np.maximum(self.counts[key], 1), np.nan),
                self.draws,
            )
            for key, square in self.squares.items()
        }

    def unknown(self) -> Blocks:
        """No number for any entry."""
        return {key: np.full_like(value, np.nan) for key, value in self.base.items()}


def not_by_chance(variances: Extended, draws: int) -> Extended:
    """Mean squares of so few draws, raised where their rows and columns say that chance made them low.

    An entry ``x_i d_j`` of a layer's gradient rounds as much as its row does, and its column: ``r_i c_j`` over the mean
    of all, each a mean of many entries. None is raised by more than what chance may have taken (`few_draws`), so that
    an entry that is small by itself keeps its floor. Of fewer draws than `ENOUGH` all are raised, as far as chance may
    have made them lower than of those.
    """
    if 0 < draws < ENOUGH:
        variances = variances * np.longdouble(few_draws(draws) / few_draws(ENOUGH)) ** 2
    if variances.ndim == 0:
        return variances
    known = np.where(np.isfinite(variances), variances, 0)
    mean = known.mean() if known.any() else np.longdouble(1)
    usual = np.asarray(mean)
    if variances.ndim > 1:
        rows = known.reshape(len(known), -1)
        usual = (rows.mean(1, keepdims=True) * (rows.mean(0, keepdims=True) / mean)).reshape(known.shape)
    raised = np.minimum(usual, few_draws(max(draws, ENOUGH)) ** 2 * known)
    return np.asarray(np.where(np.isfinite(variances), np.maximum(known, raised), variances))
