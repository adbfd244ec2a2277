"""Which backends agree with each other: distances in noise floors, and the majority among them. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.judge.figures import LOWER_PRECISION, finite, in_floors, root_mean_square
from gradparity.judge.verdicts import AGREES_FLOORS, judge_block
from gradparity.numerics.extended import Extended

Array: TypeAlias = npt.NDArray[Any]
Distances: TypeAlias = dict[tuple[str, str], float]
Key: TypeAlias = tuple[str, str]  #: quantity and parameter

#: A backend is far off that is so many times as far from others as they are from each other.
FAR = 2.0**10


def believed(floors: Mapping[str, Extended]) -> dict[str, Extended]:
    """Every backend's floor of one block, as far as it is believed.

    A backend that computes in a lower precision than it was asked to has a floor to match, and would be excused by it.
    """
    sizes = {name: root_mean_square(floor) for name, floor in floors.items()}
    usual = sorted(sizes.values())[(len(sizes) - 1) // 2] if sizes else 0.0
    most = LOWER_PRECISION * usual
    return {name: f * (most / sizes[name]) if usual and sizes[name] > most else f for name, f in floors.items()}


def distances(values: Mapping[str, Array], floors: Mapping[str, Extended], dtype: str) -> Distances:
    """The largest difference of two backends in any entry, over both their floors in quadrature; inf if incomparable.

    A block of another dtype than asked for, or with a number that is not finite, is comparable to none.
    """
    found: Distances = {}
    for a, b in combinations(values, 2):
        found[a, b] = found[b, a] = _distance(values[a], values[b], floors[a], floors[b], dtype)
    return found


def _distance(a: Array, b: Array, floor_a: Extended, floor_b: Extended, dtype: str) -> float:
    if a.shape != b.shape or not (a.dtype == b.dtype == np.dtype(dtype)):
        return math.inf
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.inf
    apart = np.abs(a.astype(np.longdouble) - b)
    return float(in_floors(apart, np.hypot(floor_a, floor_b)).max(initial=0))


def majority(names: Sequence[str], apart: Distances, most: float) -> list[str]:
    """Those that more than half of ``names`` agree with, mutually: at most ``most`` apart, in their order; or nobody.

    Agreement is not transitive: of several largest sets, what they have in common is taken, so that nobody is wrong who
    agrees with the middle. A single backend is its own majority.
    """
    for size in range(len(names), len(names) // 2, -1):
        sets = [
            set(some)
            for some in combinations(names, size)
            if all(apart[pair] <= most for pair in combinations(some, 2))
        ]
        if sets:
            common = set.intersection(*sets)
            return [name for name in names if name in common]
    return []


def nearest(names: Sequence[str], apart: Distances) -> list[str]:
    """More than half of ``names``, of which every two are `FAR` times closer than any of them is to any other."""
    for size in range(len(names) - 1, max(1, len(names) // 2), -1):
        for some in combinations(names, size):
            within = max(apart[pair] for pair in combinations(some, 2))
            beyond = min(apart[a, b] for a in some for b in names if b not in some)
            if beyond > FAR * within:
                return list(some)
    return []


class BlockAnswers:
    """One block of every backend that has it, with believed floors, distances, and who agrees."""

    def __init__(self, key: Key, values: Mapping[str, Array], floors: Mapping[str, Extended], dtype: str) -> None:
        self.key, self.values, self.dtype = key, dict(values), dtype
        self.floors = believed({name: floors[name] for name in values})
        self.apart = distances(self.values, self.floors, dtype)
        self.agreeing: list[str] = []
        self.near: list[str] = []

    def vote(self, voters: Sequence[str], shape: tuple[int, ...] | None = None, *, wide: Collection[str] = ()) -> None:
        """Settle who agrees, among voters whose block is not wrong by itself: its dtype, its numbers or its shape.

        Those with a floor as ``wide`` as their values agree with anything, and so with nobody.
        """
        usable = [name for name in voters if name in self.values and self._sound(self.values[name], shape)]
        clear = [name for name in usable if name not in wide]
        if len(clear) < min(2, len(usable)):
            clear = []  # one is left, and nobody to hold it against
        self.agreeing = majority(clear, self.apart, AGREES_FLOORS)
        self.near = [] if self.agreeing else nearest(usable, self.apart)

    def far_from(self, name: str) -> list[str]:
        """Those that are closer to each other by far than this backend is to any of them."""
        return self.near if self.near and name not in self.near else []

    def _sound(self, value: Array, shape: tuple[int, ...] | None) -> bool:
        fits = value.dtype == np.dtype(self.dtype) and (shape is None or value.shape == shape)
        return fits and bool(np.isfinite(value).all())

    @property
    def median(self) -> Extended:
        """Entry by entry, of those that agree."""
        stacked = np.stack([self.values[name].astype(np.longdouble) for name in self.agreeing])
        return np.asarray(np.median(stacked, axis=0), np.longdouble)

    def floor_for(self, name: str) -> Extended:
        """What an entry of a backend may be off from the median: both floors in quadrature."""
        shared = np.sqrt(np.mean([self.floors[n] ** 2 for n in self.agreeing], axis=0))
        own = self.floors.get(name)
        return np.asarray(np.hypot(shared, shared if own is None or own.shape != shared.shape else own))

    def off(self, name: str) -> bool:
        """Whether a backend is further than the floor from the median of a majority that it does not belong to."""
        if not self.agreeing or name in self.agreeing:
            return False
        value = self.values[name]
        finding = judge_block(name, *self.key, value, self.median, self.floor_for(name), self.dtype)
        return finding.verdict != "agrees"

    def matrix(self, names: Sequence[str]) -> list[list[float | None]]:
        """Distances of every two, None where they cannot be compared."""
        apart = {(name, name): 0.0 for name in self.values} | self.apart
        return [[finite(apart.get((a, b), math.inf)) for b in names] for a in names]
