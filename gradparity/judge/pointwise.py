"""How far a number that a framework gave for a function, or for its derivative, is from the certified one.

The input of a function is a number of its dtype and exact, so that its conditioning excuses nothing: ``ulps`` and
``relative`` hold the answer to the true value at that very input. ``floors`` are the measure of a whole model's check,
and kinder: one floor is half an ulp of the result, and how far the true value moves when the input moves by half an
ulp. An answer of many ulps and few floors is the right one for an input that a rounding makes of this one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from flint import arb

from gradparity.judge.verdicts import AGREES_FLOORS

Status = Literal["right", "off", "zero", "flushed", "nonfinite", "overflow", "unjudged"]


@dataclass(frozen=True)
class Answer:
    """One number held to the truth.

    Attributes:
        truth: nearest float64 of the true value.
        got: what the framework gave.
        ulps: error in units in the last place of the truth, in the dtype; infinite where the answer is no number.
        relative: error over the size of the truth.
        felt: error over the larger of the truth's size and 1: what it does to a number of ordinary size that it is
            added to.
        floors: error over the noise floor.
        status: ``right``: no more than `AGREES_FLOORS`; ``off``; ``zero`` where the truth is not, at a size that the
            dtype has at full precision, and ``flushed`` where it is below that; ``nonfinite`` where the truth is finite
            and within the range of the dtype, and ``overflow`` where the truth is beyond that, and neither infinity nor
            the largest number was given; ``unjudged``: where there is no certified truth that is finite.
    """

    truth: float
    got: float
    ulps: float = math.nan
    relative: float = math.nan
    felt: float = math.nan
    floors: float = math.nan
    status: Status = "unjudged"


def held(got: np.floating[Any], truth: arb | None, move: arb) -> Answer:
    """One answer held to an enclosure.

    Args:
        got: the answer, in its dtype.
        truth: enclosure of the true value, far narrower than an ulp; None where nothing is known.
        move: how far the true value moves when the input moves by half an ulp.
    """
    number, limits = float(got), np.finfo(got.dtype)
    if truth is None or not truth.is_finite():
        return Answer(math.nan, number)
    nearest = float(truth.mid())
    spacing = _spacing(nearest, limits)
    largest = float(limits.max)
    # From half an ulp beyond the largest number on, that and infinity are the right answers.
    if bool(abs(truth) >= arb(largest) + arb(spacing) / 2):
        right = abs(number) in (math.inf, largest) and (number > 0) == bool(truth > 0)
        error = 0.0 if right else math.inf
        return Answer(nearest, number, error, error, error, error, "right" if right else "overflow")
    if not math.isfinite(number):
        return Answer(nearest, number, *(math.inf,) * 4, "nonfinite")
    distance = abs(arb(number) - truth).mid()
    size, floor = abs(nearest), move + arb(spacing) / 2  # in balls: half of the smallest number is none
    ulps = float((distance / spacing).mid())
    # Of a truth that is zero, or that rounds to it, an error has no relative size.
    relative = float((distance / abs(truth)).mid()) if size else math.inf if number else 0.0
    floors = float((distance / floor).mid())
    felt = float(distance) / max(1.0, size)
    return Answer(nearest, number, ulps, relative, felt, floors, _status(number, floors, size, limits))


def _status(number: float, floors: float, size: float, limits: Any) -> Status:
    if floors <= AGREES_FLOORS:
        return "right"
    if number:
        return "off"
    return "flushed" if size < float(limits.tiny) else "zero"


def _spacing(value: float, limits: Any) -> float:
    """Distance of neighbouring numbers of a dtype where a value is."""
    least, most = int(limits.minexp) - int(limits.nmant), int(limits.maxexp) - int(limits.nmant) - 1
    own = math.frexp(value)[1] - int(limits.nmant) - 1 if value and math.isfinite(value) else least
    return math.ldexp(1.0, most if math.isinf(value) else min(max(own, least), most))
