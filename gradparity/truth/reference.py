"""The record that verdicts are measured against: true values, and the noise floors around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.numerics.extended import Blocks, Extended

#: Seconds that the truth of a problem may take before only a subsample of the rows is certified.
BUDGET_S = 5.0
#: Parameters from which on a truth is estimated before it is begun: the whole one of fewer takes a minute.
VERY_LARGE = 2**20
#: The quantity of a gradient that is known along random directions only: ``sum_i g_i v_i`` over all parameters.
PROJECTION = "gradient along directions"
#: What directions are multiples of: a single slice holds them (`gradparity.truth.numbers.slices`), for which products
#: take less time, and what is orthogonal to one by chance is so once in 40,000.
GRID = 2.0**-14
#: Numbers of a gradient that are multiplied with a direction at a time, in extended precision.
_AT_A_TIME = 2**20


class TruthError(RuntimeError):
    """Two independent derivations of the truth disagree: a defect of gradparity, to be reported."""


@dataclass(frozen=True)
class Together:
    """A direction within entries of the gradient at kinks, and the one-sided derivatives along it, smaller first."""

    move: Mapping[str, Extended]  #: by parameter, of its shape
    low: float
    high: float


@dataclass(frozen=True)
class Reference:
    """The true value of every block and its noise floor: how far roundings move each entry.

    An entry whose truth or floor is not a finite number is not known: no backend is right or wrong there.
    """

    truth: Blocks
    floor: Blocks
    method: str  #: what the truth is, in words for a report
    seconds: float = 0.0  #: what it all took
    directions: int = 0  #: directions in which the series engine confirmed the truth, in the time it had
    #: Entries that a kink of the loss leaves two values of: (quantity, path, index), and both, smaller first; of those
    #: that it leaves none, minus and plus infinity.
    kinks: Mapping[tuple[str, str, tuple[int, ...]], tuple[float, float]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()  #: parameters that the loss makes no use of
    #: Why entries of a block are not known, and what may be done about it: (quantity, path), and words for a report.
    unknown: Mapping[tuple[str, str], str] = field(default_factory=dict)
    #: What there was no time for: quantities, and why.
    untimely: Mapping[str, str] = field(default_factory=dict)
    #: What whole numbers wrap around in frameworks, and not in the truth, in words, and the loss that comes of it.
    wrapped: tuple[str, float] | None = None
    #: What holds entries at kinks together: between the sides of each is not enough where they share a tie.
    together: Sequence[Together] = ()

    @cached_property
    def sizes(self) -> dict[tuple[str, str], float]:
        """The largest magnitude in each block, as `largest` has it: of a large model it takes a while."""
        return {key: largest(value) for key, value in self.truth.items()}

    def only(self, *quantities: str) -> Reference:
        """The reference of some quantities."""
        kept = {*quantities, *((PROJECTION,) if "gradient" in quantities else ())}
        truth, floor = (
            {key: value for key, value in blocks.items() if key[0] in kept} for blocks in (self.truth, self.floor)
        )
        untimely = {quantity: why for quantity, why in self.untimely.items() if quantity in quantities}
        return replace(self, truth=truth, floor=floor, untimely=untimely)


def largest(values: Extended) -> float:
    """The largest magnitude of all numbers that float64 has; 0 of none."""
    most = np.finfo(np.float64).max
    size = np.abs(values)
    found = float(size.max(initial=0))
    return found if found <= most else float(size.max(initial=0, where=size <= most))


def direction(shapes: Mapping[str, tuple[int, ...]], seed: int, place: int) -> dict[str, npt.NDArray[np.float64]]:
    """The random direction of `PROJECTION` at this place: standard normal numbers to `GRID`, by parameter."""

    def drawn(i: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        normal = np.random.default_rng([seed, 11, place, i]).standard_normal(shape, np.float32)
        return np.asarray(np.rint(normal / GRID) * GRID, np.float64)

    return {path: drawn(i, shapes[path]) for i, path in enumerate(sorted(shapes))}


def along_directions(gradient: Mapping[str, npt.NDArray[Any]], seed: int, count: int) -> Extended:
    """``sum_i g_i v_i`` of a gradient for each of so many directions, added up in extended precision."""
    shapes = {path: np.shape(value) for path, value in gradient.items()}
    found = np.zeros(count, np.longdouble)
    for place in range(count):
        for path, v in direction(shapes, seed, place).items():
            g, v = gradient[path].ravel(), v.ravel()
            for start in range(0, g.size, _AT_A_TIME):
                part = slice(start, start + _AT_A_TIME)
                found[place] += (g[part].astype(np.longdouble) * v[part]).sum()
    return found
