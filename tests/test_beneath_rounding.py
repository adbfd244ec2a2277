"""A wrong rule beneath one rounding of larger derivatives is wrong, and what rounds there is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity
from gradparity.judge.steady import Answered, beneath, with_steady
from gradparity.judge.verdicts import judge
from tests.truth.neutral_models import certified, problem_of
from tests.user_model.models import model_folder

#: ``k |big|^2 + sum(exp(small))``: a rounding of the gradient of ``big`` is as large as all of that of ``small``.
BIG = 1e16


def loss(p: Any, d: Any, xp: Any) -> Any:
    return d["k"] * xp.sum(p["big"] ** 2) + xp.sum(xp.exp(p["small"]))


def answered(dtype: str, factor: float = 1.0, rounding: float = 0.0) -> tuple[Answered, Any]:
    """The derivatives by hand, those of ``small`` times a factor, and off by so many roundings of those of ``big``."""
    params = {"big": np.array([1, 2], dtype), "small": np.array([0.25, -0.5, 0.75], dtype)}
    data, tangents = {"k": np.array(BIG, dtype)}, {"big": np.ones(2, dtype), "small": np.ones(3, dtype)}
    problem = problem_of(params, data, tangents)
    k, exp = np.asarray(data["k"]), np.exp(params["small"])
    off = np.asarray(rounding * np.finfo(dtype).eps / 2 * 4 * k, dtype)
    small = np.asarray(factor * exp + off, dtype)
    gradient = {"big": 2 * k * params["big"], "small": small}
    values = {
        "loss": {"": np.asarray(k * (params["big"] ** 2).sum() + exp.sum(), dtype)},
        "gradient": gradient,
        "jvp": {"": np.asarray(sum(g.sum() for g in gradient.values()), dtype)},
        "hvp": {"big": np.full(2, 2 * k, dtype), "small": small},
    }
    here = Answered.of(values, certified(loss, problem), problem)
    return here, judge("port", values, here.reference, problem)


def verdicts(dtype: str, **how: float) -> tuple[bool, dict[tuple[str, str], tuple[str, str]]]:
    (here, found), (there, _) = answered(dtype, **how), answered("float32" if dtype == "float64" else "float64", **how)
    told = with_steady(found, here, there)
    return beneath(found, here), {(f.quantity, f.parameter): (f.verdict, f.cause) for f in told}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("factor", [2.0, 1.03, -1.0])
def test_a_factor_is_seen_below_a_rounding_of_a_larger_block(dtype: str, factor: float) -> None:
    suspected, found = verdicts(dtype, factor=factor)
    assert suspected
    cause = {2.0: "factor 2", -1.0: "sign"}.get(factor, "")
    for block in (("gradient", "small"), ("hvp", "small")):
        assert found[block][0] == "wrong"
        assert cause in found[block][1]
    assert found["gradient", "big"] == found["loss", ""] == ("agrees", "")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_rounds_as_the_larger_block_does_agrees(dtype: str) -> None:
    suspected, found = verdicts(dtype, rounding=0.5)
    assert suspected
    assert {verdict for verdict, _ in found.values()} == {"agrees"}


def test_a_zero_that_saturation_leaves_and_the_truth_need_no_other_precision() -> None:
    for factor in (0.0, 1.0):
        suspected, found = verdicts("float64", factor=factor)
        assert not suspected
        assert {verdict for verdict, _ in found.values()} == {"agrees"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_of_several_right_answers_none_is_suspected(dtype: str) -> None:
    A = np.array([[4, 1], [1, 3]], dtype)
    params = {"A": A}
    problem = problem_of(params, {}, {"A": A})
    truth = certified(lambda p, d, xp: xp.sum(xp.log(xp.diag(xp.linalg.cholesky(p["A"])))), problem)
    true = truth.truth["gradient", "A"].astype(dtype)
    values = {name: {param: value.astype(dtype)} for (name, param), value in truth.truth.items()}
    values["gradient"] = {"A": (true + true.T) / 2}
    assert np.abs(values["gradient"]["A"] - true).max() > 0.04
    here = Answered.of(values, truth, problem)
    found = judge("port", values, truth, problem)
    assert {each.verdict for each in found if each.quantity == "gradient"} == {"agrees"}
    assert not beneath(found, here)


def test_training_by_such_a_gradient_is_no_rounding_that_adds_up(tmp_path: Path) -> None:
    text = """
import numpy as np

def parameters(rng):
    return {"big": np.array([1.0, 2.0]), "small": np.array([0.25, -0.5, 0.75])}

def data(rng):
    return {"k": np.array(1e16)}

def loss(params, data, xp):
    return data["k"] * xp.sum(params["big"] ** 2) + xp.sum(xp.exp(params["small"]))
"""
    port = """
import autograd.numpy as np

def loss(params, data):
    return data["k"] * np.sum(params["big"] ** 2) + 2 * np.sum(np.exp(params["small"]))
"""
    result = gradparity.check(model_folder(tmp_path / "m", text, autograd=port), backends=["autograd"], steps=3)
    (found,) = result.problems
    wrong = {(f.quantity, f.parameter): f.cause for f in found.findings if f.verdict == "wrong"}
    assert wrong == {("gradient", "small"): "factor 2", ("hvp", "small"): "factor 2"}
    assert {each.verdict for each in found.training} == {"wrong"}
    assert not any("right to rounding" in each.reason for each in found.training)
