"""Enclosures of whole arrays drawn at random, and what they are exactly, for tests against Arb."""

import numpy as np
from flint import arb

from gradparity.truth.numbers import doubled
from gradparity.truth.numbers.midrad import MidRad, assembled

BITS = 3000
EDGES = [0.0, -0.0, 1.0, -1.0, 5e-324, -1e-310, 1e-300, 3e-154, 1e154, -1e200, 1e308, 0.1, 1 / 3, 700.5, -30.25]


def numbers(seed: int, size: int = 60, scale: float = 1.0, radius: float = 0.0) -> MidRad:
    """Midpoints of both parts, of which a third is one float64 number, radii up to `radius` of them."""
    rng = np.random.default_rng(seed)
    high = rng.standard_normal(size) * scale
    low = np.where(rng.uniform(size=size) < 1 / 3, 0, high * rng.uniform(-1, 1, size) * 2.0**-54)
    high, low = doubled.two_sum(high, low)
    return assembled((high, low, np.abs(high) * radius * rng.uniform(0, 1, size)))


def exact(x: float) -> arb:
    return arb(float(x))


def corners(x: MidRad, place: int) -> list[arb]:
    """Ends and midpoint of one enclosure."""
    mid, radius = exact(x["high"][place]) + exact(x["low"][place]), exact(x["radius"][place])
    return [mid] if radius.is_zero() else [mid - radius, mid, mid + radius]
