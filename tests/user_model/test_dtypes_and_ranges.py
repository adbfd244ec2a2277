"""Losses of another dtype than their parameters, of several, and of values beyond what a dtype holds."""

from __future__ import annotations

from pathlib import Path

import pytest

import gradparity
from gradparity.results import RunResult
from tests.user_model.models import HEAD, model_file, model_folder

FLOAT32 = """import numpy as np

def parameters(rng):
    return {"w": rng.standard_normal(3).astype(np.float32), "b": np.array(0.3, np.float32)}

def data(rng):
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in (("X", (6, 3)), ("y", 6))}
"""

MIXED = FLOAT32.replace("np.array(0.3, np.float32)", "np.array(0.3)")

NEUTRAL = """
def loss(params, data, xp):
    return xp.mean((data["X"] @ params["w"] + params["b"] - data["y"]) ** 2)
"""

AUTOGRAD = """
import autograd.numpy as np

def loss(params, data):
    return np.mean((np.dot(data["X"], params["w"]) + params["b"] - data["y"]) ** 2)
"""

JAX = """
import jax.numpy as jnp

def loss(params, data):
    return jnp.mean((data["X"] @ params["w"] + params["b"] - data["y"]) ** 2)
"""

TORCH = """
def loss(params, data):
    return ((data["X"] @ params["w"] + params["b"] - data["y"]) ** 2).mean()
"""

DOUBLE = """
def loss(params, data):
    w, b, X, y = (x.double() for x in (params["w"], params["b"], data["X"], data["y"]))
    return ((X @ w + b - y) ** 2).mean()
"""

HALF_WAY = TORCH.replace(".mean()", ".double().mean()")

NARROW = TORCH.replace(".mean()", ".mean().float()")


def checked(tmp_path: Path, head: str, **ports: str) -> RunResult:
    return gradparity.check(model_folder(tmp_path / "m", head, **ports), backends=list(ports), steps=3)


def others(neutral: str) -> dict[str, str]:
    """The ports that one is held against where there is no truth."""
    return {} if neutral else {"autograd": AUTOGRAD, "jax": JAX}


def said(result: RunResult) -> dict[str, str]:
    return {each.name: each.finding for each in result.problems[0].diagnoses}


@pytest.mark.parametrize(
    ("neutral", "port"),
    [(NEUTRAL, DOUBLE), pytest.param(NEUTRAL, HALF_WAY, marks=[pytest.mark.slow, pytest.mark.variation]), ("", DOUBLE)],
)
def test_a_loss_of_float64_from_parameters_of_float32_is_told_by_its_dtype(tmp_path: Path, port: str, neutral: str):
    result = checked(tmp_path, FLOAT32 + neutral, **others(neutral), torch=port)
    assert result.ok, result  # nearer to the truth than it has to be
    assert "dtype float64 of its loss" in said(result)["a wider dtype on torch"]
    assert "different function" not in repr(result)


@pytest.mark.parametrize("neutral", [NEUTRAL, pytest.param("", marks=[pytest.mark.slow, pytest.mark.variation])])
def test_a_loss_of_float32_from_parameters_of_float64_is_wrong_by_its_dtype(tmp_path: Path, neutral: str):
    result = checked(tmp_path, HEAD + neutral, **others(neutral), torch=NARROW)
    loss = {each.backend: each for each in result.problems[0].findings if each.quantity == "loss"}
    assert {name: each.verdict for name, each in loss.items()} == dict.fromkeys(others(neutral), "agrees") | {
        "torch": "wrong"
    }
    assert "dtype float32, expected float64: computed in another precision than asked for" in loss["torch"].rule
    assert loss["torch"].floors is None
    assert "different function" not in repr(result)


@pytest.mark.parametrize("neutral", [pytest.param(NEUTRAL, marks=[pytest.mark.slow, pytest.mark.variation]), ""])
def test_parameters_of_two_precisions_are_each_held_to_their_own(tmp_path: Path, neutral: str):
    result = checked(tmp_path, MIXED + neutral, autograd=AUTOGRAD, jax=JAX, torch=TORCH)
    assert result.ok, result
    assert not [name for name in said(result) if "dtype" in name]


@pytest.mark.slow
def test_without_a_truth_a_wrong_gradient_in_mixed_precision_is_still_wrong(tmp_path: Path):
    result = checked(tmp_path, MIXED, autograd=AUTOGRAD, jax=JAX, torch=TORCH.replace("** 2", "** 2 * 1.5"))
    bad = {each.backend for each in result.problems[0].findings if each.verdict != "agrees"}
    assert bad == {"torch"}


#: exp(1000 (2 + w^2)) is at least e^2000; 1e300 times a sum of squares is beyond float32 and within float64.
BEYOND = "\ndef loss(params, data, xp):\n    return xp.sum(xp.exp(1000 * (2 + params['w'] ** 2))) + params['b']\n"
LARGE = "\ndef loss(params, data, xp):\n    return 1e300 * xp.sum(params['w'] ** 2) + params['b']\n"


@pytest.mark.parametrize(("loss", "dtype"), [(BEYOND, "float64"), (LARGE, "float32")])
def test_a_value_beyond_the_range_of_the_dtype_is_unresolved(tmp_path: Path, loss: str, dtype: str):
    path = model_file(tmp_path, HEAD + loss)
    result = gradparity.check(path, backends=["autograd"], steps=3, dtype=dtype, optimiser=["gd", "lbfgs"])
    found = {(each.quantity, each.parameter): each for each in result.problems[0].findings}
    assert found["loss", ""].verdict == "unresolved"
    assert f"beyond the range of {dtype}" in found["loss", ""].rule
    assert found["gradient", "b"].verdict in {"agrees", "nonfinite"}  # b's gradient is 1
    assert not result.ok
    assert {(each.optimiser, each.verdict) for each in result.problems[0].training} == {
        ("gd", "unresolved"),
        ("lbfgs", "unresolved"),
    }


def test_within_the_range_of_the_dtype_it_agrees(tmp_path: Path):
    assert gradparity.check(model_file(tmp_path, HEAD + LARGE), backends=["autograd"], steps=3).ok


@pytest.mark.slow
@pytest.mark.parametrize("rate", [5.0, 1e10])
def test_training_that_overflows_where_the_reference_does_is_right(tmp_path: Path, rate: float):
    loss = (
        "\ndef loss(params, data, xp):\n    return xp.sum((data['X'] @ params['w'] - data['y']) ** 4) + params['b']\n"
    )
    path = model_file(tmp_path, HEAD + loss)
    optimisers = ["gd", "momentum", "adam"]
    result = gradparity.check(path, backends=["autograd"], steps=25, lr=rate, optimiser=optimisers)
    assert result.ok, result
    assert {(each.optimiser, each.verdict) for each in result.problems[0].training} == {
        (name, "agrees") for name in optimisers
    }
