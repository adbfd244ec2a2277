"""The pytest-benchmark suite of the core gradient loop: ``pytest bench``.

It follows one backend over time (``--benchmark-save``, ``--benchmark-compare``) and asserts nothing about time: what is
asserted is that the last timed result is right and that one thread ran. The frameworks share this process, one thread
each; to compare them with one another use ``gradparity bench``, which gives each a process and a turn.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from gradparity.backends import BACKENDS, load, missing, place
from gradparity.benchmark.clock import Clock
from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.protocol import cpu_per_wall, warm_up
from gradparity.model_spec.data.datasets import load as load_data
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic

SIZES = [(4, 3, 3), (1000, 20, 10), (20_000, 50, 20)]
FORMULATIONS = ["as_written", "reassociated", "blocked"]

#: More CPU time than this per second of wall-clock time means that a second thread ran.
ONE_THREAD = 1.05


def problem_of(size: tuple[int, int, int], formulation: Any) -> Problem:
    rows, features, projection = size
    spec = ProjectedLogistic(features=features, projection=projection, formulation=formulation)
    data = load_data(f"synthetic:{rows}x{features}")
    return make_problem(data.name, spec, data.X, data.y)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("name", list(BACKENDS))
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_value_and_gradient(
    benchmark: BenchmarkFixture, size: tuple[int, int, int], name: str, formulation: str
) -> None:
    cure = missing(BACKENDS[name])
    if cure is not None:
        pytest.skip(f"{name} is not installed: {cure}")
    backend = load(BACKENDS[name].target)
    backend.configure(threads=1)
    problem = problem_of(size, formulation)
    program = backend.program(backend.loss(problem.spec))
    params, data = backend.put(problem.params), place(backend, program, problem.data)

    def call() -> Any:
        return backend.wait(program.value_and_gradient(params, data))

    clock = Clock()
    warmth = warm_up(call, clock, PROFILES["quick"])  # before pytest-benchmark calibrates: compilation is not a step
    assert cpu_per_wall(call, clock, seconds=0.5) <= ONE_THREAD
    benchmark.group = "x".join(map(str, size))
    benchmark.extra_info |= {"settled": warmth.converged, "versions": backend.versions()}
    value, gradient = benchmark(call)
    assert_is_the_gradient(problem, backend.get({"": value, **gradient}))
    if "torch._dynamo" in sys.modules:
        sys.modules["torch"].compiler.reset()  # the next size is a program of its own, not a recompilation


def assert_is_the_gradient(problem: Problem, got: dict[str, npt.NDArray[Any]]) -> None:
    """The result is within rounding of ``r = sigmoid(z) - y``, ``g = X^T r``, ``dw = W^T g``, ``dW = g w^T``.

    Two evaluations of an inner product of n terms differ by at most ``2 n u / (1 - n u)`` times the same with absolute
    values (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1); sigmoid has slope 1/4 at most.
    """
    X, y = problem.data["X"], problem.data["y"]
    w, W = problem.params["w"], problem.params["W"]
    terms = sum(X.shape) + len(w) + 8
    unit = np.finfo(X.dtype).eps / 2
    bound = 2 * terms * unit / (1 - terms * unit)
    z = X @ (W @ w)
    r = 1 / (1 + np.exp(-z)) - y
    size_of_z = np.abs(X) @ (np.abs(W) @ np.abs(w))
    g, size_of_g = X.T @ r, np.abs(X).T @ (np.abs(r) + size_of_z / 4)
    loss = np.logaddexp(0, (1 - 2 * y) * z).sum()
    assert abs(got[""] - loss) <= bound * (loss + size_of_z.sum())
    assert (np.abs(got["w"] - W.T @ g) <= bound * (np.abs(W).T @ size_of_g)).all()
    assert (np.abs(got["W"] - np.outer(g, w)) <= bound * np.outer(size_of_g, np.abs(w))).all()
