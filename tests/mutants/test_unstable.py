"""A poor formula is called unstable and a wrong rule wrong, whichever of the two precisions was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from gradparity.backends.numpy_backend import ClosedFormLoss
from gradparity.backends.protocol import Data, Loss, Params
from gradparity.judge.other_precision import Pair, needs_other_precision, told_apart, usual_sizes
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.model_spec.problem import Problem, in_other_precision
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.results import Finding
from gradparity.truth.logistic.truth import reference
from gradparity.truth.reference import Reference
from tests.conftest import configured
from tests.contract.problems import drawn
from tests.mutants.frameworks import toolbox
from tests.mutants.harness import GW, Gw, findings
from tests.truth.neutral_models import problem_of

SHIFT = 4096.0


@cache
def problem_in(dtype: Any) -> tuple[Problem, Reference]:
    """Forty rows, each classified well: margins from 8 to 11, where ``sigmoid - y`` cancels.

    With a third of the rows and width, luck made one block right: these are off by 44 floors at least in 12 draws.
    """
    problem = drawn(ProjectedLogistic(features=5, projection=8, dtype="float32"), 40, seed=1)
    u = (problem.params["W"] @ problem.params["w"]).astype(np.float64)
    sign = 2 * problem.data["y"] - 1
    margins = sign * np.linspace(8, 11, 40)
    problem.data["X"][:] += np.outer(margins - problem.data["X"] @ u, u) / (u @ u)
    problem = in_other_precision(problem) if dtype == "float64" else problem
    return problem, reference(problem)


class Cancelling(ClosedFormLoss):
    """``softplus(c z) - y c z``, and ``sigmoid(c z) - y`` for its slope."""

    def _value_and_cotangent(self, logits: Any, X: Any, y: Any, s: Any) -> tuple[Any, Any]:
        z, one = logits(X), y.dtype.type(1)
        value = (np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - y * z).sum()
        return value, (one / (one + np.exp(-z)) - y) @ X

    def __call__(self, params: Params, data: Data) -> Any:
        return self.value_and_gradient(params, data)[0]


class Shifted(ClosedFormLoss):
    """``(X + h) u - h sum(u)`` for ``X u``."""

    def _logits(self, params: Params) -> Any:
        u = params["W"] @ params["w"]
        h = u.dtype.type(SHIFT)
        return lambda X: (X + h) @ u - h * u.sum()


class Scaled(ClosedFormLoss):
    """A slope off by one part in 300: seen in both precisions."""

    off = 1 / 300

    def _value_and_cotangent(self, *rows: Any) -> tuple[Any, Any]:
        value, g = super()._value_and_cotangent(*rows)
        return value, g.dtype.type(1 + self.off) * g

    def _cotangent_and_curvature(self, *rows: Any) -> tuple[Any, Any]:
        g, q = super()._cotangent_and_curvature(*rows)
        return g.dtype.type(1 + self.off) * g, q.dtype.type(1 + self.off) * q


class ScaledALittle(Scaled):
    """A slope off by 1e-9: too little for float32 to see."""

    off = 1e-9


def cancelling(box: Any, z: Any, y: Any, X: Any, u: Any) -> Any:
    return box.softplus(z) - y * z


def shifted(box: Any, z: Any, y: Any, X: Any, u: Any) -> Any:
    return box.softplus((1 - 2 * y) * ((X + SHIFT) @ u - (SHIFT * u).sum()))


def scaled(off: float) -> Callable[..., Any]:
    def terms(box: Any, z: Any, y: Any, X: Any, u: Any) -> Any:
        return box.primitive(box.softplus, lambda m: (1 + off) * box.sigmoid(m))((1 - 2 * y) * z)

    return terms


FORMULAS: dict[str, tuple[Callable[[Logistic], ClosedFormLoss], Callable[..., Any]]] = {
    "cancelling": (Cancelling, cancelling),
    "shifted": (Shifted, shifted),
    "scaled": (Scaled, scaled(Scaled.off)),
    "scaled a little": (ScaledALittle, scaled(ScaledALittle.off)),
}


def loss_of(name: str, formula: str, spec: Logistic) -> Loss:
    closed_form, terms = FORMULAS[formula]
    if name == "numpy":
        return closed_form(spec)
    box = toolbox(name)

    def loss(params: Params, data: Data) -> Any:
        X, y = data["X"], data["y"]
        u = params["W"] @ params["w"]
        return terms(box, X @ u, y, X, u).sum()

    return loss


@cache
def found_in(name: str, formula: str, dtype: str) -> list[Finding]:
    backend = configured(name)
    problem, truth = problem_in(dtype)
    loss = loss_of(name, formula, problem.spec)
    return findings(name, loss, backend.program(loss), problem, truth)


def told(name: str, formula: str, dtype: str) -> dict[tuple[str, str], Finding]:
    first = found_in(name, formula, dtype)
    assert needs_other_precision(first)
    other = found_in(name, formula, "float32" if dtype == "float64" else "float64")
    return {(f.quantity, f.parameter): f for f in told_apart(first, other) if f.verdict != "agrees"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("formula", ["cancelling", "shifted"])
def test_a_poor_formula_is_unstable(name: str, formula: str, dtype: str) -> None:
    found = told(name, formula, dtype)
    assert {finding.verdict for finding in found.values()} == {"unstable"}
    assert {GW, Gw} <= set(found)
    assert all(f.cause == "" and f.rule.endswith("it shrinks with the precision") for f in found.values())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_wrong_rule_is_wrong_in_both_precisions(name: str, dtype: str) -> None:
    found = told(name, "scaled", dtype)
    assert {finding.verdict for finding in found.values()} == {"wrong"}
    assert {GW, Gw} <= set(found)
    assert found[GW].cause == "factor 1 + 0.00333"


def test_a_wrong_rule_that_float32_cannot_see_is_wrong_in_float64(name: str) -> None:
    found = told(name, "scaled a little", "float64")
    assert {finding.verdict for finding in found.values()} == {"wrong"}
    assert {GW, Gw} <= set(found)


def off_by(floors: float | None, verdict: Any = "wrong") -> list[Finding]:
    return [
        Finding(
            backend="b", quantity="gradient", parameter="w", verdict=verdict, rule="r", cause="factor 2", floors=floors
        )
    ]


@pytest.mark.parametrize(
    ("floors", "in_other", "expected"),
    [
        (1e3, 1e3, "unstable"),
        (1e3, 2e6, "unstable"),  # more where the poor formula has nothing left
        (2e6, 1e3, "unstable"),
        (1e3, 1e3 * 2.0**29, "wrong"),  # the same relative error, asked for in float32
        (1e3 * 2.0**29, 1e3, "wrong"),  # and in float64
        (1e3, 1.0, "wrong"),  # float64 alone sees it
        (2 * AGREES_FLOORS, 0.8 * AGREES_FLOORS, "unstable"),  # of the size of rounding: not a rule
        (1e3, None, "wrong"),  # the other precision gave no number
    ],
)
def test_the_ratio_of_floors_decides(floors: float, in_other: float | None, expected: str) -> None:
    other = off_by(in_other, "wrong" if in_other is None or in_other > AGREES_FLOORS else "agrees")
    assert [f.verdict for f in told_apart(off_by(floors), other)] == [expected]


def test_a_scalar_that_is_right_by_luck_is_judged_by_the_other_blocks() -> None:
    lucky = Finding(backend="b", quantity="loss", parameter="", verdict="agrees", rule="r", floors=0.0)
    wrong = Finding(backend="b", quantity="loss", parameter="", verdict="wrong", rule="r", floors=600.0)
    assert told_apart([wrong, *off_by(1e3)], [lucky, *off_by(170.0)])[0].verdict == "unstable"
    agreeing = off_by(0.5 * AGREES_FLOORS, "agrees")
    assert told_apart([wrong, *agreeing], [lucky, *agreeing])[0].verdict == "wrong"
    # What is off by its own amount in the other precision is judged by that alone.
    assert told_apart(off_by(1e10), [lucky, *off_by(170.0)])[0].verdict == "wrong"


def test_only_what_is_wrong_by_a_number_needs_the_other_precision() -> None:
    assert needs_other_precision(off_by(100.0))
    assert not needs_other_precision(off_by(None))
    assert not needs_other_precision(off_by(1.0, "agrees"))
    assert told_apart(off_by(1.0, "agrees"), off_by(1.0, "agrees"))[0].verdict == "agrees"
    assert told_apart(off_by(5.0, "nonfinite"), off_by(5.0))[0].verdict == "nonfinite"


def lost(absolute: float, relative: float, quantity: str = "hvp") -> list[Finding]:
    return [
        Finding(
            backend="b", quantity=quantity, parameter="w", verdict="wrong", rule="r", floors=1e5 / (absolute or 1.0),
            absolute_error=absolute, relative_error=relative,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        # A saturated softmax under a squared error, loss 0.3: curvature of 3e-14, of which float32 keeps nothing.
        ((3.5e-14, 1.0), (9.3e-15, 0.27), "unstable"),
        ((9.3e-15, 0.27), (3.5e-14, 1.0), "unstable"),  # the same, asked for in float64
        ((3.5e-14, 0.2), (3.5e-14, 0.2), "wrong"),  # part of it is off by the same in both: a rule
        ((3.5e-9, 1.0), (3.5e-9, 1.0), "wrong"),  # missing, and large enough for float64 to have it
        ((2.8e-16, 2.7e-5), (1.0e-11, 1.0), "unstable"),  # a gradient of 1e-11, of which float32 has nothing
    ],
)
def test_what_saturation_takes_as_a_whole_is_unstable(
    here: tuple[float, float], there: tuple[float, float], expected: str
) -> None:
    sizes = {"hvp": 0.3}  # a rounding is 3e-17 of it in float64, and 2e-8 in float32
    (found,) = told_apart(lost(*here), lost(*there), sizes=sizes)
    assert found.verdict == expected
    assert ("lost as a whole" in found.rule) == (expected == "unstable")
    assert told_apart(lost(*here), lost(*there))[0].verdict == "wrong"


def test_a_value_below_one_rounding_of_what_it_is_computed_from_is_unstable_whatever_the_other_precision() -> None:
    """The same softmax further out: curvature of 5e-197 in float64, and in float32 zero, which is right."""
    agreeing = [msgspec.structs.replace(lost(0.0, 0.0)[0], verdict="agrees", floors=0.0)]
    for error, verdict in ((4.8e-197, "unstable"), (1e-10, "wrong")):
        assert told_apart(lost(error, 1.0), agreeing, sizes={"hvp": 0.3})[0].verdict == verdict


@pytest.mark.parametrize(("floors", "expected"), [(122.0, "unstable"), (200.0, "wrong")])
def test_a_few_floors_that_float32_cannot_see_may_be_a_formula_in_a_model_of_ones_own(
    floors: float, expected: str
) -> None:
    agreeing = off_by(0.5, "agrees")
    (found,) = told_apart(off_by(floors), agreeing, sizes={"hvp": 1.0})
    assert found.verdict == expected
    assert ("float32 cannot see it" in found.rule) == (expected == "unstable")
    assert told_apart(off_by(floors), agreeing)[0].verdict == "wrong"


def test_what_float32_cannot_see_of_a_small_block_may_be_the_rounding_of_large_terms() -> None:
    # Attention far out: a gradient of 2.8e-6 off by 2e-9, where a loss over its parameters is 1.3e4.
    agreeing = [msgspec.structs.replace(lost(0.0, 0.0)[0], verdict="agrees", floors=0.1)]
    for error, verdict in ((2e-9, "unstable"), (1e-6, "wrong")):
        assert told_apart(lost(error, 7e-4), agreeing, sizes={"hvp": 1.3e4})[0].verdict == verdict


def test_a_loss_that_saturates_beside_its_right_gradient_is_unstable() -> None:
    """``x - log_sigmoid(x)`` at x = -38, where ``log_sigmoid(x)`` is x: 0 in place of ``e^-38``, in both precisions."""
    gone = lost(1.8e-17, 1.0, "loss")
    for verdict in ("agrees", "wrong"):
        (found, _) = told_apart([*gone, *off_by(5.0, verdict)], gone, sizes={"gradient": 1e-16})
        assert found.verdict == ("unstable" if verdict == "agrees" else "wrong")
    visible = lost(1e-9, 1.0, "loss")
    assert told_apart([*visible, *off_by(5.0, "agrees")], visible, sizes={"gradient": 1.0})[0].verdict == "wrong"


def test_what_float32_has_lost_and_float64_has_is_unstable_in_float32_alone() -> None:
    # -log_sigmoid as above at x = -27, of 2.3e-12: float64 has five digits of it.
    in_float32, in_float64 = lost(2.3e-12, 1.0), lost(1.1e-16, 4.8e-5)
    assert told_apart(in_float32, in_float64, pair=Pair("float32", "float64"))[0].verdict == "unstable"
    assert told_apart(in_float64, in_float32)[0].verdict == "wrong"
    assert told_apart(in_float32, lost(2.3e-13, 0.1), pair=Pair("float32", "float64"))[0].verdict == "wrong"


def test_the_usual_size_of_a_derivative() -> None:
    """``f(p) = p^n`` has ``f' = n f / p`` and ``f'' = n (n - 1) f / p^2``."""
    w, v = np.array([-4.0, 0.5]), np.array([2.0, 0.0])
    problem = problem_of({"w": w}, {}, {"w": v})
    assert usual_sizes(np.longdouble(-8), problem) == {"gradient": 2.0, "jvp": 4.0, "hvp": 1.0}
    assert usual_sizes(np.nan, problem) == {}
    assert usual_sizes(1.0, replace(problem, params={"w": 0 * w})) == {}
    assert usual_sizes(1.0, problem_in("float64")[0]) == {}
