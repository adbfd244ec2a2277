"""Certified numbers as results: a ball, and what a report or a verdict asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from flint import arb

from gradparity.truth.numbers.balls import Coefficient, vanishes
from gradparity.truth.numbers.midrad import MidRad, balls, is_known, longdoubles

#: A result is tight whose relative width is 2^-GOAL_BITS or less.
GOAL_BITS = 70
#: Below half of the smallest subnormal double, 2^-1075, with room for sums: no float64 can differ from zero here.
TINY = arb(2) ** -1140

_LONG = np.finfo(np.longdouble)


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
    def is_zero(self) -> bool:
        """Proven to be exactly zero."""
        return bool(self.ball.is_zero())

    @property
    def is_finite(self) -> bool:
        """Proven to be a finite number."""
        return bool(self.ball.is_finite())

    @property
    def zero_within(self) -> int | None:
        """Largest k with ``|x| < 2^-k`` proven, where the ball contains zero without proving it; else None."""
        if self.is_zero or not self.is_finite or not self.ball.contains(0):
            return None
        mantissa, exponent = self.ball.abs_upper().man_exp()
        return -(int(exponent) + int(abs(int(mantissa))).bit_length())

    @property
    def is_tight(self) -> bool:
        """Proven zero, proven infinite, or of relative accuracy 2^-GOAL_BITS."""
        if not self.is_finite:
            return is_infinite(self.ball)
        return self.is_zero or int(self.ball.rel_accuracy_bits()) >= GOAL_BITS

    @property
    def is_settled(self) -> bool:
        """Tight, or too small for any float64 to differ from zero."""
        return self.is_tight or (self.is_finite and bool(self.ball.abs_upper() < TINY))

    def as_float(self) -> float:
        """Midpoint as float64, correctly rounded, subnormals included."""
        return float(self.mid)

    def as_longdouble(self) -> np.longdouble:
        """Midpoint as NumPy's longdouble, correctly rounded."""
        return to_longdouble(self.mid)

    def __repr__(self) -> str:
        """Midpoint and radius in decimal, only proven digits shown."""
        if is_infinite(self.ball):
            return f"Enclosure({'inf' if self.ball > 0 else '-inf'})"
        return f"Enclosure({self.ball.str(20)})"


@dataclass(frozen=True, eq=False)
class Enclosures:
    """An array of enclosures.

    Attributes:
        balls: object array of python-flint numbers, or whole arrays of enclosures (`midrad`).
    """

    balls: Coefficient

    @property
    def is_zero(self) -> npt.NDArray[np.bool_]:
        """Which elements are proven to be exactly zero."""
        return vanishes(self.balls)

    @property
    def is_settled(self) -> bool:
        """Whether every element is tight, proven zero, or too small for any float64 to differ from zero."""
        if isinstance(self.balls, MidRad):
            return bool((self.balls["radius"] <= 2.0**-GOAL_BITS * np.abs(self.balls["high"])).all())
        return all(Enclosure(ball).is_settled for ball in self.balls.ravel())

    @property
    def is_finite(self) -> npt.NDArray[np.bool_]:
        """Which elements are proven to be finite numbers."""
        if isinstance(self.balls, MidRad):
            return is_known(self.balls)
        return np.array([bool(ball.is_finite()) for ball in self.balls.ravel()], bool).reshape(self.balls.shape)

    def as_longdouble(self) -> npt.NDArray[np.longdouble]:
        """Midpoints as NumPy's longdouble, correctly rounded."""
        if isinstance(self.balls, MidRad):
            return longdoubles(self.balls)
        return self._each([ball.mid() for ball in self.balls.ravel()])

    def radii(self) -> npt.NDArray[np.longdouble]:
        """Radii, which are exact in extended precision unless below its range."""
        if isinstance(self.balls, MidRad):
            return np.asarray(self.balls["radius"], np.longdouble)
        return self._each([ball.rad() for ball in self.balls.ravel()])

    def __getitem__(self, index: Any) -> Any:
        part = self.balls[index]
        if isinstance(part, MidRad) and not part.ndim:
            part = balls(part).item()
        return Enclosures(part) if isinstance(part, np.ndarray) else Enclosure(part)

    def _each(self, exact: list[arb]) -> npt.NDArray[np.longdouble]:
        return np.array([to_longdouble(x) for x in exact], np.longdouble).reshape(self.balls.shape)


def is_infinite(ball: arb) -> bool:
    """Proven to be plus or minus infinity."""
    mid = ball.mid()
    return not mid.is_finite() and not mid.is_nan() and bool(ball.rad().is_finite())


def to_longdouble(x: arb) -> np.longdouble:
    """An exact ball as NumPy's longdouble, correctly rounded, ties to even, whatever its width on this platform."""
    if not x.is_finite():
        return np.longdouble(float(x))
    mantissa, last = (int(part) for part in x.man_exp())
    # The last bit of a number is nmant below its first, and no lower than that of the subnormal ones.
    drop = max(mantissa.bit_length() - int(_LONG.nmant) - 1, int(_LONG.minexp) - int(_LONG.nmant) - last)
    if drop > mantissa.bit_length() + 1:
        return np.longdouble(0)
    if drop > 0:
        half, rest = 1 << (drop - 1), mantissa & ((1 << drop) - 1)
        mantissa, last = mantissa >> drop, last + drop
        mantissa += rest > half or (rest == half and mantissa & 1)
    with np.errstate(over="ignore"):
        return np.longdouble(np.ldexp(np.longdouble(mantissa), min(last, int(_LONG.maxexp))))
