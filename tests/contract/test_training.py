"""Training is part of the contract: correct backends agree with every optimiser, and wrong gradients never do."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from gradparity.backends.protocol import Backend
from gradparity.judge.training import GRADIENT_WRONG, judge_training
from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.numerics.optimisers import OPTIMISERS, optimiser
from gradparity.results import Training
from gradparity.truth.logistic.path import trajectory
from gradparity.truth.trajectory import Trajectory
from gradparity.worker.evaluation import train
from tests.mutants.harness import Scaled

STEPS = 40


@cache
def real(name: str, dtype: Any) -> Problem:
    data = load(name, standardise=name != "toy")
    spec = ProjectedLogistic(features=data.features, projection=5, reduction="mean", dtype=dtype)
    return make_problem(name, spec, data.X, data.y)


@cache
def known(name: str, dtype: str, which: str) -> Trajectory:
    return trajectory(real(name, dtype), optimiser(which, learning_rate=0.1, momentum=0.9), STEPS)


def trained(backend: Backend, program: Any, name: str, dtype: str, which: str) -> Training:
    """A run of a program, judged; the name of the backend does not matter here."""
    problem, truth = real(name, dtype), known(name, dtype, which)
    ran = train(backend, program, problem, truth.optimiser, STEPS)
    return judge_training("backend", ran, truth, problem, 0.0)


@pytest.mark.parametrize("which", OPTIMISERS)
@pytest.mark.parametrize(
    ("data", "dtype"),
    [("toy", "float64"), ("iris", "float64"), ("breast_cancer", "float64"), ("breast_cancer", "float32")],
)
def test_every_step_of_every_optimiser_agrees(backend: Backend, data: str, dtype: str, which: str) -> None:
    found = trained(backend, backend.program(backend.loss(real(data, dtype).spec)), data, dtype, which)
    assert found.verdict == "agrees", (found.reason, found.detail)
    assert found.first_divergence is None
    assert found.checked_steps >= 10
    assert found.floors is not None
    assert found.floors < 16  # right frameworks were seen from 0.8 to 4


@pytest.mark.parametrize("which", OPTIMISERS)
def test_a_gradient_off_by_one_part_in_a_billion_is_found_and_named(backend: Backend, which: str) -> None:
    program = Scaled(backend.program(backend.loss(real("breast_cancer", "float64").spec)), 1 + 1e-9)
    found = trained(backend, program, "breast_cancer", "float64", which)
    assert (found.verdict, found.reason) == ("wrong", GRADIENT_WRONG)
    assert "at step 0, gradient" in found.detail
    assert "1e-09" in found.detail
    if which in ("gd", "momentum"):  # the other two divide a common factor of the gradient out again
        assert found.first_divergence == 1
