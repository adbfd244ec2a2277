"""Evaluations and truth in, verdicts out. Pure: nothing is measured here, and nothing is tuned by hand.

An entry agrees if its error is at most ``AGREES_FLOORS`` noise floors, where the floor is how far the entry moves
when the inputs move by one rounding. The factor allows for the roundings of the evaluation itself; correct frameworks
were seen between 0.2 and 14 on shapes from 4x3x3 to 2000x20x10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.results import Finding, Verdict
from gradparity.truth.extended import Extended, Reference

AGREES_FLOORS = 32.0

Quantities = Mapping[str, Mapping[str, npt.NDArray[Any]]]


def judge(backend: str, quantities: Quantities, reference: Reference, dtype: str) -> list[Finding]:
    """A finding for every block of the reference, in its order."""
    return [
        judge_block(backend, quantity, parameter, quantities.get(quantity, {}).get(parameter), truth, floor, dtype)
        for (quantity, parameter), truth in reference.truth.blocks.items()
        for floor in (reference.floor.blocks[quantity, parameter],)
    ]


def judge_block(
    backend: str,
    quantity: str,
    parameter: str,
    got: npt.NDArray[Any] | None,
    truth: Extended,
    floor: Extended,
    dtype: str,
) -> Finding:
    """The finding on one block, decided by the entry furthest beyond its floor."""

    def finding(verdict: Verdict, rule: str, **figures: Any) -> Finding:
        return Finding(backend=backend, quantity=quantity, parameter=parameter, verdict=verdict, rule=rule, **figures)

    if got is None:
        return finding("wrong", "the block is missing from the answer")
    if got.shape != truth.shape:
        return finding("wrong", f"shape {got.shape}, expected {truth.shape}")
    if got.dtype != np.dtype(dtype):
        return finding("wrong", f"dtype {got.dtype}, expected {dtype}: computed in another precision than asked for")
    finite = np.isfinite(got)
    if not finite.all():
        where = _index(np.argmin(finite), got.shape)
        return finding(
            "nonfinite",
            f"{got[where]} where the truth is {float(truth[where]):.6g}",
            worst_index=where,
            truth=_number(truth[where]),
        )

    error = np.abs(got.astype(np.longdouble) - truth)
    with np.errstate(divide="ignore", invalid="ignore"):
        floors = np.where(error == 0, 0, error / floor)
    worst = _index(np.argmax(floors), got.shape)
    largest = np.abs(truth).max()
    ulp = np.spacing(np.abs(truth[worst]).astype(dtype)).astype(np.longdouble)
    figures = {
        "absolute_error": _number(error[worst]),
        "relative_error": _number(error.max() / largest) if largest > 0 else (0.0 if not error.any() else None),
        "error_ulps": _number(error[worst] / ulp),
        "floor_ulps": _number(floor[worst] / ulp),
        "floors": _number(floors[worst]),
        "worst_index": worst,
        "got": _number(got[worst]),
        "truth": _number(truth[worst]),
    }
    if not got.any() and _rms(truth) > _rms(floor):
        return finding("wrong", "zero where the truth is not", **figures)
    if floors[worst] <= AGREES_FLOORS:
        return finding("agrees", f"error of at most {AGREES_FLOORS:g} noise floors", **figures)
    return finding("wrong", f"error of more than {AGREES_FLOORS:g} noise floors", **figures)


def without_answer(backend: str, reference: Reference, verdict: Verdict, rule: str) -> list[Finding]:
    """The same verdict for every block: of a backend that gave no values to compare."""
    return [
        Finding(backend=backend, quantity=quantity, parameter=parameter, verdict=verdict, rule=rule)
        for quantity, parameter in reference.truth.blocks
    ]


def worst(findings: Sequence[Finding]) -> Finding:
    """The finding to show of several: a verdict that is not good first, then the most floors."""
    return max(findings, key=lambda f: (f.verdict != "agrees", f.floors if f.floors is not None else math.inf))


def _index(flat: np.integer[Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(flat), shape))


def _rms(values: Extended) -> Any:
    return np.sqrt(np.mean(values * values))


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
