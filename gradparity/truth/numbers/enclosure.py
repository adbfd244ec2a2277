"""Certified numbers as results: a ball, and what a report or a verdict asks of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import flint
import numpy as np
import numpy.typing as npt
from flint import arb

from gradparity.truth.numbers.balls import Coefficient, exact

Rounding = Literal["nearest", "down", "up"]

#: Below half of the smallest subnormal double, 2^-1075, with room for sums: no float64 can differ from zero here.
TINY = arb(2) ** -1140

_LONG = np.finfo(np.longdouble)
_LONG_BITS = int(_LONG.nmant) + 1
_LONG_LOWEST = int(_LONG.minexp) - int(_LONG.nmant)


@dataclass(frozen=True, eq=False)
class Enclosure:
    """A ball ``[mid - rad, mid + rad]`` that is proven to contain the true number.

    Attributes:
        ball: the python-flint number; its midpoint and radius are dyadic and exact.
    """

    ball: arb

    @property
    def mid(self) -> arb:
        """Midpoint, exact."""
        return self.ball.mid()

    @property
    def rad(self) -> arb:
        """Radius, exact."""
        return self.ball.rad()

    @property
    def is_zero(self) -> bool:
        """Proven to be exactly zero."""
        return bool(self.ball.is_zero())

    @property
    def is_finite(self) -> bool:
        """Proven to be a finite number."""
        return bool(self.ball.is_finite())

    @property
    def accuracy_bits(self) -> int:
        """Relative accuracy: the radius is about 2^-accuracy_bits of the midpoint. Negative where nothing is known."""
        return int(self.ball.rel_accuracy_bits())

    @property
    def zero_within(self) -> int | None:
        """Largest k with ``|x| < 2^-k`` proven, where the ball contains zero without proving it; else None."""
        if self.is_zero or not self.is_finite or not self.ball.contains(0):
            return None
        mantissa, exponent = self.ball.abs_upper().man_exp()
        return -(int(exponent) + int(abs(int(mantissa))).bit_length())

    def is_tight(self, goal_bits: int = 70) -> bool:
        """Proven zero, proven infinite, or of relative accuracy 2^-goal_bits."""
        if not self.is_finite:
            return is_infinite(self.ball)
        return self.is_zero or self.accuracy_bits >= goal_bits

    def is_settled(self, goal_bits: int = 70) -> bool:
        """Tight, or too small for any float64 to differ from zero."""
        return self.is_tight(goal_bits) or (self.is_finite and bool(self.ball.abs_upper() < TINY))

    def contains(self, x: float | np.longdouble) -> bool:
        """Whether this number lies in the ball."""
        return bool(self.ball.contains(exact(x).item()))

    def error_of(self, x: float | np.longdouble) -> tuple[float, float]:
        """Bounds of ``|x - true|``, absolute: (lower, upper), rounded outwards; (inf, inf) for a non-finite x."""
        return _error(self.ball, x)

    def as_float(self) -> float:
        """Midpoint as float64, correctly rounded, subnormals included."""
        return to_float(self.mid)

    def as_longdouble(self) -> np.longdouble:
        """Midpoint as NumPy's longdouble, correctly rounded."""
        return to_longdouble(self.mid)

    def digits(self, count: int = 20) -> str:
        """Midpoint and radius in decimal, only proven digits shown."""
        if is_infinite(self.ball):
            return "inf" if self.ball > 0 else "-inf"
        return str(self.ball.str(count))

    def __repr__(self) -> str:
        return f"Enclosure({self.digits()})"


@dataclass(frozen=True, eq=False)
class Enclosures:
    """An array of enclosures.

    Attributes:
        balls: object array of python-flint numbers.
    """

    balls: Coefficient

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.balls.shape

    @property
    def is_zero(self) -> npt.NDArray[np.bool_]:
        """Which elements are proven to be exactly zero."""
        return self._test([bool(ball.is_zero()) for ball in self.balls.ravel()])

    def is_settled(self, goal_bits: int = 70) -> bool:
        """Whether every element is tight, proven zero, or too small for any float64 to differ from zero."""
        return all(Enclosure(ball).is_settled(goal_bits) for ball in self.balls.ravel())

    def contains(self, x: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which of these numbers lie in their balls."""
        pairs = zip(self.balls.ravel(), exact(np.broadcast_to(np.asarray(x), self.shape)).ravel(), strict=True)
        return self._test([bool(ball.contains(value)) for ball, value in pairs])

    def error_of(self, x: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Bounds of ``|x - true|`` per element: (lower, upper), float64, rounded outwards."""
        values = np.broadcast_to(np.asarray(x), self.shape).ravel()
        bounds = [_error(ball, value) for ball, value in zip(self.balls.ravel(), values, strict=True)]
        table = np.array(bounds, dtype=np.float64).reshape((*self.shape, 2))
        return table[..., 0], table[..., 1]

    def as_float(self) -> npt.NDArray[np.float64]:
        """Midpoints as float64, correctly rounded."""
        return np.array([to_float(ball.mid()) for ball in self.balls.ravel()], dtype=np.float64).reshape(self.shape)

    def as_longdouble(self) -> npt.NDArray[np.longdouble]:
        """Midpoints as NumPy's longdouble, correctly rounded."""
        values = [to_longdouble(ball.mid()) for ball in self.balls.ravel()]
        return np.array(values, dtype=np.longdouble).reshape(self.shape)

    def radii(self) -> npt.NDArray[np.float64]:
        """Radii as float64, rounded up."""
        values = [to_float(ball.rad(), "up") for ball in self.balls.ravel()]
        return np.array(values, dtype=np.float64).reshape(self.shape)

    def __getitem__(self, index: Any) -> Any:
        part = self.balls[index]
        return Enclosures(part) if isinstance(part, np.ndarray) else Enclosure(part)

    def _test(self, flags: list[bool]) -> npt.NDArray[np.bool_]:
        return np.array(flags, dtype=bool).reshape(self.shape)


def is_infinite(ball: arb) -> bool:
    """Proven to be plus or minus infinity."""
    mid = ball.mid()
    return not mid.is_finite() and not mid.is_nan() and bool(ball.rad().is_finite())


def to_float(x: arb, mode: Rounding = "nearest") -> float:
    """An exact ball as float64: correctly rounded, ties to even; `mode` up and down are towards +-infinity."""
    if not x.is_finite():
        return float(x)
    sign, mantissa, exponent = _rounded(x, 53, -1074, mode)
    try:
        return sign * math.ldexp(mantissa, exponent)
    except OverflowError:
        beyond = mode == "nearest" or (mode == "up") == (sign > 0)
        return sign * (math.inf if beyond else float(np.finfo(np.float64).max))


def to_longdouble(x: arb) -> np.longdouble:
    """An exact ball as NumPy's longdouble, correctly rounded, whatever its width on this platform."""
    if not x.is_finite():
        return np.longdouble(float(x))
    sign, mantissa, exponent = _rounded(x, _LONG_BITS, _LONG_LOWEST, "nearest")
    if mantissa and mantissa.bit_length() + exponent > int(_LONG.maxexp):
        return np.longdouble(sign * math.inf)
    value = np.longdouble(0)
    for shift in range(96, -1, -32):
        value = value * np.longdouble(2.0**32) + np.longdouble((mantissa >> shift) & 0xFFFFFFFF)
    return np.longdouble(sign * np.ldexp(value, exponent))


def _rounded(x: arb, bits: int, lowest: int, mode: Rounding) -> tuple[int, int, int]:
    """(sign, mantissa, exponent) of x on the grid of `bits`-bit numbers whose last bit is at least 2^lowest."""
    signed, power = (int(part) for part in x.man_exp())
    sign, mantissa = (-1 if signed < 0 else 1), abs(signed)
    if not mantissa:
        return 1, 0, 0
    last = max(power + mantissa.bit_length() - bits, lowest)
    drop = last - power
    if drop <= 0:
        return sign, mantissa, power
    away = (mode == "up") == (sign > 0)
    if drop > mantissa.bit_length() + 1:
        return sign, int(mode != "nearest" and away), last
    kept, rest = mantissa >> drop, mantissa & ((1 << drop) - 1)
    half = 1 << (drop - 1)
    if mode == "nearest":
        kept += rest > half or (rest == half and kept & 1)
    elif rest and away:
        kept += 1
    return sign, kept, last


def _error(ball: arb, x: Any) -> tuple[float, float]:
    if not np.isfinite(x):
        return math.inf, math.inf
    value = exact(x).item()
    # Precision for an exact difference costs more than it gives: 64 bits beyond the ball's own are plenty.
    with flint.ctx.workprec(_enough_bits(ball.mid())):
        gap = ball - value
        return to_float(gap.abs_lower(), "down"), to_float(gap.abs_upper(), "up")


def _enough_bits(mid: arb) -> int:
    return max(192, int(mid.bits()) + 128)
