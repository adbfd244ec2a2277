"""A running variance that differs from another by n/(n - 1) is told so: PyTorch's batch norms beside plain averages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.judge.own_blame import blamed
from gradparity.judge.own_state import state_told
from gradparity.worker.step_messages import GradientsGiven, StepsTaken

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")

STEPS = 6


def taken(values: list[Any]) -> StepsTaken:
    steps, empty = [*range(1, len(values) + 1)], dict[str, Any]()
    return StepsTaken(np.zeros(len(values)), steps, empty, {"var": np.stack(values)}, np.zeros((1, 1)), empty, empty, 0)


def batches(shape: tuple[int, ...], dtype: str) -> list[Any]:
    rng = np.random.default_rng(3)
    return [(rng.standard_normal(shape) * 2 + 1).astype(dtype) for _ in range(STEPS)]


def biased(given: list[Any], axes: tuple[int, ...], momentum: float, start: float = 1.0, factor: float = 1.0) -> Any:
    """Plain averages of biased variances, times a factor."""
    values, known = [], np.full(given[0].shape[1], start, given[0].dtype)
    for batch in given:
        known = ((1 - momentum) * known + momentum * factor * batch.var(axis=axes)).astype(batch.dtype)
        values.append(known)
    return taken(values)


def of_torch(module: Any, given: list[Any]) -> StepsTaken:
    """PyTorch's, which averages the unbiased one."""
    values = []
    for batch in given:
        module(torch.from_numpy(batch))
        values.append(module.running_var.numpy().copy())
    return taken(values)


@pytest.mark.parametrize("momentum", [0.1, 0.01, 1.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_variance_without_its_bias_is_named_whatever_the_momentum(dtype: str, momentum: float):
    given = batches((16, 5), dtype)
    module = torch.nn.BatchNorm1d(5, momentum=momentum, dtype=getattr(torch, dtype))
    runs = of_torch(module, given), biased(given, (0,), momentum)
    said = "what torch averages into var is 16/15 of jax's: n/(n-1), the unbiased variance (n = 16, X.shape[0])"
    assert state_told("var", ("torch", "jax"), runs, {"X": given[0]}) == said
    assert state_told("var", ("jax", "torch"), runs[::-1], {"X": given[0]}) == said


def test_that_of_an_image_is_over_rows_and_pixels():
    given = batches((4, 5, 3, 2), "float64")
    runs = of_torch(torch.nn.BatchNorm2d(5, dtype=torch.float64), given), biased(given, (0, 2, 3), 0.1)
    assert "24/23 of jax's" in state_told("var", ("torch", "jax"), runs, {"X": given[0]})


@pytest.mark.parametrize(
    "other",
    [
        {"momentum": 0.2},
        {"momentum": 0.1, "start": 0.0},
        {"momentum": 0.1, "factor": 1.05},
        {"momentum": 0.1, "factor": 15 / 14},
        {"momentum": 0.1001, "factor": 16 / 15},
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_of_another_momentum_start_or_factor_nothing_is_said(other: dict[str, float], dtype: str):
    given = batches((16, 5), dtype)
    runs = biased(given, (0,), **other), biased(given, (0,), 0.1)
    assert state_told("var", ("torch", "jax"), runs, {"X": given[0]}) == ""


def test_where_state_alone_differs_the_update_of_the_parameters_is_not_to_blame():
    given = GradientsGiven(np.ones(1), {"w": np.ones((1, 3))}, np.full(1, 1e-16), {"w": np.full((1, 3), 1e-16)})
    assert blamed(given, given, "parameter w", "float64")[0] == "update"
    blame, said = blamed(given, given, "state var", "float64")
    assert blame == "state"
    assert said.startswith("what the step makes of its state is to blame: no parameter differs, and at the parameters")
