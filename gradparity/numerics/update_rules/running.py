"""Arrays with a running bound of their rounding errors, so that a rule's formula is written once.

Each operation adds one rounding of its result (two for roots and quotients, which vectorised libraries do not always
round correctly) to what its operands bring: first-order running error analysis. The functions below take plain arrays
too, and then compute without a bound.

Reference: Higham, Accuracy and stability of numerical algorithms, 2002, section 3.3.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.longdouble]


class Running:
    """``value`` in a wide precision, and by how much a dtype of unit roundoff ``unit`` may be off it.

    What underflows in that dtype is off by ``tiny`` at most.
    """

    __array_ufunc__ = None  # an array on the left leaves the operation to this class

    def __init__(self, value: Any, error: Any, unit: float, tiny: float) -> None:
        self.value = value if isinstance(value, np.ndarray | np.floating) else np.float64(value)
        self.error, self.unit, self.tiny = error, unit, tiny

    def _made(self, value: Any, error: Any, roundings: int = 1) -> Running:
        return Running(value, error + roundings * self.unit * np.abs(value) + self.tiny, self.unit, self.tiny)

    def _of(self, other: Any) -> Running:
        if isinstance(other, Running):
            return other
        return Running(other, self.unit * np.abs(other), self.unit, self.tiny)

    def __add__(self, other: Any) -> Running:
        other = self._of(other)
        return self._made(self.value + other.value, self.error + other.error)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Running:
        other = self._of(other)
        return self._made(self.value - other.value, self.error + other.error)

    def __rsub__(self, other: Any) -> Running:
        return self._of(other) - self

    def __mul__(self, other: Any) -> Running:
        other = self._of(other)
        error = np.abs(self.value) * other.error + np.abs(other.value) * self.error + self.error * other.error
        return self._made(self.value * other.value, error)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Running:
        other = self._of(other)
        with np.errstate(all="ignore"):
            quotient = self.value / other.value
            left = np.abs(other.value) - other.error
            error = (self.error + np.abs(quotient) * other.error) / left
            known = left > 0
            return self._made(np.where(np.isnan(quotient), 0, quotient), np.where(known, error, np.inf), 2)

    def __rtruediv__(self, other: Any) -> Running:
        return self._of(other) / self


def sqrt(x: Any) -> Any:
    """The root; of what is under 0 by rounding, 0."""
    if not isinstance(x, Running):
        return np.sqrt(np.maximum(x, 0))
    value = np.sqrt(np.maximum(x.value, 0))
    with np.errstate(all="ignore"):
        # sqrt(v + e) - sqrt(v) <= e / sqrt(v), and sqrt(e) wherever v is
        error = np.minimum(np.where(value > 0, x.error / value, np.inf), np.sqrt(x.error))
    return x._made(value, error, 2)


def maximum(x: Any, y: Any) -> Any:
    """The larger, entry by entry."""
    if not isinstance(x, Running):
        return np.maximum(x, y)
    other = x._of(y)
    return Running(np.maximum(x.value, other.value), np.maximum(x.error, other.error), x.unit, x.tiny)


def magnitude(x: Any) -> Any:
    """The absolute value."""
    return Running(np.abs(x.value), x.error, x.unit, x.tiny) if isinstance(x, Running) else np.abs(x)


def where(chosen: Any, x: Any, y: Any) -> Any:
    """``x`` where it is chosen, a plain condition, and ``y`` elsewhere."""
    if not isinstance(x, Running):
        return np.where(chosen, x, y)
    other = x._of(y)
    return Running(np.where(chosen, x.value, other.value), np.where(chosen, x.error, other.error), x.unit, x.tiny)


def clipped(x: Any, limit: Any) -> Any:
    """``x`` between ``-limit`` and ``limit``."""
    if not isinstance(x, Running):
        return np.clip(x, -limit, limit)
    other = x._of(limit)
    value = np.clip(x.value, -other.value, other.value)
    return Running(value, np.maximum(x.error, other.error), x.unit, x.tiny)


def sign(x: Any) -> Any:
    """The sign; off by up to 2 where rounding decides it."""
    if not isinstance(x, Running):
        return np.sign(x)
    value = np.sign(x.value)
    return Running(value, np.where(np.abs(x.value) <= x.error, 1 + np.abs(value), 0), x.unit, x.tiny)


def scaled(x: Any, factor: Any, roundings: float = 0, relative: Any = 0) -> Any:
    """``x`` times a plain ``factor`` that is itself off by so many roundings, and by so much, relative to it."""
    if not isinstance(x, Running):
        return x * factor
    value = x.value * factor
    return x._made(value, x.error * np.abs(factor) + np.abs(value) * (roundings * x.unit + relative))
