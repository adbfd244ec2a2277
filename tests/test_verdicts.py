"""Verdicts on blocks whose truth and floor are written down by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.judge.verdicts import AGREES_FLOORS, judge_block, judge_values
from gradparity.results import worst
from gradparity.truth import reference as truths
from gradparity.truth.reference import Reference, largest

TRUTH = np.array([1.0, -2.0, 4.0], np.longdouble)
FLOOR = np.full(3, 1e-15, np.longdouble)


def block(got: Any, truth: Any = TRUTH, floor: Any = FLOOR, dtype: str = "float64") -> Any:
    return judge_block("jax", "gradient", "w", got, np.asarray(truth), np.asarray(floor), dtype)


def test_the_exact_truth_agrees_with_no_error() -> None:
    found = block(np.array([1.0, -2.0, 4.0]))
    assert found.verdict == "agrees"
    assert found.error_ulps == 0
    assert found.floors == 0


def test_an_error_is_stated_in_ulps_of_the_entry_furthest_beyond_its_floor() -> None:
    found = block(np.array([1.0, -2.0, 4.0 + 3 * 2**-50]))
    assert found.worst_index == (2,)
    assert found.error_ulps == 3  # an ulp of 4 is 2^-50
    assert found.floor_ulps == pytest.approx(1e-15 * 2**50)
    assert found.floors == pytest.approx(3 * 2**-50 / 1e-15)
    assert found.relative_error == pytest.approx(3 * 2**-50 / 4)


@pytest.mark.parametrize(("floors", "verdict"), [(0.9, "agrees"), (1.1, "wrong")])
def test_the_multiple_of_the_floor_decides(floors: float, verdict: str) -> None:
    error = floors * AGREES_FLOORS * 1e-10
    assert block(np.array([1.0 + error, -2.0, 4.0]), floor=np.full(3, 1e-10, np.longdouble)).verdict == verdict


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_never_passes(bad: float) -> None:
    found = block(np.array([1.0, bad, 4.0]), floor=np.full(3, 1e300, np.longdouble))
    assert found.verdict == "nonfinite"
    assert found.worst_index == (1,)


def test_a_zero_gradient_does_not_pass_for_a_truth_above_its_floor_however_small() -> None:
    truth = np.full(3, 3e-300, np.longdouble)
    found = block(np.zeros(3), truth=truth, floor=truth / 2)
    assert found.verdict == "wrong"
    assert found.rule == "zero where the truth is not"


def test_a_proven_zero_agrees_with_zero_only() -> None:
    zero = np.zeros(3, np.longdouble)
    assert block(np.zeros(3), truth=zero, floor=zero).verdict == "agrees"
    assert block(np.array([0.0, 5e-324, 0.0]), truth=zero, floor=zero).verdict == "wrong"


def test_the_worst_finding_is_a_bad_verdict_before_a_large_figure() -> None:
    agrees, bad = block(np.array([1.0, -2.0, 4.0 + 2**-50])), block(np.array([1.0, np.nan, 4.0]))
    assert worst([agrees, bad]) is bad
    assert worst([block(np.array([1.0, -2.0, 4.0])), agrees]) is agrees


def test_the_size_of_a_block_is_taken_once_however_many_blocks_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block is held to the largest of all: to go through all for each takes ten times what judging does."""
    taken: list[int] = []
    monkeypatch.setattr(truths, "largest", lambda values: taken.append(1) or largest(values))
    truth = {("gradient", str(i)): np.full(3, np.longdouble(i)) for i in range(20)}
    reference = Reference(truth, {key: np.full(3, np.longdouble(1e-15)) for key in truth}, "by hand")
    for name in ("jax", "torch"):
        values = {"gradient": {str(i): np.full(3, float(i)) for i in range(20)}}
        found = judge_values(name, values, reference, "float64")
        assert {each.verdict for each in found} == {"agrees"}
    assert len(taken) == len(truth)


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_the_largest_number_is_none_that_float64_does_not_have(dtype: type) -> None:
    assert largest(np.array([1.0, -3.0, np.nan, np.inf, -np.inf], dtype)) == 3
    assert largest(np.array([np.nan], dtype)) == 0
    assert largest(np.array([], dtype)) == 0
    assert largest(np.array([[1.0, -2.5]], dtype)) == 2.5
    assert largest(np.array([np.longdouble(2) ** 2000, 7.0])) == 7
