"""`gradparity.stop` in one port, the framework's own stop or none in another, without a truth.

The contract of `gradparity.stop` is the source of what is right: it is the framework's own ``detach``, so that ports
which stop at one place agree however they write it. One that does not stop there has another gradient of the same loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
import torch
from autograd.tracer import getval

from gradparity import stop
from gradparity.backends import autograd_backend, torch_eager
from gradparity.judge.consensus import judge_pairwise
from gradparity.judge.own import Answers
from gradparity.numerics.perturbation import floor_from, perturbed
from gradparity.numerics.richardson import block_directions
from gradparity.results import Finding, Pairwise
from gradparity.worker.evaluation import evaluations_at
from gradparity.worker.extrapolation import declares, own_derivatives, second_derivatives
from tests.truth.neutral_models import problem_of

pytestmark = pytest.mark.filterwarnings("ignore:Output seems independent")  # autograd, of a gradient that is linear

Stop = Callable[[Any], Any]
Model = Callable[[Any, Any, Any, Any, Stop], Any]  #: module, W, b, X, stop

MODELS: dict[str, Model] = {
    "its own output as a target": lambda np_, W, b, X, s: (s(np_.tanh(X @ W + b)) * (X @ W + b)).sum(),
    "a straight-through rounding": lambda np_, W, b, X, s: (
        ((h := np_.tanh(X @ W + b)) + s(np_.round(8 * h) / 8 - h)).sum() + (h * h).sum()
    ),
    "a scale that is running statistics": lambda np_, W, b, X, s: (
        (z := X @ W + b) / s(np_.sqrt(1 + (z * z).mean()))
    ).sum(),
    "a teacher": lambda np_, W, b, X, s: ((np_.tanh(X @ W + b) - s(np_.sin(X @ W))) ** 2).mean(),
    "weights of importance": lambda np_, W, b, X, s: (s(np_.exp(X @ W)) * (X @ W + b) ** 2).sum(),
    "half of a parameter": lambda np_, W, b, X, s: (np_.tanh(X @ (W + s(W))) ** 2 + b**2).sum(),
    "two of them": lambda np_, W, b, X, s: (s(np_.tanh(X @ W)) * (X @ W + b) + s(b * b) * b).sum(),
}
NOTHING: Stop = lambda x: x  # noqa: E731


def problem() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(9)
    params, along = ({"W": rng.standard_normal((4, 3)), "b": 0.3 * rng.standard_normal(3)} for _ in range(2))
    return params, {"X": rng.standard_normal((6, 4))}, along


def answers_of(backend: Any, module: Any, model: Model, how: Stop, times: float = 1.0) -> Answers:
    loss = lambda p, d: times * model(module, p["W"], p["b"], d["X"], how)  # noqa: E731
    program, inputs = backend.program(loss), problem()
    values, *moved = evaluations_at(backend, program, [inputs, *perturbed(*inputs, seed=0, draws=16)])
    wide = problem_of(*inputs, 0).cast("float64")
    return Answers(
        values,
        floor_from(values, moved, "float64"),
        own_derivatives(backend, program, wide, loss),
        own_derivatives(backend, program, wide, loss, {"": dict(wide.tangents)}),
        second_derivatives(backend, program, wide, loss),
        through=own_derivatives(backend, program, wide) if declares(backend, loss, wide) else {},
    )


def torch_(model: Model, how: Stop, times: float = 1.0) -> Answers:
    return answers_of(torch_eager.backend, torch, model, how, times)


def autograd_(model: Model, how: Stop, times: float = 1.0) -> Answers:
    return answers_of(autograd_backend.backend, anp, model, how, times)


def compared(**answers: Answers) -> tuple[Pairwise, dict[tuple[str, str], Finding]]:
    directions = dict(block_directions(problem()[0], 0))
    found, findings = judge_pairwise(answers, directions, dtype="float64")
    return found, {(each.backend, each.block): each for each in findings}


def detached(x: Any) -> Any:
    return x.detach()


@pytest.mark.parametrize("name", MODELS)
def test_a_stop_of_the_framework_is_the_one_that_another_declares(name: str) -> None:
    for ours, theirs in ((stop, detached), (getval, stop)):
        found, findings = compared(autograd=autograd_(MODELS[name], ours), torch=torch_(MODELS[name], theirs))
        assert {each.verdict for each in findings.values()} == {"agrees"}
        assert found.outliers == []
        assert found.stopped == ""


@pytest.mark.parametrize("name", MODELS)
def test_a_declared_stop_and_none_is_a_question_and_no_other_function(name: str) -> None:
    for ours, theirs in ((stop, NOTHING), (NOTHING, stop)):
        found, findings = compared(autograd=autograd_(MODELS[name], ours), torch=torch_(MODELS[name], theirs))
        verdicts = {block: each.verdict for (_, block), each in findings.items()}
        assert verdicts["loss"] == "agrees"
        assert "unresolved" in (verdicts["gradient W"], verdicts["gradient b"])
        assert set(verdicts.values()) <= {"agrees", "unresolved"}
        who, other = ("autograd", "torch") if ours is stop else ("torch", "autograd")
        rules = {each.rule for each in findings.values() if each.verdict == "unresolved"}
        assert rules == {f"{who} stops the gradient (gradparity.stop), and {other} does not: which is meant?"}
        assert found.outliers == []


def test_two_declared_at_different_values_are_a_question() -> None:
    inner = lambda np_, W, b, X, s: (s(np_.tanh(X @ W + b)) * (X @ W + b)).sum()  # noqa: E731
    outer = lambda np_, W, b, X, s: (np_.tanh(X @ W + b) * s(X @ W + b)).sum()  # noqa: E731
    _, findings = compared(autograd=autograd_(inner, stop), torch=torch_(outer, stop))
    rules = {each.rule for each in findings.values() if each.verdict != "agrees"}
    assert rules == {"autograd and torch stop the gradient at different values: which is meant?"}


def test_a_mistake_beside_a_declared_stop_is_none_of_its_questions() -> None:
    model = MODELS["a teacher"]
    _, findings = compared(autograd=autograd_(model, stop), torch=torch_(model, detached, times=2.0))
    assert findings["torch", "loss"].verdict == "wrong"
    assert findings["torch", "gradient W"].verdict == "wrong"
    assert "which is meant" not in findings["torch", "gradient W"].rule


def test_a_stop_elsewhere_than_the_declared_one_is_not_excused_by_it() -> None:
    inner = lambda np_, W, b, X, s: (s(np_.tanh(X @ W + b)) * (X @ W + b)).sum()  # noqa: E731
    outer = lambda np_, W, b, X, s: (np_.tanh(X @ W + b) * s(X @ W + b)).sum()  # noqa: E731
    _, findings = compared(autograd=autograd_(inner, stop), torch=torch_(outer, detached))
    assert findings["torch", "gradient W"].verdict != "agrees"


def test_a_wrong_rule_of_one_port_is_denied_though_another_declares_a_stop() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return 2 * g

    model = MODELS["a teacher"]
    doubled = lambda np_, W, b, X, s: Doubled.apply(model(np_, W, b, X, s))  # noqa: E731
    backend = torch_eager.backend
    program = backend.program(lambda p, d: doubled(torch, p["W"], p["b"], d["X"], detached))
    inputs = problem()
    loss = lambda p, d: doubled(torch, p["W"], p["b"], d["X"], detached)  # noqa: E731
    value, gradient = program.value_and_gradient(*map(backend.put, inputs[:2]))
    values = {"loss": backend.get({"": value}), "gradient": backend.get(gradient)}
    right = autograd_(model, stop)
    wide = problem_of(*inputs, 0).cast("float64")
    mistaken = Answers(values, right.floors, own_derivatives(backend, program, wide, loss))
    _, findings = compared(autograd=right, torch=mistaken)
    assert findings["torch", "gradient W"].verdict == "wrong"
    assert findings["torch", "gradient W"].rule.startswith("its gradient is not the derivative of its own loss")
