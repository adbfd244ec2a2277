"""A wrong relu'(0), in each framework: held against the certified interval of one-sided derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.backends.protocol import Data, Params
from gradparity.judge.verdicts import judge_derivative
from gradparity.truth.derivatives.certificate import Certificate
from gradparity.truth.derivatives.series import certify
from tests.conftest import configured
from tests.mutants.frameworks import toolbox

X = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.25]])
W0 = np.zeros(2)


def certificate(direction: Any) -> Certificate:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.maximum(d["X"] @ p["w"], 0))

    return certify(loss, {"w": W0}, {"X": X}, {"w": np.asarray(direction)})


def derivative(name: str, at_zero: float, direction: Any) -> float:
    """``g.v`` of the sum of relu over rows at w = 0, where relu'(0) is said to be ``at_zero``."""
    if name == "numpy":
        return float(at_zero * (X @ direction).sum())
    backend, box = configured(name), toolbox(name)
    zero = 0.0 * backend.put({"": X[0]})[""][0]

    def slope(m: Any) -> Any:
        return box.xp.where(m > 0, zero + 1, box.xp.where(m == 0, zero + at_zero, zero))

    relu = box.primitive(lambda m: box.xp.where(m > 0, m, zero), slope)

    def loss(params: Params, data: Data) -> Any:
        return relu(data["X"] @ params["w"]).sum()

    gradient = backend.program(loss).value_and_gradient(backend.put({"w": W0}), backend.put({"X": X}))[1]
    return float(backend.get(gradient)["w"] @ direction)


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_any_slope_from_zero_to_one_is_a_derivative_of_relu_at_zero(name: str, at_zero: float) -> None:
    configured(name)
    for direction in ([1.0, 0.25], [1.0, -2.0]):
        got = derivative(name, at_zero, np.array(direction))
        found = judge_derivative(name, got, certificate(direction), 1e-16, "float64")
        assert (found.verdict, found.cause) == ("kink", "")
        assert "certified kink (maximum)" in found.rule


@pytest.mark.parametrize("at_zero", [-1.0, -1e-12, 1 + 1e-12, 1.5, 2.0, np.nan])
def test_a_slope_outside_zero_to_one_is_none(name: str, at_zero: float) -> None:
    configured(name)
    direction = np.array([1.0, 0.25])  # every row of X moves up: the one-sided derivatives are 0 and sum(X v)
    found = certificate(direction)
    assert found.is_kink
    assert (found.left.first.as_float(), found.right.first.as_float()) == (0.0, float((X @ direction).sum()))
    got = derivative(name, at_zero, direction)
    assert not found.between(got)
    judged = judge_derivative(name, got, found, 1e-16, "float64")
    expected = ("nonfinite", "") if np.isnan(at_zero) else ("wrong", "wrong branch at a kink")
    assert (judged.verdict, judged.cause) == expected


def test_off_the_kink_the_derivative_is_held_to_its_one_value() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.maximum(d["X"] @ p["w"], 0))

    away = certify(loss, {"w": np.array([1.0, 0.0])}, {"X": X}, {"w": np.array([1.0, 0.25])})
    truth = float((X @ np.array([1.0, 0.25])).sum())  # every row is positive there
    assert judge_derivative("jax", truth, away, 1e-16, "float64").verdict == "agrees"
    assert judge_derivative("jax", truth * (1 + 1e-12), away, 1e-16, "float64").verdict == "wrong"
