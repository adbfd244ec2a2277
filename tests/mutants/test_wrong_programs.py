"""Programs that are wrong in how they call a right derivative: by differences, on other state, or with noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.backends.protocol import Data, Params, Program
from tests.mutants.harness import GW, HW, JVP, LOSS, Gw, Hw, Passing, assert_found, changed, right, verdicts
from tests.mutants.problems import SHAPES


def moved(params: Params, tangents: Params, step: float) -> Params:
    return {name: value + step * tangents[name] for name, value in params.items()}


class ForwardDifferences(Passing):
    step = 1e-5

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        up = self.program.value_and_gradient(moved(params, tangents, self.step), data)[1]
        here = self.program.value_and_gradient(params, data)[1]
        return {name: (up[name] - here[name]) / self.step for name in up}


class CentralDifferences(Passing):
    step = 1e-3

    def jvp(self, params: Params, data: Data, tangents: Params) -> Any:
        up, down = (
            self.program.value_and_gradient(moved(params, tangents, s), data)[0] for s in (self.step, -self.step)
        )
        return (up - down) / (2 * self.step)


class WeightsCaptured(Passing):
    """The weights as they were at the first call ever, as a closure over a model keeps them."""

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Params]:
        return self.program.value_and_gradient({name: 0.9 * value for name, value in params.items()}, data)


class LabelsShifted(Passing):
    def value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Params]:
        return self.program.value_and_gradient(params, {"X": data["X"], "y": 1 - data["y"]})


class TangentsForgotten(Passing):
    """The derivative along (v, 0)."""

    def jvp(self, params: Params, data: Data, tangents: Params) -> Any:
        return self.program.jvp(params, data, {**tangents, "W": 0 * tangents["W"]})


class Drifting(Passing):
    """Leaves a count behind that the next call reads."""

    calls = 0

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Params]:
        self.calls += 1
        value, gradient = self.program.value_and_gradient(params, data)
        return value, {name: g * (1 + 1e-15 * self.calls) for name, g in gradient.items()}


FORWARD = "forward differences with a step of 1e-05"
CENTRAL = "central differences with a step of 0.001"
W_MISSING = "the share of W is missing: the path to W is detached"

PROGRAMS: dict[str, tuple[Callable[[Program], Program], dict[Any, str | None]]] = {
    "HVP by forward differences": (ForwardDifferences, {HW: FORWARD, Hw: FORWARD}),
    "JVP by central differences": (CentralDifferences, {JVP: CENTRAL}),
    "captured weights": (WeightsCaptured, dict.fromkeys((LOSS, GW, Gw), "")),
    "labels the other way round": (LabelsShifted, dict.fromkeys((LOSS, GW, Gw), None)),
    "JVP without the tangent of W": (TangentsForgotten, {JVP: W_MISSING}),
}


@pytest.mark.parametrize("mutant", PROGRAMS)
def test_a_wrong_call_is_found_and_named(name: str, mutant: str) -> None:
    wrap, expected = PROGRAMS[mutant]
    for problem in SHAPES:
        loss, program = right(name, problem)
        assert_found(verdicts(name, problem, loss, wrap(program)), expected)


def test_a_gradient_that_drifts_by_rounding_from_call_to_call_is_nondeterministic(name: str) -> None:
    loss, program = right(name, "4x3x3")
    found = verdicts(name, "4x3x3", loss, Drifting(program))
    assert {finding.verdict for finding in found.values()} == {"nondeterministic"}
    assert "differed by up to" in next(iter(found.values())).rule


@pytest.mark.parametrize("quantity", ["loss", "gradient", "jvp", "hvp"])
def test_noise_in_any_quantity_is_found(name: str, quantity: str) -> None:
    rng = np.random.default_rng(0)

    def noisy(tree: dict[str, Any], problem: Any) -> dict[str, Any]:
        return {k: v * (1 + 1e-14 * rng.standard_normal(v.shape)) for k, v in tree.items()}

    found = changed(name, "4x3x3", {quantity: noisy})
    assert {finding.verdict for finding in found.values()} == {"nondeterministic"}
    assert next(iter(found.values())).rule.startswith(quantity)


def test_a_loss_that_counts_its_calls_is_impure(name: str) -> None:
    pure, program = right(name, "4x3x3")
    calls = iter(range(9))

    def loss(params: Params, data: Data) -> Any:
        return pure(params, data) * (1 + 1e-15 * next(calls))

    found = verdicts(name, "4x3x3", loss, program)
    assert {finding.verdict for finding in found.values()} == {"impure"}


def test_a_program_that_raises_is_not_mistaken_for_an_answer(name: str) -> None:
    class Raising(Passing):
        def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
            raise ArithmeticError("no HVP today")

    loss, program = right(name, "4x3x3")
    with pytest.raises(ArithmeticError, match="no HVP today"):
        verdicts(name, "4x3x3", loss, Raising(program))
