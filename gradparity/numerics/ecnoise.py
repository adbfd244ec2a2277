"""The noise of a computed function: how far its values are from a smooth one's, from nothing but its values. Pure.

Reference: Moré and Wild, Estimating computational noise, SIAM J. Sci. Comput. 33, 2011, algorithm ECnoise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Function: TypeAlias = Callable[[float], float]

#: Values on either side of the point.
NOISE_POINTS = 5


def noise_around(function: Function, spacing: float) -> tuple[float, Floats, float]:
    """Value at 0, values around it, and the standard deviation of their noise.

    Level k estimates it by ``sqrt(k!^2 / (2k)! mean(d_k^2))`` from the k-th differences ``d_k``: what is smooth has
    gone from them, and noise has not. The first level is taken that its two successors confirm and whose differences
    change their sign; without one, the lowest of the upper levels. Reference: Moré and Wild, section 3.
    """
    values = np.array([function(k * spacing) for k in range(-NOISE_POINTS, NOISE_POINTS + 1)])
    centre = float(values[NOISE_POINTS])
    if not np.isfinite(values).all():
        return centre, values, math.nan
    size = float(np.abs(values).max())
    least = rounding_of(size)
    levels, mixed, differences = [], [], values / (size or 1.0)  # a square of what is scaled does not overflow
    for k in range(1, NOISE_POINTS + 3):
        differences = np.diff(differences)
        gamma = math.factorial(k) ** 2 / math.factorial(2 * k)
        levels.append(size * math.sqrt(gamma * float(np.mean(differences**2))))
        mixed.append(bool((differences > 0).any() and (differences < 0).any()))
    for k in range(len(levels) - 2):
        three = levels[k : k + 3]
        if max(three) <= 4 * min(three) and mixed[k]:
            return centre, values, max(levels[k], least)
    return centre, values, max(min(levels[2:]), least)


def rounding_of(size: float) -> float:
    """Deviation of one rounding of a number of that size: half an ulp, at worst."""
    return max(size * float(np.finfo(np.float64).eps) / 2, 5e-324)


def jumps(near: Floats) -> bool:
    """Whether the values to the left and to the right of the point are further apart than they are spread."""
    middle = len(near) // 2
    left, right = near[:middle], near[middle + 1 :]  # the point itself may belong to either side, or to none
    spread = max(np.ptp(left), np.ptp(right), 4 * rounding_of(float(np.abs(near).max())))
    return bool(abs(right.mean() - left.mean()) > 16 * spread)
