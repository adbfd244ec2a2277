"""The truth at a point where pieces of a loss meet, or where its formula has no value though the loss has a limit.

Entry by entry. The limits of all derivatives are taken along several lines, from both sides (`limits.Neighbourhood`),
and the values at the point with branches drawn at every tie. Where they all are one, and the gradient goes to what it
is at the point, no choice of a branch matters: that is the truth. A gradient's other entries are enclosed along their
own axis by series (`series.certify`), and may turn out to have two one-sided values; where several have, so has their
sum along directions, which holds them together (`around` says why). A second derivative of one limit has that, where
the gradient is continuous: pieces that disagree are none that there are. One whose limits differ has them for its ends
where a single tie decides, and all pieces where they are few. Where the gradient itself has a step, or many ties
decide, it has no value: a framework that takes the mean of both branches, as JAX does in ``maximum``, multiplies means,
and is not between the ends. Across a jump nothing has a derivative, from whichever side the loss is continuous.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks, Extended
from gradparity.truth.derivatives.certificate import Certificate
from gradparity.truth.derivatives.inputs import Loss
from gradparity.truth.derivatives.series import certify
from gradparity.truth.model.around import STEP, Around, alike, in_balls, in_extended
from gradparity.truth.model.floor import Tape
from gradparity.truth.reference import Together

#: Directions along which the entries of a block at a kink are held together.
DIRECTIONS = 6
#: How far off its axis an entry is looked at, over the distance along it.
BESIDE = 2.0**-10

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
        together: directions along which entries at kinks have.
        unknown: why entries of a block are nan.
        point: values of the branches that are taken at the point itself.
    """

    truth: Blocks
    point: Blocks
    kinks: Kinks = field(default_factory=dict)
    unknown: dict[tuple[str, str], str] = field(default_factory=dict)
    together: list[Together] = field(default_factory=list)


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
    seen = in_balls(loss, params, data, tangents, seed, deadline)
    return None if seen is None else _Search(loss, params, data, tangents, seen, seed, deadline).seam()


def seam_in_extended(tape: Tape, point: Blocks, *, seed: int, deadline: float) -> Seam:
    """The same from extended precision, whose values off the point show where a choice of branches matters.

    Args:
        tape: the loss, ties met.
        point: its values at the point, by the branches that are taken there.
        seed: of the other lines.
        deadline: `time.monotonic()` value after which entries that have a kink are not enclosed any more.
    """
    seen = in_extended(tape, point, seed, deadline)
    return _Search(tape.loss, tape.params, tape.data, tape.direction, seen, seed, deadline).seam()


class _Search:
    def __init__(
        self, loss: Loss, params: Any, data: Any, tangents: Any, seen: Around, seed: int, deadline: float
    ) -> None:
        self.loss, self.params, self.data, self.seed, self.deadline = loss, params, data, seed, deadline
        self.seen, self.nothing = seen, seen.nothing
        self.moves = {path: np.asarray(leaf, np.longdouble) for path, leaf in leaves(tangents)}
        blank = {key: np.full(shape, np.nan, np.longdouble) for key, shape in seen.shapes.items()}
        self.found = Seam(blank, seen.point)
        self.continuous = seen.continuous(seen.defined)
        self.across: set[tuple[str, Any]] = set()  # entries whose axis crosses a jump

    def seam(self) -> Seam:
        """Everything: the loss, the gradient, and what follows of it."""
        self._value()
        for path in self.moves:
            self._gradient(path)
        for path in self.moves:
            self._product(path)
        self._along()
        self._together()
        return self.found

    def _value(self) -> None:
        at, limit = self.seen.point["loss", ""], self.seen.limits["loss", ""]
        self.found.truth["loss", ""] = np.where(np.isfinite(at), at, limit)
        if not np.isfinite(self.found.truth["loss", ""]):
            self.found.unknown["loss", ""] = NO_LIMIT

    def _gradient(self, path: str) -> None:
        key, nothing = ("gradient", path), self.nothing.get(("gradient", path))
        if not self.seen.untouched(key).all():
            self.seen.look_further()  # an entry that first lines do not move may have the same kink
        at, limit = self.seen.point[key], self.seen.limits[key]
        smooth = self.seen.untouched(key) & (alike(at, limit, nothing=nothing) | ~np.isfinite(at)) & self.continuous
        self.found.truth[key] = np.where(smooth, limit, np.nan)
        if smooth.all():
            return
        ends, one = self.seen.ends(key), self.seen.decided_by_one_tie(key)
        low, high = ends.min(0), ends.max(0)
        two = one & np.isfinite(ends).all(0) & self.continuous
        same = alike(low, high, STEP, nothing)
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

    def _entry(self, path: str, index: Any) -> bool:
        """One entry of the gradient, along its own axis, if there is time for it."""
        key = "gradient", path
        result = self._certified(self._axis(path, index))
        low, high = result.interval
        if result.status == "out_of_time":
            return False
        if result.jumps:
            self.found.unknown[key] = JUMP
            self.across.add((path, index))
        elif not result.settled:
            self.found.unknown[key] = UNDECIDED
        elif not (low.is_finite and high.is_finite):
            self.found.unknown[key] = INFINITE
        else:
            sides = [low.as_longdouble(), high.as_longdouble()]
            self.found.truth[key][index] = result.first.as_longdouble()
            if self.continuous and (self.seen.pieces or result.is_kink):
                *sides, _ = self.seen.between(sides, lambda each: each[key][index], self.nothing.get(key))
            if not alike(sides[0], sides[1], STEP, self.nothing.get(key)):
                self.found.truth[key][index] = sides[0]
                self.found.kinks["gradient", path, index] = float(sides[0]), float(sides[1])
        return True

    def _axis(self, path: str, index: Any) -> Any:
        axis = {name: np.zeros(move.shape) for name, move in self.moves.items()}
        axis[path][index] = 1.0
        return map_tree(lambda name, _: axis[name], self.params)

    def _certified(self, along: Any) -> Certificate:
        left = max(self.deadline - time.monotonic(), 0.0)
        return certify(self.loss, self.params, self.data, along, order=1, seconds=left)

    def _product(self, path: str) -> None:
        key, gradient = ("hvp", path), ("gradient", path)
        nothing = self.nothing.get(key)

        def goes_to() -> Any:
            return alike(self.found.truth[gradient], self.seen.limits[gradient], nothing=self.nothing.get(gradient))

        at = self.seen.point[key]
        smooth = self.seen.untouched(key) & (alike(at, self.seen.limits[key], nothing=nothing) | goes_to())
        index: Any
        for _, index in (each for each in self.across if each[0] == path):
            smooth[index] = False
        self.found.truth[key] = np.where(smooth, self.seen.limits[key], np.nan)
        if smooth.all():
            return
        self.seen.look_further()
        limit, continuous, ends = self.seen.limits[key], goes_to(), self.seen.ends(key)
        one = self.seen.decided_by_one_tie(key) | self.seen.complete
        low, high = ends.min(0), ends.max(0)
        for index in map(tuple, np.argwhere(~smooth).tolist()):
            if ("gradient", path, index) in self.found.kinks:
                self.found.kinks["hvp", path, index] = NO_VALUE
            elif continuous[index] and self._is_smooth(key, index):
                self.found.truth[key][index] = limit[index]
            elif not np.isfinite(ends[:, *index]).all():
                self.found.unknown[key] = NO_LIMIT
            elif not continuous[index]:
                self.found.unknown[key] = self.found.unknown.get(gradient, JUMP)
            elif not one[index]:
                self.found.kinks["hvp", path, index] = NO_VALUE
            else:
                self.found.truth[key][index] = low[index]
                if not alike(low[index], high[index], STEP, nothing):
                    self.found.kinks["hvp", path, index] = float(low[index]), float(high[index])

    def _is_smooth(self, key: tuple[str, str], index: Any) -> bool:
        """Whether an entry of a product has one limit, by its axis as well: a few lines may not move it first."""
        if not (np.isfinite(self.seen.limits[key][index]) and self.continuous):
            return False
        rng = np.random.default_rng([self.seed, 14])
        # Not on the axis, where the ties of all other entries are.
        line = map_tree(lambda _, x: x + BESIDE * rng.standard_normal(np.shape(x)), self._axis(key[1], index))
        return self.seen.is_limit_on(line, key, index)

    def _along(self) -> None:
        """``g.v``: between its own one-sided values; at kinks that are not regular what its entries may add up to."""
        key, nothing = ("jvp", ""), self.nothing.get(("jvp", ""))
        low: Any = np.longdouble(0)
        high: Any = np.longdouble(0)
        ends: Any
        for path, move in self.moves.items():
            ends = np.array([self.found.truth["gradient", path]] * 2)
            for (quantity, name, index), sides in self.found.kinks.items():
                if (quantity, name) == ("gradient", path):
                    ends[:, *index] = sides
            products = np.where(move == 0, 0, ends * move)
            low, high = low + products.min(0).sum(), high + products.max(0).sum()
        limit, ways = self.seen.limits[key], [side[key] for side in self.seen.both]
        if not self.seen.continuous(self.seen.both):
            self.found.unknown[key] = JUMP
        elif np.isfinite(limit) and np.isnan(low) and alike(self.seen.point[key], limit):
            self.found.truth[key] = limit  # an entry is not known, and the direction takes no notice of it
        elif np.isfinite([low, high, *ways]).all():
            if len(ways) == 2:
                least, most, regular = self.seen.between(ways, lambda each: each[key], nothing)
                known = regular or self.seen.complete
                low, high = (least, most) if known else (min(low, least), max(high, most))
            kinked = not alike(low, high, STEP, nothing)
            self.found.truth[key] = np.asarray(low if kinked or not np.isfinite(limit) else limit)
            if kinked:
                self.found.kinks["jvp", "", ()] = float(low), float(high)
        else:
            reasons = [why for (quantity, _), why in self.found.unknown.items() if quantity == "gradient"]
            self.found.unknown[key] = (*reasons, INFINITE)[0]

    def _together(self) -> None:
        """Along directions within the entries of each block at a kink, and of all such blocks."""
        groups: dict[str, list[Any]] = {}
        for (quantity, path, index), sides in self.found.kinks.items():
            if quantity == "gradient" and np.isfinite(sides).all():
                groups.setdefault(path, []).append(index)
        whole = [groups] if len(groups) > 1 else []
        rng = np.random.default_rng([self.seed, 13])
        for group in [*({path: places} for path, places in groups.items() if len(places) > 1), *whole]:
            # One on which all grow, along which two that each take the whole of a maximum are twice what they may be.
            for form in (np.abs, *(np.positive,) * (DIRECTIONS - 1)):
                move = {path: np.zeros(each.shape) for path, each in self.moves.items()}
                for path, places in group.items():
                    move[path][tuple(np.transpose(places))] = form(rng.standard_normal(len(places)))
                if time.monotonic() >= self.deadline or not self._held(move, list(group)):
                    return

    def _held(self, move: Mapping[str, Any], paths: list[str]) -> bool:
        """One direction, if there is time for it."""
        result = self._certified(map_tree(lambda name, _: move[name], self.params))
        if result.status == "out_of_time":
            return False
        sides = [side.as_longdouble() for side in result.interval]
        if result.settled and not result.jumps and np.isfinite(sides).all() and self.continuous:

            def product(each: Blocks) -> Extended:
                parts = (each["gradient", path] * move[path] for path in paths)
                return np.asarray(
                    sum(np.where(move[p] == 0, 0, part).sum() for p, part in zip(paths, parts, strict=True))
                )

            low, high, regular = self.seen.between(sides, product, self.nothing.get(("jvp", "")))
            if regular or self.seen.complete:
                self.found.together.append(Together({path: move[path] for path in paths}, float(low), float(high)))
        return True
