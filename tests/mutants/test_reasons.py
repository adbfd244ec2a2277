"""Reasons that are said of a wrong block only where they are true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from gradparity.judge.causes.block import WrongBlock
from gradparity.judge.causes.patterns import explain
from gradparity.truth.reference import Reference

TRUTH = np.random.default_rng(5).standard_normal(7)


def why(got: Any, *, at: Any = None, agrees: Mapping[tuple[str, str], bool] | None = None) -> str:
    key, truth = ("gradient", "b"), TRUTH.astype(np.longdouble)
    reference = Reference({key: truth}, {key: np.abs(truth) * 2.0**-53}, "drawn")
    return explain(WrongBlock(*key, np.asarray(got), reference, None, agrees or {}, 8.0, at=at))


@pytest.mark.parametrize("factor", ["2.000000002", "2.0000002", "0.5000001", "3.00000004", "-2.00000000001", "7.25001"])
def test_a_factor_is_said_with_all_the_digits_it_takes(factor: str) -> None:
    assert why(float(factor) * TRUTH) == f"factor {factor}"


@pytest.mark.parametrize("factor", ["2", "1/2", "-2"])
def test_a_factor_that_is_one_to_the_floor_is_named_as_before(factor: str) -> None:
    top, _, bottom = factor.partition("/")
    assert why(float(top) / float(bottom or 1) * TRUTH) == f"factor {factor}"


def test_a_factor_of_many_digits_is_its_first() -> None:
    assert why(np.exp(1.0) * TRUTH) == "factor 2.71828"
    assert why((3 + np.exp(1.0) * 1e-9) * TRUTH).startswith("factor 3.00000000")


#: The loss agrees, and so does another parameter's gradient: what is zero is a path that is cut, or not there.
RIGHT = {("loss", ""): True, ("gradient", "W"): True, ("gradient", "b"): False}


@pytest.mark.parametrize("at", [np.zeros(7), np.ones(7), np.full(7, 0.25), np.eye(3)[0], np.full(7, 0.1, np.float32)])
def test_a_zero_block_at_a_value_that_is_typed_may_be_of_a_parameter_that_is_not_used(at: Any) -> None:
    said = why(np.zeros(7), at=at, agrees=RIGHT)
    assert said.startswith("zero block: b is detached, or not used (its value here")


def test_a_zero_block_of_a_parameter_whose_value_is_not_known_may_not_be_used() -> None:
    assert why(np.zeros(7), agrees=RIGHT) == "zero block: b is detached, or not used"


def test_a_zero_block_at_a_drawn_value_with_the_right_loss_is_detached() -> None:
    drawn = np.random.default_rng(3).standard_normal(7)
    for at in (drawn, drawn.astype(np.float32)):
        assert why(np.zeros(7), at=at, agrees=RIGHT) == "zero block: the path to b is detached"
