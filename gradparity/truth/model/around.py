"""What is seen of a loss around a point where pieces of it meet: at it, off it on lines, and by pieces drawn at ties.

**What a derivative along a direction d may be at a kink.** One of the one-sided ones, ``f'(p; d)`` and ``-f'(p; -d)``,
or between them, where the loss is as a convex function is there, or a concave one (regular; F. Clarke, Optimization
and Nonsmooth Analysis, 1983, section 2.3): then every subgradient g has ``g.d`` between both, whatever d is, and so has
what a framework gives, which is a mean of gradients of pieces. So an entry of a gradient lies between the sides along
its axis, and the entries of one tie, together, between those along any direction: of ``max(a, b)`` at ``a = b`` the
gradient (1, 1) lies between the sides of each entry, and is none along (1, 1).

Where the loss is not regular, as ``relu(a) - relu(b - a)`` is at zero, a framework that takes the left piece at each
tie gives zero along a, where both one-sided derivatives are 1; zero is the gradient of a piece that is there, and as
right as any. That is seen: pieces off the point, or drawn at its ties, have products outside of the sides. Then
whatever lies between the least and the largest of them all is taken: of all pieces where the ties are few enough to
see them all, as the gradient is affine in the slope at each; where they are not, nothing is said of entries together.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.trees import map_tree
from gradparity.numerics.extended import Blocks, Extended
from gradparity.truth.derivatives.inputs import Loss
from gradparity.truth.derivatives.limits import NOTHING, Neighbourhood
from gradparity.truth.model.floor import Tape
from gradparity.truth.numbers.context import Forced, OutOfTimeError

#: Relative agreement of two limits, and of a limit with a value at the point, in extended precision.
ALIKE = 2.0**-56
#: Two ends that are no further apart, relatively, are one.
STEP = 2.0**-40
#: The same off the point in extended precision, where a curvature times the distance is left.
NEAR_STEP = 2.0**-20


#: Distances off the point in extended precision. What changes from one to the other as the root of them does, or as
#: they do, is smooth; what stays is a step from side to side, unless it is within the noise of the largest value.
DISTANCES, SHRINKS, NOISE = (2.0**-12, 2.0**-24), 2.0**-5, 2.0**-56

#: Passes with branches that are drawn. Two ties of which one takes back what the other does are seen by one in two.
DRAWN_PIECES = 8
#: Ties up to which every choice of branches is seen, where all are by a sign: not of sorts, of maxima, of roots.
FEW_TIES = 4
BY_SIGN = {"abs", "clip", "equal", "greater", "greater_equal", "less", "less_equal", "maximum", "minimum", "not_equal"}
#: Lines that are looked at where pieces have what the first three lines do not; one in 2^22 regions as small as half
#: of all directions is missed by all.
FURTHER_LINES = 8


@dataclass
class Around:
    """Values of a loss's derivatives at a point and around it.

    Attributes:
        point: by the branches that are taken at the point; nan where there is none.
        sides: limits along lines, first along the direction from both sides; all have the same blocks.
        pieces: at the point, by branches drawn at its ties: all to one side, all to the other, and others.
        ties: how many there are.
        complete: pieces are of every choice of branches.
        exact: sides are limits, and not values a little off the point.
        nothing: what is zero, by block.
        look: sides along lines, none if there is no time.
        further: lines that are looked at where pieces have what no side has.
    """

    point: Blocks
    sides: Sequence[Blocks]
    pieces: Sequence[Blocks]
    ties: int
    complete: bool = False
    exact: bool = True
    nothing: Mapping[tuple[str, str], float] = field(default_factory=dict)
    look: Callable[[Sequence[Any]], Sequence[Blocks]] = lambda _: []
    further: Sequence[Any] = ()

    def __post_init__(self) -> None:
        self.shapes = {key: value.shape for key, value in self.sides[0].items()}
        self.point = {key: self.point.get(key, np.full(s, np.nan, np.longdouble)) for key, s in self.shapes.items()}
        self.both = [side for side in self.sides[:2] if np.isfinite(side["loss", ""])]
        self.defined = [side for side in self.sides if np.isfinite(side["loss", ""])]
        self._see()

    def _see(self) -> None:
        self.limits = {
            key: agreed([side[key] for side in self.defined], shape, self.nothing.get(key))
            for key, shape in self.shapes.items()
        }

    def look_further(self) -> None:
        """More sides, once."""
        more, self.further = self.further, ()
        if more:
            self.defined += [side for side in self.look(more) if np.isfinite(side["loss", ""])]
            self._see()

    def is_limit_on(self, line: Any, key: tuple[str, str], index: Any) -> bool:
        """Whether an entry has its limit along this line as well, from both sides."""
        sides, nothing = self.look([line]), self.nothing.get(key)
        limit = self.limits[key][index]
        return bool(sides) and all(bool(alike(side[key][index], limit, nothing=nothing)) for side in sides)

    def continuous(self, sides: Sequence[Blocks]) -> bool:
        """Whether the loss goes to what it is at the point, where it is anything there, and to one value."""
        values = [self.point["loss", ""], *(side["loss", ""] for side in sides)]
        known, nothing = [value for value in values if np.isfinite(value)], self.nothing.get(("loss", ""))
        step = ALIKE if self.exact else NEAR_STEP
        return all(bool(alike(known[0], each, step, nothing)) for each in known[1:])

    def untouched(self, key: tuple[str, str]) -> npt.NDArray[np.bool_]:
        """Entries of one limit that is that of every piece which has a value at the point."""
        out = np.isfinite(self.limits[key])
        for piece in self.pieces:
            if key in piece:
                same = alike(piece[key], self.limits[key], nothing=self.nothing.get(key))
                out = out & (same | ~np.isfinite(piece[key]))
        return np.asarray(out)

    def ends(self, key: tuple[str, str]) -> Extended:
        """All that is seen of a block: at the point, on its sides, and of its pieces."""
        return np.array([self.point[key], *(each[key] for each in (*self.defined, *self.pieces) if key in each)])

    def decided_by_one_tie(self, key: tuple[str, str]) -> npt.NDArray[np.bool_]:
        """Entries that have one value or the other, whatever branches are drawn at all ties: one of them decides."""
        if not all(key in piece for piece in self.pieces) or not self.pieces:
            return np.zeros(self.shapes[key], bool)
        lower, upper, *drawn = (piece[key] for piece in self.pieces)
        nothing = self.nothing.get(key)
        out = np.full(self.shapes[key], True)
        for each in drawn if self.ties > 1 else ():
            out &= alike(each, lower, nothing=nothing) | alike(each, upper, nothing=nothing)
        return out

    def between(
        self, sides: Sequence[Any], of: Callable[[Blocks], Any], nothing: float | None = None
    ) -> tuple[Any, Any, bool]:
        """What the derivative along a direction may be, least and most, and whether the loss is regular along it.

        Args:
            sides: the one-sided derivatives.
            of: the same of the derivatives of a piece.
            nothing: what is zero.
        """
        low, high = min(sides), max(sides)
        room = (STEP if self.exact else NEAR_STEP) * max(abs(low), abs(high)) + (nothing or float(NOTHING))

        def known(seen: Sequence[Blocks]) -> list[Any]:
            return [value for value in (of(each) for each in seen if each) if np.isfinite(value)]

        pieces = known(self.pieces)
        outside = [value for value in pieces if not low - room <= value <= high + room]
        if outside:
            self.look_further()
        cells = known(self.defined)
        beyond = [value for value in cells if not low - room <= value <= high + room]
        if not beyond and (not outside or high - low <= room):  # pieces that there are at no point
            near = [low, high] if self.exact else [low, high, *cells, *(each for each in pieces if each not in outside)]
            return min(near), max(near), True
        seen = [low, high, *cells, *pieces]
        return min(seen), max(seen), False


def agreed(values: Sequence[Extended], shape: tuple[int, ...], nothing: float | None) -> Extended:
    """By entry what all values are, nan where they are not all the same."""
    if not values:
        return np.full(shape, np.nan, np.longdouble)
    same = np.logical_and.reduce([alike(values[0], each, nothing=nothing) for each in values])
    return np.where(same, values[0], np.nan)


def alike(a: Any, b: Any, share: float = ALIKE, nothing: float | None = None) -> npt.NDArray[np.bool_]:
    """Which entries are the same finite numbers, by a share of them or by ``nothing``, 2^-300 unless given."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(a - b)
    least = float(NOTHING) if nothing is None else nothing
    return np.asarray((gap <= share * np.minimum(np.abs(a), np.abs(b))) | (gap <= least))


def in_balls(loss: Loss, params: Any, data: Any, tangents: Any, seed: int, deadline: float) -> Around | None:
    """By limits in ball arithmetic; None where there is no time for them. Arguments are those of `seam.seam`."""
    near = Neighbourhood(loss, params, data, tangents, deadline)

    def look(lines: Sequence[Any]) -> list[Blocks]:
        try:
            return [near.limits(line, side) for line in lines for side in (1, -1)]
        except OutOfTimeError:
            return []

    try:
        point = near.at_the_point()
        began = time.monotonic()
        sides = look(_lines(params, tangents, seed))
        took = time.monotonic() - began
        complete = 0 < near.ties <= FEW_TIES and near.kinds <= BY_SIGN
        pieces = [near.forced(each) for each in _branches(seed, near.ties if complete else 0)] if near.ties else []
        there_is_time = took * FURTHER_LINES < deadline - time.monotonic()
        further = _further_lines(params, seed) if there_is_time else ()
    except OutOfTimeError:
        return None
    return Around(point, sides, pieces, near.ties, complete, look=look, further=further) if sides else None


def in_extended(tape: Tape, point: Blocks, seed: int, deadline: float) -> Around:
    """By values a little off the point in extended precision. Arguments are those of `seam.seam_in_extended`."""
    ties = sum(int(np.count_nonzero(found)) for found in tape.ties.found)

    def along(lines: Sequence[Any]) -> list[Blocks]:
        sides = []
        for line, side in itertools.product(lines, (1, -1)):
            far, near = (tape.off(line, side * distance) for distance in DISTANCES)
            sides.append({key: _limit(point[key], far[key], near[key]) for key in point})
        return sides

    def look(lines: Sequence[Any]) -> list[Blocks]:
        return [] if time.monotonic() > deadline else along(lines)

    sides = along(_lines(tape.params, tape.direction, seed))
    pieces = [tape.forced(branches) for branches in _branches(seed)]
    # What cancels to zero in extended precision leaves roundings of what cancels.
    sizes: dict[str, float] = {}
    for (quantity, _), value in point.items():
        largest = float(np.abs(value[np.isfinite(value)]).max(initial=0))
        sizes[quantity] = max(sizes.get(quantity, 0.0), largest)
    sizes["jvp"] = max(sizes["jvp"], sizes["gradient"])
    nothing = {key: NOISE * sizes[key[0]] for key in point}
    further = _further_lines(tape.params, seed)
    return Around(point, sides, pieces, ties, exact=False, nothing=nothing, look=look, further=further)


def _limit(at: Extended, far: Extended, near: Extended) -> Extended:
    """The value at the point where those off the point go to it as the distance does, and where not, the nearest."""
    with np.errstate(all="ignore"):
        noise = NOISE * np.abs(at[np.isfinite(at)]).max(initial=0)
        return np.where(np.abs(near - at) <= SHRINKS * np.abs(far - at) + noise, at, near)


def _branches(seed: int, few: int = 0) -> list[Forced]:
    """Those to one side and to the other first; all there are of a few ties, drawn ones of others."""
    rng = np.random.default_rng([seed, 11])
    if few:
        first, *others, last = itertools.product((-1, 1), repeat=few)
        return [Forced(rng, turns=turns) for turns in (first, last, *others)]
    return [Forced(rng, sign) for sign in (-1, 1, *(0,) * DRAWN_PIECES)]


def _lines(params: Any, tangents: Any, seed: int) -> list[Any]:
    rng = np.random.default_rng([seed, 6])
    # A root may be defined on one side only: a line on which every parameter grows stays there.
    forms = (np.abs, np.positive)
    drawn = [map_tree(lambda _, leaf: form(rng.standard_normal(np.shape(leaf))), params) for form in forms]  # noqa: B023
    return [tangents, *drawn]


def _further_lines(params: Any, seed: int) -> list[Any]:
    rng = np.random.default_rng([seed, 7])
    return [map_tree(lambda _, leaf: rng.standard_normal(np.shape(leaf)), params) for _ in range(FURTHER_LINES)]
