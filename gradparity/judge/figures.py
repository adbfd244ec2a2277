"""The figures that every judgement states: errors in floors, the place of an entry, numbers that are finite. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradparity.numerics.extended import Extended

#: A floor this many times that of the lower half of the backends is not believed beyond it. Long sums in another order
#: make up a factor of 1e3 (the root of 1e6 terms); what passes through float32 has a floor 2^29 times that of float64.
LOWER_PRECISION = 2.0**12


def in_floors(error: Any, floor: Any) -> Extended:
    """Each error over its floor; no error is zero floors, whatever the floor."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(error == 0, 0, error / floor), np.longdouble)


def root_mean_square(values: Extended) -> Any:
    """Of all entries; 0 without any."""
    return np.sqrt(np.mean(values * values)) if values.size else np.longdouble(0)


def index_of(flat: np.integer[Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of an entry that is counted through the whole array, as ``np.argmax`` does."""
    return tuple(int(i) for i in np.unravel_index(int(flat), shape))


def finite(value: Any) -> float | None:
    """A number of a result: ``None`` where it is not finite."""
    number = float(value)
    return number if math.isfinite(number) else None
