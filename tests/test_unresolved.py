"""What cannot be known is not said: truths and floors that are no numbers, or hide the errors that people make."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gradparity.judge.known import SHARES, unresolved
from gradparity.judge.other_precision import told_apart
from gradparity.judge.verdicts import AGREES_FLOORS, judge_values
from gradparity.results import GOOD, Finding, worst
from gradparity.truth.reference import Reference

TRUTH = {"loss": np.longdouble(3.0), "a": np.array([1.0, -2.0, 4.0]), "b": np.array([0.5, 0.25])}
NO_NUMBERS = [np.nan, np.inf, -np.inf]


def reference(floor: float = 1e-16, why: dict[str, str] | None = None, **changed: Any) -> Reference:
    truth = {(("loss", "") if k == "loss" else ("gradient", k)): np.array(v, np.longdouble) for k, v in TRUTH.items()}
    floors = {key: np.full(value.shape, floor, np.longdouble) for key, value in truth.items()}
    for name, blocks in changed.items():
        {"truths": truth, "floors": floors}[name].update(
            {("gradient", key): np.array(value, np.longdouble) for key, value in blocks.items()}
        )
    return Reference(truth, floors, "", unknown={("gradient", k): v for k, v in (why or {}).items()})


def judged(found: Reference, dtype: str = "float64", **given: Any) -> dict[str, Finding]:
    values = {key: np.array(given.get(key, value), dtype) for key, value in TRUTH.items()}
    quantities = {"loss": {"": values.pop("loss")}, "gradient": values}
    return {f.parameter or f.quantity: f for f in judge_values("jax", quantities, found, dtype)}


#: Without a truth even no number may be right; without a floor alone it is wrong, as the truth is a number.
ANSWERS = [[1.0, -2.0, 4.0], [7.0, 7.0, 7.0], [0.0] * 3]
OF_ANY_ANSWER = [("truths", given) for given in [*ANSWERS, [np.nan] * 3]] + [("floors", given) for given in ANSWERS]


@pytest.mark.parametrize(("of", "given"), OF_ANY_ANSWER)
@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_a_block_whose_truth_or_floor_is_no_number_says_nothing_of_any_answer(of: str, bad: float, given: Any) -> None:
    found = judged(reference(**{of: {"a": [bad] * 3}}), a=given)
    assert {key: f.verdict for key, f in found.items()} == {"loss": "agrees", "a": "unresolved", "b": "agrees"}
    assert not found["a"].cause
    assert "unresolved" not in GOOD


@pytest.mark.parametrize("bad", NO_NUMBERS)
@pytest.mark.parametrize("of", ["truths", "floors"])
def test_the_other_entries_of_a_block_are_judged(of: str, bad: float) -> None:
    known = TRUTH["a"].copy() if of == "truths" else np.full(3, 1e-16)
    known[1] = bad
    found = reference(**{of: {"a": known}}, why={"a": "the draws leave its domain"})
    assert judged(found)["a"].verdict == "unresolved"
    assert judged(found)["a"].rule.endswith("1 of 3 entries is not known: the draws leave its domain")
    off = judged(found, a=[1.0, 9.0, 4.1])["a"]
    assert (off.verdict, off.worst_index) == ("wrong", (2,))
    assert judged(found, a=[1.0, 9.0, 4.0])["a"].verdict == "unresolved"


@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_no_number_is_wrong_where_the_truth_is_one_and_not_where_it_is_none(bad: float) -> None:
    assert judged(reference(), a=[1.0, bad, 4.0])["a"].verdict == "nonfinite"
    assert judged(reference(floors={"a": [np.inf] * 3}), a=[1.0, bad, 4.0])["a"].verdict == "nonfinite"
    assert judged(reference(truths={"a": [1.0, bad, 4.0]}), a=[1.0, bad, 4.0])["a"].verdict == "unresolved"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("times", "verdict"), [(0.9, "agrees"), (1.1, "unresolved")])
def test_a_floor_that_hides_a_visible_share_of_the_largest_value_is_too_wide(
    dtype: str, times: float, verdict: str
) -> None:
    floor = times * SHARES[dtype] * 4.0 / AGREES_FLOORS
    found = judged(reference(np.finfo(dtype).eps, floors={"a": [floor] * 3}), dtype)
    assert {key: f.verdict for key, f in found.items()} == {"loss": "agrees", "a": verdict, "b": "agrees"}
    assert judged(reference(floors={"a": [floor] * 3}), dtype, a=2 * TRUTH["a"])["a"].verdict == "wrong"


def test_an_error_that_is_beyond_a_floor_too_wide_is_wrong_and_stays_so() -> None:
    found = judged(reference(floors={"a": [0.1] * 3}), a=[1.0, -2.0, 5.0])
    assert found["a"].verdict == "wrong"
    within = judged(reference(floors={"a": [0.1] * 3}), a=[1.0, -2.0, 4.5])
    assert within["a"].verdict == "unresolved"
    assert [f.verdict for f in told_apart([within["a"]], [within["a"]])] == ["unresolved"]


@pytest.mark.parametrize("truth", [0.0, 1e-17, -3e-16])
@pytest.mark.parametrize("given", [0.0, 1e-17, 2e-16])
def test_a_gradient_that_is_zero_beside_the_others_agrees(truth: float, given: float) -> None:
    """The intercept's on centred data: the sum of residuals is a sum of roundings, or exactly 0."""
    found = judged(reference(truths={"b": [truth, truth]}, floors={"b": [1e-16, 1e-16]}), b=[given, given])
    assert found["b"].verdict == "agrees"
    assert (found["b"].error_ulps, found["b"].floor_ulps) == (None, None)


@pytest.mark.parametrize(("times", "verdict"), [(0.9, "agrees"), (1.1, "wrong")])
def test_what_cancels_to_nothing_in_one_formula_may_be_roundings_of_its_terms_in_another(
    times: float, verdict: str
) -> None:
    """Softmax of one allowed score: exactly 0 by its own maximum, p - p sum(p) where a framework stops it."""
    error = times * AGREES_FLOORS * 2.0**-53 * 4.0  # roundings of the largest entry of the gradient
    found = judged(reference(truths={"b": [0.0, 1e-17]}, floors={"b": [0.0, 1e-33]}), b=[error, 0.0])
    assert found["b"].verdict == verdict
    small = reference(truths={"b": [1e-9, 1e-17]}, floors={"b": [1e-25, 1e-33]})
    assert judged(small, b=[1e-9 + error, 1e-17])["b"].verdict == verdict


def test_a_zero_beside_others_as_small_is_not_agreement() -> None:
    """All of a gradient that is below its noise, as at an optimum: no port can be told from twice or none of it."""
    small = {"a": [1e-16] * 3, "b": [-1e-16] * 2}
    found = judged(reference(truths=small, floors={key: [1e-16] * len(v) for key, v in small.items()}), **small)
    assert {key: f.verdict for key, f in found.items()} == {"loss": "agrees", "a": "unresolved", "b": "unresolved"}
    assert "stationary" in found["a"].rule


def test_the_finding_to_show_is_a_loss_before_its_gradient_and_what_is_wrong_before_what_is_open() -> None:
    def finding(quantity: str, verdict: Any, floors: float | None) -> Finding:
        return Finding(backend="jax", quantity=quantity, parameter="", verdict=verdict, rule="", floors=floors)

    by_rank = [
        finding("loss", "wrong", 10),
        finding("gradient", "nonfinite", None),
        finding("gradient", "wrong", 1e9),
        finding("hvp", "wrong", 1e12),
        finding("loss", "unresolved", None),
        finding("gradient", "kink", None),
        finding("hvp", "agrees", 7),
        finding("loss", "agrees", 1),
    ]
    for some in itertools.combinations(by_rank, 2):
        assert worst(some[::-1]) is some[0]


@pytest.mark.parametrize(("floor", "words"), [(1e-2, "8% of the largest value"), (1e180, "8e+180 times the largest")])
def test_the_error_that_may_pass_is_a_percentage_or_so_many_times_the_value(floor: float, words: str) -> None:
    said = unresolved(np.ones(2, np.longdouble), np.full(2, floor, np.longdouble), 1e-3, 8.0, "")
    assert words in said
    assert len(said) < 400


def test_a_block_that_is_wrong_in_both_precisions_makes_no_other_unstable() -> None:
    """PyTorch's trigamma is off by a relative 1e-9 whatever else the model has: 10^6 floors that float32 cannot see."""

    def block(parameter: str, verdict: Any, floors: float, error: float) -> Finding:
        return Finding(
            backend="torch", quantity="hvp", parameter=parameter, verdict=verdict, rule="", floors=floors,
            absolute_error=error, relative_error=error,
        )  # fmt: skip

    beta = block("beta", "wrong", 1e6, 1e-10), block("beta", "agrees", 0.5, 3e-8)
    zero = block("other", "wrong", 1e16, 1.0), block("other", "wrong", 1e7, 1.0)
    poor = block("poor", "wrong", 4e3, 4e-13), block("poor", "wrong", 1e3, 1e-4)
    for beside in ([], [zero]):
        pairs = [beta, *beside]
        told = told_apart([first for first, _ in pairs], [second for _, second in pairs])
        assert [each.verdict for each in told] == ["wrong"] * len(pairs)
    told = told_apart([block("lucky", "wrong", 2e3, 2e-13), poor[0]], [block("lucky", "agrees", 0.5, 3e-8), poor[1]])
    assert [each.verdict for each in told] == ["unstable"] * 2  # where another formula is poor, one is right by luck
