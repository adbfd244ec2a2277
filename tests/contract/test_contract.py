"""The contract of a backend, written once and run over the registry."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from gradparity.backends.protocol import Backend
from gradparity.judge.training import judge_training, own_loop
from gradparity.judge.verdicts import judge
from gradparity.model_spec.problem import Problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.numerics.optimisers import GradientDescent, Path
from gradparity.results import Finding
from gradparity.truth.logistic.path import trajectory
from gradparity.truth.logistic.truth import reference
from gradparity.worker.evaluation import descend, evaluate
from tests.conftest import CORE
from tests.contract.problems import KNOWN_LOSSES, drawn, known

FORMULATIONS = ("as_written", "reassociated", "blocked")
#: Bytes of a block in tests that need several: those of a real one would take seconds to certify.
SMALL_BLOCK = 2**19


def findings(name: str, backend: Backend, problem: Problem) -> list[Finding]:
    """The verdicts on one backend, as a run would give them."""
    loss = backend.loss(problem.spec)
    evaluation = evaluate(backend, loss, backend.program(loss), problem)
    assert evaluation.impurity == ""
    return judge(name, evaluation.quantities, reference(problem), problem)


def disagreements(name: str, backend: Backend, problem: Problem) -> list[Finding]:
    """The findings that are not an agreement; none is what a correct backend has."""
    return [finding for finding in findings(name, backend, problem) if finding.verdict != "agrees"]


def descent(backend: Backend, problem: Problem, steps: int, rate: float) -> Path:
    """Gradient descent in the backend's own loop, on the host."""
    program = backend.program(backend.loss(problem.spec))
    ran = descend(backend, program, problem, steps, rate)
    return own_loop(ran.losses, problem.spec.pack(ran.params))


@pytest.mark.parametrize("index", range(len(KNOWN_LOSSES)), ids=[row[0] for row in KNOWN_LOSSES])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_descent_reaches_the_published_loss(name: str, backend: Backend, index: int, formulation: str) -> None:
    problem = known(index, formulation=formulation)
    ran = descent(backend, problem, 100, 0.01)
    truth = trajectory(problem, GradientDescent(0.01), 100)
    expected, floor = truth.path.losses, truth.loss_floor
    _, _, _, first, last = KNOWN_LOSSES[index]
    # The reference itself is held to the published digits, then the backend to its noise floor around them.
    assert abs(expected[0] - np.longdouble(first)) <= floor[0]
    assert abs(expected[-1] - np.longdouble(last)) <= floor[-1]
    assert ran.losses.shape == (101,)
    assert judge_training(name, ran, truth, problem, 0.0).verdict == "agrees"


@pytest.mark.slow
@pytest.mark.parametrize("formulation", ["as_written", pytest.param("blocked", marks=pytest.mark.variation)])
def test_torch_compile_agrees_and_reaches_the_published_loss(
    backend_of: Callable[[str], Backend], formulation: str
) -> None:
    backend, problem = backend_of("torch-compile"), known(2, formulation=formulation)
    assert disagreements("torch-compile", backend, problem) == []
    ran, truth = descent(backend, problem, 100, 0.01), trajectory(problem, GradientDescent(0.01), 100)
    assert judge_training("torch-compile", ran, truth, problem, 0.0).verdict == "agrees"


OPTIONS = [
    {"formulation": formulation, "reduction": reduction, "l2": l2, "logit_scale": scale}
    for (formulation, (reduction, l2, scale)) in product(
        FORMULATIONS, (("sum", 0.0, 1.0), ("mean", 0.0, 2.0), ("sum", 0.25, -1.5))
    )
]


def cases() -> list[Any]:
    """Every option in either precision, with a projection and without.

    Of JAX's, which take a second each, the half in which any three of options, precision and projection come together.
    """
    found = []
    choices = product(CORE, (4, None), ("float64", "float32"), enumerate(OPTIONS))
    for name, projection, dtype, (index, options) in choices:
        second = (index + (dtype == "float32") + (projection is None)) % 2 == 1
        if name == "jax" and second:
            continue
        label = "-".join(map(str, (name, projection, dtype, *options.values())))
        found.append(pytest.param(name, projection, dtype, options, id=label))
    return found


@pytest.mark.parametrize(("name", "projection", "dtype", "options"), cases())
def test_every_quantity_agrees(
    name: str, backend: Backend, options: dict[str, Any], dtype: Any, projection: int | None
) -> None:
    shared = {"features": 7, "dtype": dtype, **options}
    spec = ProjectedLogistic(**shared, projection=projection) if projection else Logistic(**shared)
    assert disagreements(name, backend, drawn(spec, 40, seed=1)) == []


def several_blocks() -> Problem:
    spec = ProjectedLogistic(
        features=900, projection=3, formulation="blocked", l2=0.1, reduction="mean", block_bytes=SMALL_BLOCK
    )
    assert spec.block_rows > 0
    return drawn(spec, 2 * spec.block_rows + 5, seed=2, scale=1e-3)


def test_several_blocks_and_a_rest_agree(name: str, backend: Backend) -> None:
    assert disagreements(name, backend, several_blocks()) == []


@pytest.mark.slow
@pytest.mark.variation
def test_torch_compile_traces_several_blocks_and_a_rest_and_agrees(backend_of: Callable[[str], Backend]) -> None:
    backend, problem = backend_of("torch-compile"), several_blocks()
    most = problem.spec.block_rows
    assert all(problem.rows % size for size in range(most // 2 + 1, most + 1))  # a rest there is
    assert disagreements("torch-compile", backend, problem) == []
    truth = trajectory(problem, GradientDescent(0.1), 20)
    ran = descent(backend, problem, 20, 0.1)
    assert judge_training("torch-compile", ran, truth, problem, 0.0).verdict == "agrees"


@pytest.mark.slow
def test_torch_compile_compiles_the_loss_of_many_blocks_once_and_not_block_by_block(
    backend_of: Callable[[str], Backend],
) -> None:
    backend = backend_of("torch-compile")
    spec = ProjectedLogistic(features=5000, projection=2, formulation="blocked", block_bytes=SMALL_BLOCK)
    problem = drawn(spec, 60 * spec.block_rows, seed=5, scale=1e-3)
    import torch

    traced: list[int] = []

    def counting(graph: Any, inputs: Any) -> Any:
        traced.append(len(graph.graph.nodes))
        return graph.forward

    program = backend.program(backend.loss(spec))
    params, data = backend.put(problem.params), backend.put(problem.data)
    for function in ("value", "value_and_gradient"):
        torch.compile(getattr(program, function).__wrapped__, backend=counting, fullgraph=True, dynamic=False)(
            params, data
        )
    assert len(traced) == 2
    assert max(traced) < 60  # fewer nodes than there are blocks


@pytest.mark.slow
def test_torch_compile_descends_any_number_of_steps_without_compiling_again(
    backend_of: Callable[[str], Backend],
) -> None:
    backend, problem = backend_of("torch-compile"), known(2)
    from torch._dynamo.utils import counters

    program = backend.program(backend.loss(problem.spec))
    params, data = backend.put(problem.params), backend.put(problem.data)
    program.descend(params, data, 3, 0.01)
    compiled = counters["stats"]["unique_graphs"]
    expected = trajectory(problem, GradientDescent(0.01), 300).path.losses
    for steps in (1, 128, 129, 300):
        losses, _ = program.descend(params, data, steps, 0.01)
        assert backend.get({"": losses})[""] == pytest.approx(expected[:steps].astype(float), rel=1e-13)
    assert counters["stats"]["unique_graphs"] == compiled


@pytest.mark.parametrize("logit", [0.0, 1e-300, 40.0, -40.0, 800.0, -800.0])
def test_extreme_logits_are_exact_under_stable_numerics(name: str, backend: Backend, logit: float) -> None:
    spec = Logistic(features=1)
    problem = drawn(spec, 2, seed=0)
    problem.data["X"][:] = [[1.0], [1.0]]
    problem.data["y"][:] = [1.0, 0.0]
    problem.params["w"][:] = logit
    assert disagreements(name, backend, problem) == []


def test_naive_numerics_overflow_and_are_not_passed(name: str, backend: Backend) -> None:
    spec = Logistic(features=1, numerics="naive")
    problem = drawn(spec, 1, seed=0)
    problem.data["X"][:], problem.data["y"][:], problem.params["w"][:] = 1.0, 0.0, 800.0
    with np.errstate(all="ignore"):
        found = {(f.quantity, f.parameter): f.verdict for f in findings(name, backend, problem)}
    assert found["loss", ""] == "nonfinite"


def test_the_answer_keeps_the_dtype_and_the_shapes(name: str, backend: Backend) -> None:
    for dtype in ("float64", "float32"):
        problem = drawn(ProjectedLogistic(features=3, projection=2, dtype=dtype), 5, seed=3)  # type: ignore[arg-type]
        program = backend.program(backend.loss(problem.spec))
        params, data = backend.put(problem.params), backend.put(problem.data)
        tangents, shapes = backend.put(problem.tangents), problem.spec.shapes
        value, gradient = program.value_and_gradient(params, data)
        losses, final = program.descend(params, data, 3, 0.1)
        answers: list[tuple[Any, dict[str, Any]]] = [
            ({"": program.value(params, data)}, {"": ()}),
            ({"": value, **gradient}, {"": (), **shapes}),
            ({"": program.jvp(params, data, tangents)}, {"": ()}),
            (program.hvp(params, data, tangents), shapes),
            ({"": losses, **final}, {"": (3,), **shapes}),
        ]
        for answer, expected in answers:
            host = backend.get(answer)
            assert {key: array.dtype for key, array in host.items()} == dict.fromkeys(expected, np.dtype(dtype))
            assert {key: array.shape for key, array in host.items()} == expected


NARROWED = """
import numpy as np
from gradparity.backends.jax_backend import backend
try:
    backend.put({"w": np.ones(3)})
except TypeError as error:
    print(error)
"""


def test_jax_refuses_float64_where_it_would_compute_in_float32() -> None:
    pytest.importorskip("jax")
    environment = {**os.environ, "JAX_ENABLE_X64": "0"}
    ran = subprocess.run([sys.executable, "-c", NARROWED], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.strip() == "w: got float64, JAX made it float32; call configure() first"
