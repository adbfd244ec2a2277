"""What a backend gives beside a point, where its loss may have a kink: its derivatives from either side. Pure.

A function with kinks is smooth in each of the cells that meet at the point, and every derivative there is one that a
right backend gives beside it. So each is asked at points a few roundings away, in directions and against them: a
parameter at a bound, or at exactly zero where a rounding does not move it, then lies to either side. Within a cell a
derivative changes as fast as the distance does, or as it is rounded; from cell to cell it steps, however close.

Reference: Clarke, Optimization and Nonsmooth Analysis, 1983, theorem 2.5.1: the generalised gradient is the convex hull
of the limits of gradients beside the point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.numerics.extended import Extended
from gradparity.numerics.perturbation import NORMAL_MEDIAN, Floors, Tree, Values, few_draws
from gradparity.numerics.richardson import block_directions

Key: TypeAlias = tuple[str, str]

#: How far beside the point, in roundings of a parameter of typical size: a sum at a tie is off by fewer.
NEAR = 2.0**5
#: Directions, each taken to either side; the first ones at so many distances, where a line through the values leaves
#: the noise.
DIRECTIONS, FIRST, DISTANCES = 8, 3, 3
#: Points in all.
POINTS = 2 * (DIRECTIONS + (DISTANCES - 1) * FIRST)
#: A step is so many times what a derivative changes by within a cell, and visible beside the block's largest entry.
STEP = 64.0
#: The share of a block's largest entry from which on a floor is looked into.
WIDE = 1e-6
#: Levels up to which the outermost are all seen: one kink has two, two have four, and a direction shows two of them.
ALL_SEEN = 4


def beside(
    params: Mapping[str, Any], data: Mapping[str, Any], tangents: Mapping[str, Any], *, seed: int
) -> Iterator[tuple[Tree, Tree, Tree]]:
    """Parameters at points beside theirs, the same for every backend; data and tangents stay."""
    for number in range(DIRECTIONS):
        moves = {name: move[name] for name, move in block_directions(params, seed + 1 + number)}
        for distance in range(1, 1 + (DISTANCES if number < FIRST else 1)):
            for sign in (1.0, -1.0):
                yield (
                    {n: _moved(x, moves.get(n), sign * distance * NEAR) for n, x in params.items()},
                    dict(data),
                    dict(tangents),
                )


def _moved(value: npt.NDArray[Any], move: npt.NDArray[Any] | None, roundings: float) -> npt.NDArray[Any]:
    if move is None or value.dtype.kind != "f":
        return value
    step = np.longdouble(roundings * float(np.finfo(value.dtype).eps))
    return np.asarray((value + step * move).astype(value.dtype))


@dataclass(frozen=True)
class Sides:
    """One block beside the point: every entry's smallest and largest value, and where it steps from one to another.

    ``floor`` is how far an entry scatters within a cell, ``levels`` how many values it has. ``least`` and ``most``, of
    a JVP, are what the gradient's sides leave to it.
    """

    low: Extended
    high: Extended
    kinks: npt.NDArray[np.bool_]
    floor: Extended
    levels: npt.NDArray[np.int64]
    least: Extended | None = None
    most: Extended | None = None


def sides_from(evaluations: Sequence[Values], tangents: Mapping[str, npt.NDArray[Any]]) -> dict[Key, Sides]:
    """What the evaluations at the points of `beside` say, of every quantity but the loss."""
    if len(evaluations) != POINTS:
        return {}
    found: dict[Key, Sides] = {}
    for quantity, tree in evaluations[0].items():
        blocks = {name: np.array([each[quantity][name] for each in evaluations], np.longdouble) for name in tree}
        if quantity == "loss" or any(len({each[quantity][n].shape for each in evaluations}) > 1 for n in tree):
            continue
        largest = max((np.abs(v[np.isfinite(v)]).max(initial=0) for v in blocks.values()), default=0)
        for name, values in blocks.items():
            found[quantity, name] = _sides(values, largest, float(np.finfo(tree[name].dtype).eps))
    jvp = found.get(("jvp", ""))
    gradient = {name: found["gradient", name] for name in tangents if ("gradient", name) in found}
    if jvp is not None and any(each.kinks.any() for each in gradient.values()):
        ends = [np.array([tangents[n] * s.low, tangents[n] * s.high], np.longdouble) for n, s in gradient.items()]
        least, most = (np.asarray(sum(pick(each, axis=0).sum() for each in ends)) for pick in (np.min, np.max))
        levels = np.max([s.levels.max(initial=1) for s in gradient.values()])
        found["jvp", ""] = Sides(jvp.low, jvp.high, np.ones((), bool), jvp.floor, np.asarray(levels), least, most)
    return found


def _sides(values: Extended, largest: Any, eps: float) -> Sides:
    near = np.array([2 * DISTANCES * k + side for k in range(FIRST) for side in (0, 1)])
    cells = np.delete(values, [near + 2, near + 4], axis=0)
    low, high = cells.min(axis=0), cells.max(axis=0)
    with np.errstate(invalid="ignore"):
        within = np.median(np.abs(values[near + 4] - values[near]), axis=0)  # one ray may pass along a tie
        noise = (values[near] - 2 * values[near + 2] + values[near + 4]) / np.sqrt(6)  # weights 1, -2, 1
        known = within[np.isfinite(within)]
        typical = np.sqrt((known**2).sum() / max(known.size, 1)) + 4 * eps * largest
        visible = np.sqrt(eps) * np.abs(cells[np.isfinite(cells)]).max(initial=0)
        kinks = np.isfinite(values).all(axis=0) & (high - low > np.maximum(STEP * (within + typical), visible))
        levels = 1 + (np.diff(np.sort(cells, axis=0), axis=0) > STEP * (within + typical)).sum(axis=0)
        own = eps / 2 * np.maximum(-low, high)
        noise = few_draws(len(near)) * np.median(np.abs(noise), axis=0) / NORMAL_MEDIAN
        known = noise[np.isfinite(noise)]  # few values of each entry: those of its block have a say
        floor = np.sqrt(noise**2 + within**2 + (known**2).sum() / max(known.size, 1) + own**2)
    return Sides(low, high, np.asarray(kinks), np.asarray(floor), np.asarray(levels))


def without_steps(floors: Floors, sides: Mapping[Key, Sides], drawn: Floors) -> Floors:
    """The floors; where they hold steps of a loss with kinks, which are no noise, the noise beside the point.

    At a kink draws fall to both sides. Along a line a network with many kinks passes some between any two points: where
    that makes an entry's floor visibly wide, it is taken from the points beside, which are nearer, and ``drawn``.

    Args:
        floors: of the backend's answers.
        sides: what it gave beside the point.
        drawn: the floors from draws alone.
    """
    found = dict(floors)
    for key in floors.keys() & sides.keys():
        side, floor = sides[key], floors[key]
        if side.kinks.shape == floor.shape:
            near = np.hypot(side.floor, drawn[key])
            largest = np.maximum(-side.low, side.high)
            wide = np.isfinite(near) & (floor > WIDE * largest.max(initial=0)) & (floor > STEP * near)
            found[key] = np.asarray(np.where(side.kinks, side.floor, np.where(wide, near, floor)), np.longdouble)
    return found
