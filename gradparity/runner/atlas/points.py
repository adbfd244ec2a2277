"""Where a function is looked at first: at ordinary numbers, in both tails, near 0 and 1, and at the ends of a dtype."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.floating[Any]]

#: Of the argument that is held still, where there are two.
HELD = (0.0, 1.0, -1.0, 0.5, 2.0, -1.5, 3.0, 7.3, 30.0, 1e-3, 1e-9, 1e3)
_ROUND = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0)


def of_one(dtype: str) -> Points:
    """Some 170 numbers, each with a random last digit but for round ones; the same in every run."""
    limits, rng = np.finfo(dtype), np.random.default_rng(0)
    most = np.log10(float(limits.max))
    ends = [float(each) for each in (limits.max, np.sqrt(limits.max), limits.tiny, limits.smallest_subnormal)]
    positive = np.concatenate([
        _ROUND, ends, float(limits.tiny) * rng.uniform(size=2), 1 + np.array([-1, 1]) * float(limits.eps),
        10 ** rng.uniform(0.6, 3, 20), 10 ** rng.uniform(3, most, 5), 10 ** rng.uniform(-most, -3, 5),
        10 ** rng.uniform(-3, 0, 6), 1 - 10 ** -rng.uniform(1, -np.log10(limits.eps), 6),
    ])  # fmt: skip
    return np.unique(np.concatenate([[0.0], positive, -positive, rng.uniform(-4, 4, 40)]).astype(dtype))


def of_two(dtype: str) -> tuple[Points, Points]:
    """Numbers for the argument that moves, and beside them the one that is held, ties among them."""
    rng, found = np.random.default_rng(1), []
    for y in np.array(HELD, dtype):
        tails = np.array([1, 1, -1]) * 10 ** rng.uniform(0.6, 3, 3)
        small = np.array([1, -1]) * 10 ** rng.uniform(-20, -3, 2)
        xs = np.concatenate([[0.0, 1.0, -1.0, 2.0, y], rng.uniform(-4, 4, 5), tails, small])
        found += [(x, y) for x in np.unique(xs.astype(dtype))]
    x, y = np.array(found, dtype).T
    return x, y


def ordinals(x: Points) -> npt.NDArray[np.int64]:
    """The place of each number among those of its dtype, 0 at zero."""
    bits = x.view(f"int{8 * x.itemsize}").astype(np.int64)
    return np.where(bits >= 0, bits, np.iinfo(f"int{8 * x.itemsize}").min - bits)


def from_ordinals(places: npt.NDArray[np.int64], dtype: str) -> Points:
    """The numbers at these places."""
    kind = np.dtype(f"int{8 * np.dtype(dtype).itemsize}")
    return np.where(places >= 0, places, np.iinfo(kind).min - places).astype(kind).view(dtype)


def gaps(x: Points, y: Points) -> list[tuple[int, int]]:
    """Positions of neighbours with the same held number that have a number between them."""
    order, place = np.lexsort((x, y)), ordinals(x)
    return [
        (int(i), int(j))
        for i, j in pairwise(order)
        if (y[i] == y[j] or (np.isnan(y[i]) and np.isnan(y[j]))) and place[j] - place[i] > 1
    ]


def between(x: Points, i: int, j: int) -> np.floating[Any]:
    """The number half way between two, counted in numbers of their dtype."""
    place = ordinals(x[[i, j]])
    middle = place[:1] + (place[1:] - place[:1]) // 2
    found: np.floating[Any] = from_ordinals(middle, str(x.dtype))[0]
    return found
