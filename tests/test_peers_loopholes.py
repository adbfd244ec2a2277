"""What other checkers let through, and we do not. Each test first shows that the other checker accepts it.

Each also shows that the same call refuses something, so that an acceptance is one, and not a check that never ran.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.backends.protocol import Backend, Data, Loss, Params
from gradparity.model_spec.problem import Problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.results import Finding
from gradparity.truth.logistic.truth import reference
from gradparity.truth.reference import Reference
from tests.conftest import configured
from tests.contract.problems import drawn
from tests.mutants.frameworks import toolbox
from tests.mutants.harness import Changed, findings, op_by_op

Check = Callable[[Loss, Backend, Problem], bool]
FRAMEWORKS = ("autograd", "jax", "torch")


def small() -> Problem:
    """12x5x3: logits of about 1."""
    return drawn(ProjectedLogistic(features=5, projection=3), 12, seed=1)


def tiny(size: float) -> Problem:
    """A plain model whose every derivative is about as large as its features."""
    problem = drawn(Logistic(features=3), 5, seed=2)
    problem.data["X"][:] *= size / np.abs(problem.data["X"]).sum()
    return problem


def with_slope(name: str, slope: Callable[[Any, Any], Any]) -> Loss:
    """The model in one framework, its softplus said to have the derivative ``slope(sigmoid(m), m)``."""
    box = toolbox(name)
    softplus = box.primitive(box.softplus, lambda m: slope(box.sigmoid(m), m))

    def loss(params: Params, data: Data) -> Any:
        u = params["W"] @ params["w"] if "W" in params else params["w"]
        return softplus((1 - 2 * data["y"]) * (data["X"] @ u)).sum()

    return loss


def scaled(name: str, off: float) -> Loss:
    return with_slope(name, lambda p, m: (1 + off) * p)


def without_gradient(name: str) -> Loss:
    return with_slope(name, lambda p, m: 0 * p)


def accepts(name: str, loss: Loss, problem: Problem, **options: Any) -> bool:
    """Whether the framework's own checker passes a loss, by its defaults."""
    backend = configured(name)
    params, data = backend.put(problem.params), backend.put(problem.data)
    try:
        {"autograd": autograd_check, "jax": jax_check, "torch": torch_check}[name](loss, params, data, **options)
    except (AssertionError, RuntimeError):
        return False
    return True


def autograd_check(loss: Loss, params: Params, data: Data, seed: int = 0) -> None:
    from autograd.test_util import check_grads

    np.random.seed(seed)  # noqa: NPY002 - autograd draws its direction from this generator
    check_grads(lambda params: loss(params, data), modes=["fwd", "rev"], order=1)(params)


def jax_check(loss: Loss, params: Params, data: Data, **options: Any) -> None:
    from jax.test_util import check_grads

    with op_by_op("jax"):
        check_grads(lambda params: loss(params, data), (params,), order=1, **options)


def torch_check(loss: Loss, params: Params, data: Data) -> None:
    import torch

    leaves = [value.requires_grad_() for value in params.values()]
    torch.autograd.gradcheck(lambda *values: loss(dict(zip(params, values, strict=True)), data), leaves)


def verdicts(name: str, loss: Loss, problem: Problem) -> dict[tuple[str, str], str]:
    """Ours on the same loss, by block."""
    with op_by_op(name):
        return by_block(findings(name, loss, configured(name).program(loss), problem, reference(problem)))


def by_block(found: list[Finding]) -> dict[tuple[str, str], str]:
    return {(f.quantity, f.parameter): f.verdict for f in found}


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    """Each framework with a checker of its own."""
    configured(request.param)
    return str(request.param)


#: What each framework's checker lets through on 200x20x10, as PEERS.md has it.
ACCEPTED = {"torch": 1e-3, "jax": 1e-5, "autograd": 1e-6}


@pytest.mark.slow
def test_a_derivative_that_is_off_by_as_much_as_the_frameworks_checker_allows(framework: str) -> None:
    problem, off = small(), ACCEPTED[framework]
    assert accepts(framework, scaled(framework, off), problem)
    assert not accepts(framework, scaled(framework, 30 * off), problem)
    assert verdicts(framework, scaled(framework, off), problem)["gradient", "W"] == "wrong"
    assert verdicts(framework, scaled(framework, 1e-13), problem)["gradient", "W"] == "wrong"
    assert set(verdicts(framework, scaled(framework, 0.0), problem).values()) == {"agrees"}


@pytest.mark.parametrize("size", [5e-6, 1e-7, 1e-30])
def test_a_zero_gradient_of_a_small_function(framework: str, size: float) -> None:
    if framework == "autograd" and size > 1e-6:
        size = 5e-7  # its absolute tolerance is ten times tighter
    problem, loss = tiny(size), without_gradient(framework)
    assert accepts(framework, loss, problem)
    assert not accepts(framework, loss, tiny(1.0))
    found = verdicts(framework, loss, problem)
    assert found["gradient", "w"] == "wrong"
    assert found["jvp", ""] == "wrong"
    assert set(verdicts(framework, scaled(framework, 0.0), problem).values()) == {"agrees"}


def test_autograds_checker_accepts_or_refuses_the_same_zero_gradient_by_chance() -> None:
    configured("autograd")
    problem, loss = tiny(2e-6), without_gradient("autograd")
    outcomes = {accepts("autograd", loss, problem, seed=seed) for seed in range(20)}
    assert outcomes == {True, False}
    ours = [verdicts("autograd", loss, problem)["gradient", "w"] for _ in range(3)]
    assert ours == ["wrong"] * 3


def test_autograds_checker_looks_at_the_first_of_several_arguments_only() -> None:
    backend = configured("autograd")
    from autograd.test_util import check_grads

    problem, right = small(), configured("autograd").loss(small().spec)
    double = toolbox("autograd").primitive(lambda W: W * 1, lambda W: 2.0)
    data = backend.put(problem.data)

    def loss(params: Params, data: Data) -> Any:
        return right({**params, "W": double(params["W"])}, data)

    check = check_grads(lambda w, W: loss({"w": w, "W": W}, data), modes=["fwd", "rev"], order=1)
    check(*backend.put(problem.params).values())  # raises nothing, though the gradient in W is twice what it is
    assert not accepts("autograd", loss, problem)  # given as one argument, it is found
    assert verdicts("autograd", loss, problem)["gradient", "W"] == "wrong"


def test_nan_against_nan() -> None:
    configured("jax")
    problem = small()

    def loss(params: Params, data: Data) -> Any:
        return scaled("jax", 0.0)(params, data) * float("nan")

    assert accepts("jax", loss, problem)
    assert not accepts("jax", scaled("jax", 1.0), problem)
    assert set(verdicts("jax", loss, problem).values()) == {"nonfinite"}


def test_a_tolerance_that_grows_with_the_size_of_the_output() -> None:
    configured("jax")
    problem = drawn(ProjectedLogistic(features=5, projection=3), 400, seed=1)
    box = toolbox("jax")

    def per_row(off: float) -> Loss:
        softplus = box.primitive(box.softplus, lambda m: (1 + off) * box.sigmoid(m))
        return lambda params, data: softplus((1 - 2 * data["y"]) * (data["X"] @ (params["W"] @ params["w"])))

    few = replace(problem, data={key: value[:4] for key, value in problem.data.items()})
    assert accepts("jax", per_row(1e-3), problem, modes=("fwd",))
    assert not accepts("jax", per_row(1e-3), few, modes=("fwd",))
    loss = scaled("jax", 1e-3)
    for rows in (few, problem):  # 400 rows along lines: here the compiler pays
        found = by_block(findings("jax", loss, configured("jax").program(loss), rows, reference(rows)))
        assert found["gradient", "W"] == "wrong"


def gradbench_accepts(expected: Any, actual: Any) -> bool:
    """The rule of GradBench's comparison.py, which is ADBench's: refused where |x - y| / max(1, |x| + |y|) > 1e-4."""
    expected, actual = np.asarray(expected, float), np.asarray(actual, float)
    return not (np.abs(expected - actual) / np.maximum(np.abs(expected) + np.abs(actual), 1) > 1e-4).any()


def judged(name: str, problem: Problem, truth: Reference, change: Callable[[Any], Any]) -> dict[tuple[str, str], str]:
    backend = configured(name)
    loss = backend.loss(problem.spec)
    changes = {"gradient": lambda tree, _: {key: change(value) for key, value in tree.items()}}
    with op_by_op(name):
        program = Changed(backend.program(loss), backend, problem, changes)
        return by_block(findings(name, loss, program, problem, truth))


def test_a_number_against_nan(name: str) -> None:
    problem = drawn(Logistic(features=1), 3, seed=1)
    assert gradbench_accepts([1.0], [np.nan])
    assert not gradbench_accepts([1.0], [1.001])
    assert judged(name, problem, reference(problem), lambda g: g * np.nan)["gradient", "w"] == "nonfinite"


@pytest.fixture(scope="module")
def long() -> tuple[Problem, Reference]:
    """20,000 features of 1 / 20,000: like the gradient of logsumexp, which is 1 / n in each entry."""
    problem = drawn(Logistic(features=20_000), 3, seed=1)
    problem.data["X"][:] = 1 / 20_000
    problem.data["y"][:] = [1, 1, 0]
    return problem, reference(problem)


def test_an_all_zero_gradient_of_many_small_entries(name: str, long: tuple[Problem, Reference]) -> None:
    problem, reference_ = long
    truth = reference_.truth["gradient", "w"]
    assert truth.all()
    assert gradbench_accepts(truth, 0 * truth)
    assert not gradbench_accepts(truth * 20_000, 0 * truth)
    assert judged(name, problem, reference_, lambda g: 0 * g)["gradient", "w"] == "wrong"
    assert judged(name, problem, reference_, lambda g: 1 * g)["gradient", "w"] == "agrees"
