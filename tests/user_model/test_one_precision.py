"""Losses that have one precision only: the run in the other is ours, and fails nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

import gradparity
from gradparity.results import RunResult
from tests.user_model.models import HEAD, LOSS, model_folder

#: ``(X w + b - y)^2`` with a constant of float64 where torch promotes nothing: matrix products of one dtype only.
TORCH = """
import torch

SCALE = torch.eye(3, dtype=torch.{dtype})

def loss(params, data):
    r = data["X"] @ (SCALE @ params["w"]) + params["b"] - data["y"]
    return {factor} * 0.5 * (r * r).mean()
"""

REFUSING = """
import autograd.numpy as np

def loss(params, data):
    assert data["X"].dtype == np.float64, "float64 only"
    r = np.dot(data["X"], params["w"]) + params["b"] - data["y"]
    return {factor} * 0.5 * np.mean(r * r)
"""

DYING = REFUSING.replace(
    'assert data["X"].dtype == np.float64, "float64 only"',
    """if data["X"].dtype != np.float64:
        import os
        os._exit(7)""",
)

JAX = """
import jax
import jax.numpy as jnp

def loss(params, data):
    X = jax.lax.add(data["X"], jnp.zeros((6, 3), jnp.float64))
    r = X @ params["w"] + params["b"] - data["y"]
    return {factor} * 0.5 * jnp.mean(r * r)
"""

PORTS = {
    "torch": ("torch", TORCH.replace("{dtype}", "float64")),
    "refuses": ("autograd", REFUSING),
    "dies": ("autograd", DYING),
    "jax": ("jax", JAX),
}


def checked(tmp_path: Path, backend: str, port: str, **options: str) -> RunResult:
    folder = model_folder(tmp_path / "m", HEAD + options.pop("loss", LOSS), **{backend: port})
    return gradparity.check(folder, backends=[backend], steps=3, **options)


@pytest.mark.slow
@pytest.mark.parametrize("which", PORTS)
def test_a_wrong_port_is_wrong_and_not_failed_and_what_the_other_run_would_have_told_is_open(
    tmp_path: Path, which: str
):
    backend, port = PORTS[which]
    result = checked(tmp_path, backend, port.replace("{factor}", "3"))
    assert not result.troubles
    own = [each for each in result.problems[0].findings if each.backend == backend]
    assert {each.verdict for each in own} == {"wrong"}
    assert {each.cause for each in own} == {"3 times the truth (3 is also X.shape[1])"}
    for each in own:
        assert "unstable or wrong is open, for want of a run in float32: " in each.rule
    assert {each.verdict for each in result.problems[0].training if each.backend == backend} == {"wrong"}


@pytest.mark.slow
@pytest.mark.parametrize("which", ["torch", "refuses"])
def test_a_right_port_agrees_in_the_precision_that_was_asked_for(tmp_path: Path, which: str):
    backend, port = PORTS[which]
    assert checked(tmp_path, backend, port.replace("{factor}", "1")).ok


@pytest.mark.slow
def test_a_port_of_float32_only_is_compared_with_others_where_no_truth_is_known(tmp_path: Path):
    port = TORCH.replace("{dtype}", "float32")
    plain = REFUSING.replace('    assert data["X"].dtype == np.float64, "float64 only"\n', "")
    folder = model_folder(tmp_path / "m", HEAD, torch=port.format(factor=1), autograd=plain.format(factor=1))
    result = gradparity.check(folder, backends=["autograd", "torch"], dtype="float32")
    assert result.ok, result
    assert {each.backend for each in result.problems[0].findings} == {"autograd", "torch"}


def test_an_unstable_formula_is_still_told_from_a_wrong_one(tmp_path: Path):
    unstable = REFUSING.replace('    assert data["X"].dtype == np.float64, "float64 only"\n', "").replace(
        "+ params", "+ 1e6 - 1e6 + params"
    )
    result = checked(tmp_path, "autograd", unstable.format(factor=1))
    assert {each.verdict for each in result.problems[0].findings} >= {"unstable"}


HALF_WAY = """
import autograd.numpy as np
from autograd.extend import defvjp, primitive

def refuses(x):
    assert x.dtype == np.float64, "float64 only"
    return 2 + 1e-3 * np.arange(3)

@primitive
def square(x):
    return x * x

@primitive
def slope(x):
    return 2 * x

defvjp(square, lambda ans, x: lambda g: g * slope(x))
defvjp(slope, lambda ans, x: lambda g: g * refuses(x))

def loss(params, data):
    r = np.dot(data["X"], square(params["w"])) + params["b"] - data["y"]
    return 0.5 * np.mean(r * r)
"""


def test_a_second_derivative_that_one_precision_has_is_judged_by_that_one(tmp_path: Path) -> None:
    # The worker was asked last in float32, without an HVP, when it was asked how its answers scatter: a KeyError.
    neutral = LOSS.replace('params["w"]', '(params["w"] * params["w"])')
    (problem,) = checked(tmp_path, "autograd", HALF_WAY, loss=neutral).problems
    found = {(f.quantity, f.parameter): (f.verdict, f.cause) for f in problem.findings}
    assert found["hvp", "w"] == ("wrong", "")
    assert {verdict for key, (verdict, _) in found.items() if key != ("hvp", "w")} == {"agrees"}
