"""Training is part of the contract: correct backends agree with every optimiser, and wrong gradients never do."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np
import pytest

from gradparity.backends.protocol import Backend, Program
from gradparity.judge.training import GRADIENT_WRONG, judge_training
from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.numerics.optimisers import OPTIMISERS, optimiser
from gradparity.results import Training
from gradparity.truth.logistic.path import trajectory
from gradparity.truth.trajectory import Trajectory
from gradparity.worker.evaluation import descend, evaluate, train
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


@pytest.mark.parametrize(
    ("losses", "shape", "said"),
    [
        (np.zeros(2), (3,), "losses of descend: got 2 for 3 steps"),
        (np.zeros(3, complex), (3,), "losses of descend: got an array of dtype complex128"),
        (np.zeros(3), (3, 1), r"parameter w: got shape \(3, 1\), expected shape \(3,\)"),
    ],
)
def test_what_a_loop_gives_that_is_no_run_is_its_failure(
    backend_of: Callable[[str], Backend], losses: Any, shape: Any, said: str
) -> None:
    data, backend = load("toy"), backend_of("numpy")
    problem = make_problem("toy", ProjectedLogistic(features=3, projection=3), data.X, data.y)

    class Faulty:
        value_and_gradient = staticmethod(backend.program(backend.loss(problem.spec)).value_and_gradient)

        def descend(self, params: Any, *_: Any) -> Any:
            return losses, {name: np.zeros(shape) if name == "w" else value for name, value in params.items()}

    with pytest.raises(InputError, match=said):
        descend(backend, cast("Program", Faulty()), problem, 3, 0.1)


@pytest.mark.parametrize("dtype", [np.longdouble, "U1", bool, complex])
def test_a_gradient_that_nobody_can_judge_is_refused_with_its_dtype(
    backend_of: Callable[[str], Backend], dtype: Any
) -> None:
    problem, backend = real("toy", "float64"), backend_of("numpy")
    program = backend.program(backend.loss(problem.spec))

    class Odd:
        value, jvp, hvp = program.value, program.jvp, program.hvp

        def value_and_gradient(self, params: Any, data: Any) -> Any:
            value, gradient = program.value_and_gradient(params, data)
            return value, {**gradient, "w": gradient["w"].astype(dtype)}

    with pytest.raises(InputError, match=r"^gradient w: got an array of dtype .*, expected float64, float32"):
        evaluate(backend, backend.loss(problem.spec), cast("Program", Odd()), problem)
