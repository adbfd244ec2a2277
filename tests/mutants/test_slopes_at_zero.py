"""The derivative that a framework takes for relu at zero: any from 0 to 1 is right, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.judge.verdicts import judge
from gradparity.results import Finding
from tests.conftest import configured
from tests.mutants.frameworks import toolbox
from tests.mutants.test_wrong_kinks import WRONG_BRANCH, at

# relu'(0) in each framework, at w = 0: every row of X w is at the kink.
X = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.25]])
#: One-sided derivatives in w: those rows with a positive entry, and those with a negative one.
#: Along (1, 1) the rows have sums 3, -0.5, 3.25.
SIDES = {
    ("gradient", "w", (0,)): (0.0, 4.5), ("gradient", "w", (1,)): (-1.0, 2.25), ("jvp", "", ()): (-0.5, 6.25),
}  # fmt: skip


def relu_loss(p: Any, d: Any, xp: Any) -> Any:
    return xp.sum(xp.maximum(d["X"] @ p["w"], 0))


def with_slope(name: str, at_zero: float) -> Finding:
    """The finding on the gradient of ``relu_loss`` by a backend whose relu'(0) is ``at_zero``."""
    problem, truth = at(relu_loss, {"w": np.zeros(2)}, X=X)
    assert truth.kinks == SIDES
    backend = configured(name)
    if name == "numpy":
        value, gradient = np.asarray(0.0), {"w": at_zero * X.sum(0)}
    else:
        box = toolbox(name)
        zero = 0.0 * backend.put({"": X[0]})[""][0]

        def slope(m: Any) -> Any:
            return box.xp.where(m > 0, zero + 1, box.xp.where(m == 0, zero + at_zero, zero))

        relu = box.primitive(lambda m: box.xp.where(m > 0, m, zero), slope)
        program = backend.program(lambda params, data: relu(data["X"] @ params["w"]).sum())
        value, out = program.value_and_gradient(backend.put(dict(problem.params)), backend.put(dict(problem.data)))
        value, gradient = backend.get({"": value})[""], backend.get(out)
    _, finding = judge(name, {"loss": {"": value}, "gradient": gradient}, truth.only("loss", "gradient"), problem)
    return finding


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_any_slope_from_zero_to_one_is_a_derivative_of_relu_at_zero(name: str, at_zero: float) -> None:
    judged = with_slope(name, at_zero)
    assert (judged.verdict, judged.cause) == ("kink", "")
    assert judged.rule.startswith("2 entries at a certified kink")


@pytest.mark.parametrize("at_zero", [-1.0, -1e-12, 1 + 1e-12, 1.5, 2.0, np.nan])
def test_a_slope_outside_zero_to_one_is_none(name: str, at_zero: float) -> None:
    judged = with_slope(name, at_zero)
    expected = ("nonfinite", "") if np.isnan(at_zero) else ("wrong", WRONG_BRANCH)
    assert (judged.verdict, judged.cause) == expected


def test_off_the_kink_the_derivative_is_held_to_its_one_value() -> None:
    problem, truth = at(relu_loss, {"w": np.array([1.0, 0.0])}, X=X)
    right = X.sum(0)  # every row is positive there
    for factor, verdict in ((1.0, "agrees"), (1 + 1e-12, "wrong")):
        quantities = {"loss": {"": np.asarray(4.5)}, "gradient": {"w": factor * right}}
        judged = judge("jax", quantities, truth.only("loss", "gradient"), problem)
        assert [f.verdict for f in judged if f.quantity == "gradient"] == [verdict]
