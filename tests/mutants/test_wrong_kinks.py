"""Gradients at kinks, right and wrong, held against both certified one-sided derivatives as a run holds them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from gradparity.judge.other_precision import told_apart
from gradparity.judge.verdicts import judge
from gradparity.model_spec.problem import UserProblem
from gradparity.results import Finding
from gradparity.truth.reference import Reference
from tests.truth.neutral_models import Loss, certified, problem_of

WRONG_BRANCH = "wrong branch at a kink"
Y = np.array([0.5, -1.75])

#: Loss of x, the point, and its gradient there: both one-sided derivatives of an entry at a kink. By hand.
CASES: dict[str, tuple[Callable[[Any, Any], Any], list[float], list[float | tuple[float, float]]]] = {
    "relu": (lambda x, n: n.sum(n.maximum(x, 0)), [0.0, -1.0, 2.0], [(0, 1), 0, 1]),
    "relu6": (lambda x, n: n.sum(n.minimum(n.maximum(x, 0), 6)), [6.0, 1.0], [(0, 1), 1]),
    "hinge": (lambda x, n: n.sum(3 * n.maximum(1 - x, 0)), [1.0, 0.5, 2.0], [(-3, 0), -3, 0]),
    "leaky relu": (lambda x, n: n.sum(n.where(x > 0, x, 0.25 * x)), [0.0, -1.0, 2.0], [(0.25, 1), 0.25, 1]),
    "abs": (lambda x, n: n.sum(n.abs(x)), [0.0, -1.0, 2.0], [(-1, 1), -1, 1]),
    "sign": (lambda x, n: n.sum(n.sign(x) * x), [0.0, 2.0], [(-1, 1), 1]),
    "max": (lambda x, n: n.max(x), [2.0, 2.0, 1.0], [(0, 1), (0, 1), 0]),
    "min": (lambda x, n: n.min(x), [2.0, 2.0, 3.0], [(0, 1), (0, 1), 0]),
    "max of equal products": (lambda x, n: n.max(x * n.array([3.0, 2.0])), [2.0, 3.0], [(0, 3), (0, 2)]),
    "clip": (lambda x, n: n.sum(n.clip(x, -1.0, 1.0)), [1.0, -1.0, 0.5], [(0, 1), (0, 1), 1]),
    "where": (lambda x, n: n.sum(n.where(x >= 0, 3 * x, x)), [0.0, 1.0], [(1, 3), 3]),
    "python branch": (lambda x, n: 2 * x[0] if x[0] > 0 else -x[0], [0.0, 1.0], [(-1, 2), 0]),
    "norm": (lambda x, n: n.linalg.norm(x), [0.0, 0.0], [(-1, 1), (-1, 1)]),
    "norm 1": (lambda x, n: n.linalg.norm(x, 1), [0.0, -2.0], [(-1, 1), -1]),
    "norm inf": (lambda x, n: n.linalg.norm(x, np.inf), [0.0, 0.0], [(-1, 1), (-1, 1)]),
    "std": (lambda x, n: n.std(x), [1.0, 1.0], [(-0.5, 0.5), (-0.5, 0.5)]),
}

#: What the other of two entries that share a tie has where one has this: both are a subgradient together.
OTHER: dict[str, Callable[[float, float], float]] = {
    "max": lambda value, most: 1 - value,
    "min": lambda value, most: 1 - value,
    "max of equal products": lambda value, most: (5 - most) * (1 - value / most),
    "std": lambda value, most: -value,
}

#: What a backend gives at a kink, from the two sides, and the verdict on it.
ANSWERS: dict[str, tuple[Callable[[float, float], float], str]] = {
    "the smaller side": (lambda low, high: low, "kink"),
    "the larger side": (lambda low, high: high, "kink"),
    "half way": (lambda low, high: (low + high) / 2, "kink"),
    "below": (lambda low, high: low - 0.01 * (high - low), "wrong"),
    "above": (lambda low, high: high + 0.01 * (high - low), "wrong"),
    "far above": (lambda low, high: high + 3 * (high - low), "wrong"),
    "of the other sign": (lambda low, high: -high if high > -low else -low, "wrong"),
    "nan": (lambda low, high: math.nan, "nonfinite"),
    "inf": (lambda low, high: math.inf, "nonfinite"),
}


def at(loss: Loss, params: dict[str, Any], **data: Any) -> tuple[UserProblem, Reference]:
    """A model of the user's at its parameters, and its truth as a run finds it."""
    problem = problem_of(params, data, {name: np.ones_like(value) for name, value in params.items()})
    return problem, certified(loss, problem)


@cache
def kinked(case: str) -> tuple[UserProblem, Reference]:
    """The case with a smooth parameter beside it: its loss has ``y . y`` added."""
    loss, x, _ = CASES[case]
    return at(lambda p, d, n: loss(p["x"], n) + n.sum(p["y"] ** 2), {"x": np.array(x), "y": Y})


def right_gradient(case: str) -> dict[str, Any]:
    """Every entry at a kink half way between its sides."""
    return {"x": np.array([np.mean(sides) for sides in CASES[case][2]]), "y": 2 * Y}


def found(case: str, gradient: dict[str, Any], loss_off: float = 0.0) -> dict[tuple[str, str], Finding]:
    problem, truth = kinked(case)
    loss = np.asarray(float(truth.truth["loss", ""]) + loss_off)
    findings = judge("jax", {"loss": {"": loss}, "gradient": gradient}, truth.only("loss", "gradient"), problem)
    return {(finding.quantity, finding.parameter): finding for finding in findings}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("case", CASES)
def test_a_derivative_at_a_kink_is_held_to_what_lies_between_both_sides(case: str, answer: str) -> None:
    value, verdict = ANSWERS[answer]
    entries = CASES[case][2]
    kinks = [i for i, sides in enumerate(entries) if isinstance(sides, tuple)]
    for entry in kinks:
        low, high = entries[entry]  # type: ignore[misc]
        if answer == "of the other sign" and low == -high:
            continue  # then minus one side is the other
        gradient = right_gradient(case)
        gradient["x"][entry] = value(low, high)
        if case in OTHER and verdict == "kink":
            gradient["x"][1 - entry] = OTHER[case](value(low, high), high)
        judged = found(case, gradient)
        assert {key: f.verdict for key, f in judged.items()} == {
            ("loss", ""): "agrees",
            ("gradient", "x"): verdict,
            ("gradient", "y"): "agrees",
        }
        of_x = judged["gradient", "x"]
        assert of_x.cause == (WRONG_BRANCH if verdict == "wrong" else of_x.cause if verdict == "nonfinite" else "")
        if verdict == "wrong":
            assert of_x.rule == f"outside a certified kink with one-sided derivatives {low:.6g} and {high:.6g}"
        if verdict == "kink":
            some = "1 entry" if len(kinks) == 1 else f"{len(kinks)} entries"
            assert of_x.rule == f"{some} at a certified kink, between the one-sided derivatives"


# Each entry between its sides, and what no framework and no subgradient has: loss, point, gradient.
APART: dict[str, tuple[Callable[[Any, Any], Any], list[float], list[float]]] = {
    "both of a maximum of two": (lambda x, n: 2 * n.max(x) + n.sum(x * x), [1.0, 1.0, 0.0], [4, 4, 0]),
    "none of a maximum of two": (lambda x, n: 2 * n.max(x) + n.sum(x * x), [1.0, 1.0, 0.0], [2, 2, 0]),
    "all of a maximum of three": (lambda x, n: 2 * n.max(x), [1.0, 1.0, 1.0], [2, 2, 2]),
    "a third too much of three": (lambda x, n: 2 * n.max(x), [1.0, 1.0, 1.0], [1, 1, 2 / 3]),
    "a corner of the norm's box": (lambda x, n: n.linalg.norm(x) + n.sum(x), [0.0, 0.0], [2, 2]),
    "another corner of it": (lambda x, n: n.sqrt(n.sum(x**2)) + n.sum(x), [0.0, 0.0, 0.0], [2, 0, 2]),
    "a corner of the norm inf": (lambda x, n: n.linalg.norm(x, np.inf), [0.0, 0.0], [1, -1]),
    "a deviation that grows with both": (lambda x, n: n.std(x) + n.var(x), [0.25, 0.25], [0.5, 0.5]),
    "relus of which no sum is that": (
        lambda x, n: n.sum(n.maximum(np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0]]) @ x, 0)), [0.0, 0.0], [4, 2.5],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", APART)
def test_entries_that_share_a_tie_are_a_subgradient_together_or_wrong(case: str) -> None:
    loss, x, gradient = APART[case]
    problem, truth = at(lambda p, d, n: loss(p["x"], n), {"x": np.array(x)})
    truth, got = truth.only("gradient"), {"gradient": {"x": np.array(gradient, float)}}
    for (quantity, _, index), (low, high) in truth.kinks.items():
        assert quantity != "gradient" or low <= gradient[index[0]] <= high
    (judged,) = judge("jax", got, truth, problem)
    assert (judged.verdict, judged.cause) == ("wrong", WRONG_BRANCH)
    assert "together they are no derivative" in judged.rule


# What frameworks take at a tie: relu'(0) = 0, maxima shared, the first of equals, means of both, zero for a norm.
AS_FRAMEWORKS: dict[str, tuple[Callable[[Any, Any], Any], list[float], list[list[float]]]] = {
    "maximum of three": (lambda x, n: 2 * n.max(x), [1.0, 1.0, 1.0], [[2, 0, 0], [0, 0, 2], [2 / 3] * 3, [1, 1, 0]]),
    "sorted middle": (lambda x, n: n.sort(x)[1], [1.0, 1.0, 1.0], [[0, 1, 0], [1, 0, 0], [1 / 3] * 3]),
    "norm": (lambda x, n: n.linalg.norm(x) + n.sum(x), [0.0, 0.0], [[1, 1], [2, 1], [1 + 0.6, 1 + 0.8]]),
    "relus": (
        lambda x, n: n.sum(n.maximum(np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0]]) @ x, 0)), [0.0, 0.0],
        [[0, 0], [3, 0.5], [1.5, 0.25]],
    ),
    # No regular kinks: relu(a) - relu(b) with slopes of zero, one, the mean; and a network whose weights are zero.
    "difference of relus": (
        lambda x, n: n.maximum(x[0], 0) - n.maximum(x[1] - x[0], 0), [0.0, 0.0], [[0, 0], [2, -1], [1, -0.5]],
    ),
    "minus the norm": (lambda x, n: -n.linalg.norm(x), [0.0, 0.0], [[0, 0], [-0.6, 0.8]]),
    "relus of mixed signs": (
        lambda x, n: n.sum(
            n.maximum(np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0], [0.5, 1.0], [2.0, 1.5]]) @ x, 0)
            * np.array([1.0, -2.0, 1.5, -1.0, -0.75])
        ), [0.0, 0.0], [[0, 0], [5.0, -4.125], [2.5, -2.0625]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AS_FRAMEWORKS)
def test_what_a_framework_may_take_at_a_tie_is_right(case: str) -> None:
    loss, x, gradients = AS_FRAMEWORKS[case]
    problem, truth = at(lambda p, d, n: loss(p["x"], n), {"x": np.array(x)})
    for gradient in gradients:
        got = {"gradient": {"x": np.array(gradient, float)}, "jvp": {"": np.asarray(np.sum(gradient), float)}}
        judged = judge("jax", got, truth.only("gradient", "jvp"), problem)
        assert {each.verdict for each in judged} <= {"kink", "agrees"}, (gradient, judged)


def test_a_jvp_at_a_kink_is_held_to_the_sides_along_its_direction() -> None:
    """Of |x| + x0 + x1 along (1, 1): 2 -+ sqrt(2), where entry by entry it might be anything from 0 to 4."""
    problem, truth = at(lambda p, d, n: n.linalg.norm(p["x"]) + n.sum(p["x"]), {"x": np.zeros(2)})
    for verdict, values in {"kink": (2 - math.sqrt(2), 2, 2 + math.sqrt(2)), "wrong": (0, 0.58, 3.42, 4)}.items():
        for jvp in values:
            (judged,) = judge("jax", {"jvp": {"": np.asarray(float(jvp))}}, truth.only("jvp"), problem)
            assert judged.verdict == verdict, jvp


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_at_a_kink_is_told_with_both_sides_and_not_with_one(value: float) -> None:
    gradient = right_gradient("abs")
    gradient["x"][0] = value
    judged = found("abs", gradient)["gradient", "x"]
    assert judged.rule == f"{value} at a certified kink, where anything from -1 to 1 is right"
    assert (judged.truth, judged.sides) == (None, (-1, 1))
    gradient["x"][2] = value  # an entry of one true value says more
    judged = found("abs", gradient)["gradient", "x"]
    assert judged.rule == f"{value} where the truth is 1"
    assert judged.worst_index == (2,)


JUMPS: dict[str, tuple[Callable[[Any, Any], Any], float]] = {
    "floor": (lambda x, n: n.floor(x) + x, 1.0),
    "floor of the negative": (lambda x, n: n.floor(-x) + x, 1.0),
    "ceil": (lambda x, n: n.ceil(x) + x, 2.0),
    "trunc": (lambda x, n: n.trunc(x) * x, 2.0),
    "round": (lambda x, n: n.round(x) + x, 1.5),
    "sign": (lambda x, n: n.sign(x) + x, 0.0),
    "a step and a slope": (lambda x, n: n.where(x > 1, 5.0, x), 1.0),
    "from below": (lambda x, n: n.where(x >= 1, 5.0, x), 1.0),
    "modulo": (lambda x, n: n.mod(x, 1.0) ** 2, 2.0),
    "heaviside": (lambda x, n: n.heaviside(x, 0.5) + x, 0.0),
    "floor times x": (lambda x, n: n.floor(x) * x, 2.0),
    "a comparison as a number": (lambda x, n: x + 1.0 * (x > 1), 1.0),
}


@pytest.mark.parametrize("case", JUMPS)
def test_across_a_jump_no_derivative_is_right_and_beside_it_all_are_judged(case: str) -> None:
    loss, x = JUMPS[case]
    problem, truth = at(lambda p, d, n: n.sum(loss(p["x"], n)) + n.sum(p["y"] ** 2), {"x": np.array([x, 2.4]), "y": Y})
    gradient = {"x": truth.truth["gradient", "x"].astype(float), "y": 2 * Y}
    assert np.isnan(gradient["x"][0])
    assert np.isfinite(gradient["x"][1])
    gradient["x"][0] = 1.0
    judged = judge("jax", {"gradient": gradient, "jvp": {"": np.asarray(1.0)}}, truth.only("gradient", "jvp"), problem)
    verdicts = {f.block: f.verdict for f in judged}
    assert verdicts == {"gradient x": "unresolved", "gradient y": "agrees", "jvp": "unresolved"}
    assert all("the loss jumps" in f.rule for f in judged if f.verdict == "unresolved")
    gradient["x"][1] += 1e-9
    judged = judge("jax", {"gradient": gradient}, truth.only("gradient"), problem)
    assert judged[0].verdict == "wrong"


@pytest.mark.parametrize("case", ["leaky relu", "where"])
def test_a_zero_is_no_derivative_where_both_sides_are_positive(case: str) -> None:
    gradient = right_gradient(case)
    gradient["x"][0] = 0.0
    assert found(case, gradient)["gradient", "x"].verdict == "wrong"
    assert found(case, {**gradient, "x": 0 * gradient["x"]})["gradient", "x"].verdict == "wrong"


@pytest.mark.parametrize("at_kink", ["the smaller side", "half way", "far above"])
@pytest.mark.parametrize("case", ["relu", "abs", "max", "clip", "where"])
def test_an_entry_beside_the_kink_is_held_to_its_one_value_and_named(case: str, at_kink: str) -> None:
    gradient = right_gradient(case)
    gradient["x"][0] = ANSWERS[at_kink][0](*CASES[case][2][0])  # type: ignore[misc]
    gradient["x"][-1] += 1e-9
    judged = found(case, gradient)["gradient", "x"]
    assert judged.verdict == "wrong"
    assert judged.cause != WRONG_BRANCH
    if at_kink != "far above":
        assert judged.worst_index == (len(gradient["x"]) - 1,)
        assert judged.absolute_error == pytest.approx(1e-9, rel=1e-6)


def test_only_the_parameter_that_is_wrong_is_blamed_beside_one_at_a_kink() -> None:
    judged = found("abs", right_gradient("abs") | {"y": 4 * Y})
    assert (judged["gradient", "x"].verdict, judged["gradient", "y"].verdict) == ("kink", "wrong")
    assert judged["gradient", "y"].cause == "factor 2"
    assert found("abs", right_gradient("abs"), loss_off=1e-9)["loss", ""].verdict == "wrong"


@pytest.mark.parametrize("entry", [None, 0])
def test_another_dtype_or_shape_or_no_block_is_no_answer_at_a_kink(entry: int | None) -> None:
    x = right_gradient("abs")["x"]
    if entry is not None:
        x[entry] = 7.0
    for wrong, words in ((x.astype(np.float32), "float32"), (x[:2], "shape (2,)"), (None, "missing")):
        gradient = {"y": 2 * Y} if wrong is None else {"x": wrong, "y": 2 * Y}
        judged = found("abs", gradient)["gradient", "x"]
        assert judged.verdict == "wrong"
        assert words in judged.rule


def test_what_has_no_value_at_a_kink_is_said_not_to_be_judged_and_a_kink_is_not_unstable() -> None:
    problem, truth = kinked("abs")
    quantities = {
        "loss": {"": np.asarray(truth.truth["loss", ""], np.float64)},
        "gradient": right_gradient("abs"),
        "jvp": {"": np.asarray(7.0)},
        "hvp": {"x": np.full(3, 7.0), "y": np.full(2, 7.0)},
    }
    blank = {key: np.full_like(value, np.nan) for key, value in truth.truth.items() if key[0] in ("jvp", "hvp")}
    kinks = {place: sides for place, sides in truth.kinks.items() if place[0] == "gradient"}
    findings = judge("jax", quantities, replace(truth, truth={**truth.truth, **blank}, kinks=kinks), problem)
    second = {f.block: f for f in findings if f.quantity in ("jvp", "hvp")}
    assert {f.verdict for f in second.values()} == {"kink"}
    assert second["jvp"].rule == "not judged: at a certified kink it has no value"
    assert second["hvp x"].rule == "not judged: at a certified kink 3 of 3 entries have no value"
    assert told_apart(findings, findings) == findings


def test_a_value_beside_a_kink_is_judged_whatever_the_quantity() -> None:
    problem, truth = kinked("abs")
    hvp = {("hvp", "x"): np.array([np.nan, 2, 0], np.longdouble), ("hvp", "y"): np.full(2, 2, np.longdouble)}
    known = replace(truth, truth={**truth.truth, **hvp}).only("hvp")
    for x, y, verdicts in (([7.0, 2, 0], [2.0, 2], ["kink", "agrees"]), ([7.0, 3, 0], [2.0, 4], ["wrong", "wrong"])):
        found = judge("jax", {"hvp": {"x": np.array(x), "y": np.array(y)}}, known, problem)
        assert [f.verdict for f in found] == verdicts
