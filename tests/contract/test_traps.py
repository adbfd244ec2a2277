"""Three traps that people fell into with exactly this model, on every backend: each must show, and be explained."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.backends.protocol import Backend, Data, Params
from gradparity.judge.diagnoses import diagnose
from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.truth.logistic.truth import reference
from gradparity.worker.evaluation import evaluate
from tests.contract.problems import drawn


def test_the_zero_start_has_exactly_zero_gradients_and_is_reported_as_a_saddle(backend: Backend) -> None:
    toy = load("toy")
    problem = make_problem("toy", ProjectedLogistic(features=3, projection=2), toy.X, toy.y, start="zeros")
    program = backend.program(backend.loss(problem.spec))
    params, data = backend.put(problem.params), backend.put(problem.data)
    gradient = backend.get(program.value_and_gradient(params, data)[1])
    assert not gradient["w"].any()
    assert not gradient["W"].any()
    losses, final = program.descend(params, data, 10, 0.5)
    assert len(set(backend.get({"": losses})[""].tolist())) == 1
    assert not backend.get(final)["W"].any()
    # The Hessian there is indefinite: along (v, V) and (v, -V) the curvatures are opposite, and not zero.
    product = backend.get(program.hvp(params, data, backend.put(problem.tangents)))
    assert abs(sum(np.vdot(product[name], problem.tangents[name]) for name in product)) > 1e-3
    found = diagnose(problem, reference(problem))[0]
    assert found.name == "saddle start"
    assert "random" in found.cure


def test_a_start_off_zero_is_no_saddle() -> None:
    problem = drawn(ProjectedLogistic(features=3, projection=2), 6, seed=0)
    assert "saddle start" not in [found.name for found in diagnose(problem, reference(problem))]


def impure(backend: Backend, pure: Any) -> Any:
    """The loss as someone wrote it: it overwrites the global that it reads, ``inputs = inputs @ W``."""
    state: dict[str, Any] = {}

    def loss(params: Params, data: Data) -> Any:
        inputs = state.get("inputs", data["X"])
        state["inputs"] = inputs = inputs @ params["W"]
        return pure({"w": params["w"]}, {"X": inputs, "y": data["y"]})

    return loss


def test_a_loss_that_draws_is_nondeterministic_and_not_impure(name: str, backend: Backend) -> None:
    problem = drawn(ProjectedLogistic(features=3, projection=2), 5, seed=4)
    inner = backend.loss(problem.spec)

    def loss(params: Params, data: Data) -> Any:
        return inner(params, data) * (1 + random.random())

    found = evaluate(backend, loss, backend.program(inner), problem)
    assert found.verdict == "nondeterministic"
    assert "seeded it repeats itself" in found.impurity


@pytest.mark.parametrize("projection", [3, 2], ids=["square W", "narrow W"])
def test_an_impure_loss_is_reported_as_impure(name: str, backend: Backend, projection: int) -> None:
    problem = drawn(ProjectedLogistic(features=3, projection=projection), 5, seed=4)
    plain = backend.loss(ProjectedLogistic(features=projection, projection=1))  # reads only w: its direction is w
    loss = impure(backend, plain)
    program = backend.program(backend.loss(problem.spec) if name == "numpy" else loss)
    found = evaluate(backend, loss, program, problem)
    assert "the loss returned" in found.impurity
    assert found.verdict == "impure"
    assert found.quantities == {}


def test_what_the_first_compiled_call_leaves_behind_makes_a_loss_impure(backend_of: Callable[[str], Backend]) -> None:
    backend = backend_of("jax")
    problem = drawn(ProjectedLogistic(features=3, projection=3), 5, seed=4)
    loss = impure(backend, backend.loss(ProjectedLogistic(features=3, projection=1)))
    program = backend.program(loss)
    program.value_and_gradient(backend.put(problem.params), backend.put(problem.data))  # as a worker does at first
    found = evaluate(backend, loss, program, problem)
    assert found.verdict == "impure"
    assert found.impurity.startswith("a traced value leaked out of the loss: UnexpectedTracerError")


def test_a_framework_seeds_the_generators_that_it_has_of_its_own(backend_of: Callable[[str], Backend]) -> None:
    class Drawing:
        generator = random.Random(3)

        def __getattr__(self, name: str) -> Any:
            return getattr(backend, name)

        def seed(self, number: int) -> None:
            self.generator.seed(number)

    backend = backend_of("numpy")
    problem = drawn(ProjectedLogistic(features=3, projection=2), 5, seed=4)
    inner, drawing = backend.loss(problem.spec), Drawing()

    def loss(params: Params, data: Data) -> Any:
        return inner(params, data) * (1 + drawing.generator.random())

    found = evaluate(drawing, loss, backend.program(inner), problem)
    assert found.verdict == "nondeterministic"
    assert "seeded it repeats itself" in found.impurity


def test_a_loss_that_changes_its_argument_is_reported(name: str, backend: Backend) -> None:
    if name == "jax":
        pytest.skip("JAX arrays cannot be changed in place")
    problem = drawn(ProjectedLogistic(features=3, projection=2), 5, seed=4)
    problem.data["X"][0, 0] = 0.0
    inner = backend.loss(problem.spec)
    program = backend.program(inner)

    def loss(params: Params, data: Data) -> Any:
        data["X"][0, 0] = -0.0  # every value stays what it was: only the argument's bytes can tell
        return inner(params, data)

    found = evaluate(backend, loss, program, problem)
    assert found.impurity == "the loss changed its argument: data X"
    assert found.verdict == "impure"


@given(features=st.integers(1, 6), projection=st.integers(1, 6), seed=st.integers(0, 99))
def test_packing_and_unpacking_are_inverse_for_any_width(features: int, projection: int, seed: int) -> None:
    spec = ProjectedLogistic(features=features, projection=projection)
    params = spec.initial(seed)
    vector = spec.pack(params)
    assert vector.shape == (projection + features * projection,)
    # [w, W.ravel()]: w has L entries, not F. Splitting at F is the trap.
    assert vector[:projection].tolist() == params["w"].tolist()
    assert vector[projection:].tolist() == params["W"].ravel().tolist()
    back = spec.unpack(vector)
    assert back["w"].tolist() == params["w"].tolist()
    assert back["W"].tolist() == params["W"].tolist()


def test_a_vector_of_another_length_is_refused_with_the_layout() -> None:
    spec = ProjectedLogistic(features=3, projection=2)
    with pytest.raises(InputError, match=r"w \(2,\), W \(3, 2\)"):
        spec.unpack(np.zeros(9))
