"""The truth at a point where pieces of a loss meet, or where its formula has no value though the loss has a limit.

Entry by entry. The limits of all derivatives are taken along several lines, from both sides (`limits.Neighbourhood`),
and the values at the point with branches drawn at every tie. Where they all are one, and the gradient goes to what it
is at the point, no choice of a branch matters: that is the truth. A gradient's other entries are enclosed along their
own axis by series (`series.certify`), and may turn out to have two one-sided values. A second derivative whose limits
differ has them for its ends where a single tie decides and the gradient is continuous. Where the gradient itself has a
step, or several ties decide, it has no value: a framework that takes the mean of both branches, as JAX does in
``maximum``, multiplies means, and is not between the ends.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks, Extended
from gradparity.truth.derivatives.inputs import Loss
from gradparity.truth.derivatives.limits import NOTHING, Neighbourhood
from gradparity.truth.derivatives.series import certify
from gradparity.truth.model.floor import Tape
from gradparity.truth.numbers.context import Forced, OutOfTimeError

#: Relative agreement of two limits, and of a limit with a value at the point, in extended precision.
ALIKE = 2.0**-56

#: Two ends that are no further apart, relatively, are one.
STEP = 2.0**-40

#: Distances off the point in extended precision. What changes from one to the other as the root of them does, or as
#: they do, is smooth; what stays is a step from side to side, unless it is within the noise of the largest value.
DISTANCES, SHRINKS, NOISE = (2.0**-12, 2.0**-24), 2.0**-5, 2.0**-56

#: Passes with branches that are drawn. Two ties of which one takes back what the other does are seen by one in two.
DRAWN_PIECES = 8

NO_TIME = "there was no time to look at both sides of the point where pieces of the loss meet"
INFINITE = "the derivative is infinite there, or the loss not defined on both sides"
UNDECIDED = "two numbers are neither told apart nor proven equal at this point"
JUMP = "the loss jumps at this point"
NO_LIMIT = "no value or limit could be found at this point"

#: The ends of a derivative that may be anything, as it has no value.
NO_VALUE = (-math.inf, math.inf)

Kinks = dict[tuple[str, str, tuple[int, ...]], tuple[float, float]]


@dataclass
class Seam:
    """What is known of a loss where its pieces meet.

    Attributes:
        truth: by quantity and parameter; nan where nothing is known.
        kinks: entries that have two one-sided values.
        unknown: why entries of a block are nan.
        point: values of the branches that are taken at the point itself.
    """

    truth: Blocks
    point: Blocks
    kinks: Kinks = field(default_factory=dict)
    unknown: dict[tuple[str, str], str] = field(default_factory=dict)


def seam(loss: Loss, params: Any, data: Any, tangents: Any, *, seed: int, deadline: float) -> Seam | None:
    """The truth of every entry that has one at this point; None where there is no time for it.

    Args:
        loss: neutral loss.
        params: tree of arrays.
        data: tree of arrays and plain values.
        tangents: direction of JVP and Hessian-vector product.
        seed: of the other lines.
        deadline: `time.monotonic()` value at which what is known has to do.
    """
    around = Neighbourhood(loss, params, data, tangents, deadline)
    try:
        point = around.at_the_point()
        sides = [around.limits(line, side) for line in _lines(params, tangents, seed) for side in (1, -1)]
        pieces = [around.forced(branches) for branches in _branches(seed)] if around.ties else []
    except OutOfTimeError:
        return None
    return _Search(loss, params, data, tangents, point, sides, pieces, around.ties, deadline).seam()


def seam_in_extended(tape: Tape, point: Blocks, *, seed: int, deadline: float) -> Seam:
    """The same from extended precision, whose values off the point show where a choice of branches matters.

    Args:
        tape: the loss, ties met.
        point: its values at the point, by the branches that are taken there.
        seed: of the other lines.
        deadline: `time.monotonic()` value after which entries that have a kink are not enclosed any more.
    """
    ties = sum(int(np.count_nonzero(found)) for found in tape.ties.found)
    sides = []
    for line in _lines(tape.params, tape.direction, seed):
        for side in (1, -1):
            far, near = (tape.off(line, side * distance) for distance in DISTANCES)
            sides.append({key: _limit(point[key], far[key], near[key]) for key in point})
    pieces = [tape.forced(branches) for branches in _branches(seed)]
    # What cancels to zero in extended precision leaves roundings of what cancels.
    sizes: dict[str, float] = {}
    for (quantity, _), value in point.items():
        largest = float(np.abs(value[np.isfinite(value)]).max(initial=0))
        sizes[quantity] = max(sizes.get(quantity, 0.0), largest)
    sizes["jvp"] = max(sizes["jvp"], sizes["gradient"])
    nothing = {key: NOISE * sizes[key[0]] for key in point}
    search = _Search(tape.loss, tape.params, tape.data, tape.direction, point, sides, pieces, ties, deadline, nothing)
    return search.seam()


def _limit(at: Extended, far: Extended, near: Extended) -> Extended:
    """The value at the point where those off the point go to it as the distance does, and where not, the nearest."""
    with np.errstate(all="ignore"):
        noise = NOISE * np.abs(at[np.isfinite(at)]).max(initial=0)
        return np.where(np.abs(near - at) <= SHRINKS * np.abs(far - at) + noise, at, near)


def _branches(seed: int) -> list[Forced]:
    rng = np.random.default_rng([seed, 11])
    return [Forced(rng, sign) for sign in (-1, 1, *(0,) * DRAWN_PIECES)]


def _lines(params: Any, tangents: Any, seed: int) -> list[Any]:
    rng = np.random.default_rng([seed, 6])
    # A root may be defined on one side only: a line on which every parameter grows stays there.
    forms = (np.abs, np.positive)
    drawn = [map_tree(lambda _, leaf: form(rng.standard_normal(np.shape(leaf))), params) for form in forms]  # noqa: B023
    return [tangents, *drawn]


class _Search:
    def __init__(
        self, loss: Loss, params: Any, data: Any, tangents: Any, point: Blocks, sides: Sequence[Blocks],
        pieces: Sequence[Blocks], ties: int, deadline: float, nothing: Mapping[tuple[str, str], float] | None = None,
    ) -> None:  # fmt: skip
        self.nothing = nothing or {}
        self.loss, self.params, self.data, self.ties, self.deadline = loss, params, data, ties, deadline
        self.moves = {path: np.asarray(leaf, np.longdouble) for path, leaf in leaves(tangents)}
        shapes = {key: value.shape for key, value in sides[0].items()}
        self.point = {key: point.get(key, np.full(shape, np.nan, np.longdouble)) for key, shape in shapes.items()}
        self.defined = [side for side in sides if np.isfinite(side["loss", ""])]
        self.both = [side for side in sides[:2] if np.isfinite(side["loss", ""])]
        self.pieces = pieces
        self.limits = {
            key: _agreed([side[key] for side in self.defined], shape, self.nothing.get(key))
            for key, shape in shapes.items()
        }
        self.found = Seam({key: np.full(shape, np.nan, np.longdouble) for key, shape in shapes.items()}, self.point)

    def seam(self) -> Seam:
        """Everything: the loss, the gradient, and what follows of it."""
        self._value()
        for path in self.moves:
            self._gradient(path)
        for path in self.moves:
            self._product(path)
        self._along()
        return self.found

    def _value(self) -> None:
        at, limit = self.point["loss", ""], self.limits["loss", ""]
        self.found.truth["loss", ""] = np.where(np.isfinite(at), at, limit)
        # A floor is continuous from one side, and has the slopes of both; a point of its own has none.
        self.alone = bool(np.isfinite(at)) and not any(_alike(at, side["loss", ""]) for side in self.defined)
        if not np.isfinite(self.found.truth["loss", ""]):
            self.found.unknown["loss", ""] = NO_LIMIT

    def _gradient(self, path: str) -> None:
        key = "gradient", path
        at, limit = self.point[key], self.limits[key]
        same = _alike(at, limit, nothing=self.nothing.get(key))
        smooth = self._untouched(key) & (same | (~np.isfinite(at) & (not self.alone)))
        self.found.truth[key] = np.where(smooth, limit, np.nan)
        if smooth.all():
            return
        ends, one = self._ends(key), self._decided_by_one_tie(key)
        low, high = ends.min(0), ends.max(0)
        two = one & np.isfinite(ends).all(0) & (not self.alone)
        same = _alike(low, high, STEP, self.nothing.get(key))
        index: Any
        for index in map(tuple, np.argwhere(~smooth).tolist()):
            if time.monotonic() < self.deadline and self._entry(path, index):
                continue
            if two[index]:  # a single tie decides, and these are the values of its two pieces
                self.found.truth[key][index] = low[index]
                if not same[index]:
                    self.found.kinks["gradient", path, index] = float(low[index]), float(high[index])
            else:
                self.found.unknown[key] = NO_TIME

    def _untouched(self, key: tuple[str, str]) -> npt.NDArray[np.bool_]:
        """Entries of one limit that is that of every piece which has a value at the point."""
        out = np.isfinite(self.limits[key])
        for piece in self.pieces:
            if key in piece:
                same = _alike(piece[key], self.limits[key], nothing=self.nothing.get(key))
                out = out & (same | ~np.isfinite(piece[key]))
        return np.asarray(out)

    def _ends(self, key: tuple[str, str]) -> Extended:
        """All that is seen of a block: at the point, on its sides, and of its pieces."""
        return np.array([self.point[key], *(each[key] for each in (*self.defined, *self.pieces) if key in each)])

    def _decided_by_one_tie(self, key: tuple[str, str]) -> npt.NDArray[np.bool_]:
        """Entries that have one value or the other, whatever branches are drawn at all ties: one of them decides."""
        if not all(key in piece for piece in self.pieces) or not self.pieces:
            return np.zeros(self.point[key].shape, bool)
        lower, upper, *drawn = (piece[key] for piece in self.pieces)
        nothing = self.nothing.get(key)
        either = [_alike(each, lower, nothing=nothing) | _alike(each, upper, nothing=nothing) for each in drawn]
        return np.asarray(np.logical_and.reduce(either) | (self.ties == 1))

    def _entry(self, path: str, index: Any) -> bool:
        """One entry of the gradient, along its own axis, if there is time for it."""
        key, left = ("gradient", path), self.deadline - time.monotonic()
        axis = {name: np.zeros(move.shape) for name, move in self.moves.items()}
        axis[path][index] = 1.0
        velocity = map_tree(lambda name, _: axis[name], self.params)
        result = certify(self.loss, self.params, self.data, velocity, order=1, seconds=max(left, 0.0))
        low, high = result.interval
        sides = (result.right, result.left)
        if result.status == "out_of_time":
            return False
        if result.jumps and not any(result.value.ball.overlaps(side.value.ball) for side in sides):
            self.found.unknown[key] = JUMP
        elif not result.settled:
            self.found.unknown[key] = UNDECIDED
        elif not (low.is_finite and high.is_finite):
            self.found.unknown[key] = INFINITE
        else:
            self.found.truth[key][index] = result.first.as_longdouble()
            if result.is_kink and not _alike(np.asarray(low.as_longdouble()), np.asarray(high.as_longdouble()), STEP):
                self.found.truth[key][index] = low.as_longdouble()
                self.found.kinks["gradient", path, index] = low.as_float(), high.as_float()
        return True

    def _product(self, path: str) -> None:
        key, gradient = ("hvp", path), ("gradient", path)
        at, limit = self.point[key], self.limits[key]
        goes_to = _alike(self.found.truth[gradient], self.limits[gradient], nothing=self.nothing.get(gradient))
        smooth = self._untouched(key) & (_alike(at, limit, nothing=self.nothing.get(key)) | goes_to)
        self.found.truth[key] = np.where(smooth, limit, np.nan)
        if smooth.all():
            return
        ends, one = self._ends(key), self._decided_by_one_tie(key)
        low, high = ends.min(0), ends.max(0)
        index: Any
        for index in map(tuple, np.argwhere(~smooth).tolist()):
            if ("gradient", path, index) in self.found.kinks:
                self.found.kinks["hvp", path, index] = NO_VALUE
            elif not np.isfinite(ends[:, *index]).all():
                self.found.unknown[key] = NO_LIMIT
            elif not goes_to[index]:
                self.found.unknown[key] = self.found.unknown.get(gradient, JUMP)
            elif not one[index]:
                self.found.kinks["hvp", path, index] = NO_VALUE
            else:
                self.found.truth[key][index] = low[index]
                if not _alike(low[index], high[index], STEP, self.nothing.get(key)):
                    self.found.kinks["hvp", path, index] = float(low[index]), float(high[index])

    def _along(self) -> None:
        """``g.v``: at several kinks anything that its entries may add up to, and both one-sided values."""
        key = "jvp", ""
        low = high = np.zeros((), np.longdouble)
        ends: Any
        for path, move in self.moves.items():
            ends = np.array([self.found.truth["gradient", path]] * 2)
            for (quantity, name, index), sides in self.found.kinks.items():
                if (quantity, name) == ("gradient", path):
                    ends[:, *index] = sides
            products = np.where(move == 0, 0, ends * move)
            low, high = np.asarray(low + products.min(0).sum()), np.asarray(high + products.max(0).sum())
        limit, ways = self.limits[key], [side[key] for side in self.both]
        ends = np.array([low, high, *ways])
        kinked = not _alike(ends.min(), ends.max(), STEP)
        if np.isfinite(limit) and np.isfinite(ends).all() and not kinked:
            self.found.truth[key] = limit
        elif np.isfinite(limit) and np.isnan(low) and _alike(self.point[key], limit):
            self.found.truth[key] = limit  # an entry is not known, and the direction takes no notice of it
        elif np.isfinite(ends).all() and not self.alone:
            self.found.truth[key] = np.asarray(ends.min())
            if kinked:
                self.found.kinks["jvp", "", ()] = float(ends.min()), float(ends.max())
        else:
            reasons = [why for (quantity, _), why in self.found.unknown.items() if quantity == "gradient"]
            self.found.unknown[key] = JUMP if self.alone else (*reasons, INFINITE)[0]


def _agreed(values: Sequence[Extended], shape: tuple[int, ...], nothing: float | None) -> Extended:
    """By entry what all values are, nan where they are not all the same."""
    if not values:
        return np.full(shape, np.nan, np.longdouble)
    same = np.logical_and.reduce([_alike(values[0], each, nothing=nothing) for each in values])
    return np.where(same, values[0], np.nan)


def _alike(a: Extended, b: Extended, share: float = ALIKE, nothing: float | None = None) -> npt.NDArray[np.bool_]:
    """Which entries are the same finite numbers, by a share of them or by ``nothing``, 2^-300 unless given."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(a - b)
    least = float(NOTHING) if nothing is None else nothing
    return np.asarray((gap <= share * np.minimum(np.abs(a), np.abs(b))) | (gap <= least))
