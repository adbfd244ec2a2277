"""What else than a check a user's model goes through: bench, stress, and parameters of two precisions."""

from __future__ import annotations

from pathlib import Path

import pytest

import gradparity
from tests.user_model.models import GRADIENT, HEAD, LOSS, model_file

MIXED = """
import numpy as np

def parameters(rng):
    return {"layers": [{"W": rng.standard_normal((3, 2)).astype(np.float32), "b": rng.standard_normal(2)}]}

def data(rng):
    return {"X": rng.standard_normal((6, 3)), "kept": np.arange(6) % 2 == 0, "row": np.arange(6)}

def loss(params, data, xp):
    layer = params["layers"][0]
    z = data["X"][data["row"]] @ layer["W"] + layer["b"]
    return xp.mean(xp.tanh(z) ** 2 * data["kept"][:, None])
"""


@pytest.mark.slow
def test_a_bench_times_the_hand_written_gradient_beside_autodiff_and_leaves_complete_results(tmp_path: Path):
    path = model_file(tmp_path, HEAD + LOSS + GRADIENT)
    result = gradparity.bench(path, backends=["numpy", "autograd"], profile="brief", steps=50)
    assert result.ok, result
    (problem,) = result.problems
    timed = {timing.backend: timing for timing in problem.timings}
    assert set(timed) == {"numpy", "autograd"}
    for timing in timed.values():
        assert timing.loop is not None
        assert timing.step.step_ns.median > 0
    assert timed["autograd"].step.ratio is not None  # against numpy, in turns
    assert problem.recommendation is not None


def test_stress_draws_other_scales_and_the_other_precision(tmp_path: Path):
    result = gradparity.check(
        model_file(tmp_path, HEAD + LOSS), backends=["autograd"], stress=True, steps=2, out=tmp_path / "out"
    )
    assert result.ok, result
    dtypes = {dtype for problem in result.problems for _, _, dtype in problem.spec["parameters"]}
    assert dtypes == {"float64", "float32"}
    assert len(result.problems) >= 4


def test_nested_parameters_of_two_precisions_and_whole_and_truth_values_in_data(tmp_path: Path):
    result = gradparity.check(model_file(tmp_path, MIXED), backends=["autograd", "jax"], steps=2)
    assert result.ok, result
    blocks = {f.parameter for f in result.problems[0].findings if f.quantity == "gradient"}
    assert blocks == {"layers.0.W", "layers.0.b"}
