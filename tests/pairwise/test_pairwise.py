"""Simulated backends: known outliers are named with their cause, and right ones never are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from gradparity.judge.consensus import (
    ANOTHER_EACH,
    ANOTHER_LOSS,
    ANOTHER_RULE,
    UNDECIDED,
    judge_pairwise,
)
from gradparity.judge.distances import BlockAnswers, believed, majority
from gradparity.judge.figures import LOWER_PRECISION
from gradparity.judge.own import own_derivative
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.model_spec.errors import InputError
from gradparity.numerics.richardson import Derivative, block_directions
from gradparity.results import Finding, Pairwise
from tests.pairwise.simulation import Simulated, answers, compared, problem

M, W = "layers.0.M", "layers.1.w"
RIGHT = Simulated()


def off(change: Callable[[Any], Any], quantity: str = "gradient", parameter: str = M) -> Simulated:
    return Simulated({(quantity, parameter): change})


def backends(wrong: Simulated, count: int, at: int = -1) -> dict[str, Simulated]:
    names = [f"backend{i}" for i in range(count)]
    return {name: RIGHT if name != names[at] else wrong for name in names}


def bad(findings: list[Finding]) -> set[tuple[str, str, str]]:
    return {(f.backend, f.quantity, f.parameter) for f in findings if f.verdict != "agrees"}


def one_entry(value: Any) -> Any:
    value = value.copy()
    value[1, 2] *= 1 + 1e-9
    return value


GRADIENT_MUTANTS = {
    "factor 2": (lambda v: 2 * v, "factor 2"),
    "sign": (lambda v: -v, "sign"),
    "a mean for a sum": (lambda v: v / 12, "1/12 of the median (12 is also rows of X)"),
    "transposed in the right shape": (lambda v: v.T.reshape(v.shape), "transposed"),
    "permuted": (lambda v: v[::-1].copy(), "permuted block: the right entries in the wrong places"),
    "cast to float32": (
        lambda v: v.astype(np.float32).astype(np.float64),
        "float32 leak: every entry is a float32 number",
    ),
    "scaled by 1 + 1e-9": (lambda v: v * (1 + 1e-9), "factor 1 + 1e-09"),
    "one entry": (one_entry, "only one entry differs: [1, 2]"),
}


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("mutant", GRADIENT_MUTANTS)
def test_a_wrong_gradient_is_named_with_its_cause_and_denied_by_its_own_loss(mutant: str, count: int) -> None:
    change, cause = GRADIENT_MUTANTS[mutant]
    found, findings = compared(4, backends(off(change), count, at=1))
    assert bad(findings) == {("backend1", "gradient", M)}
    (finding,) = (f for f in findings if f.verdict != "agrees")
    assert finding.verdict == "wrong"
    assert finding.cause == cause
    assert finding.rule.startswith(ANOTHER_RULE)
    (outlier,) = found.outliers
    assert (outlier.backend, outlier.kind, outlier.cause) == ("backend1", "gradient", cause)


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("mutant", GRADIENT_MUTANTS)
def test_a_majority_names_it_too_where_no_loss_was_extrapolated(mutant: str, count: int) -> None:
    change, cause = GRADIENT_MUTANTS[mutant]
    found, findings = compared(4, backends(off(change), count), own=False)
    name = f"backend{count - 1}"
    assert bad(findings) == {(name, "gradient", M)}
    assert [(o.backend, o.kind, o.cause) for o in found.outliers] == [(name, "unknown", cause)]


def test_two_that_differ_are_both_undecided_where_no_loss_was_extrapolated() -> None:
    found, findings = compared(4, backends(off(lambda v: 2 * v), 2), own=False)
    assert bad(findings) == {("backend0", "gradient", M), ("backend1", "gradient", M)}
    assert all(UNDECIDED in f.rule for f in findings if f.verdict != "agrees")
    assert found.outliers == []


@pytest.mark.parametrize("count", [3, 5])
def test_another_loss_is_told_from_a_wrong_rule(count: int) -> None:
    found, findings = compared(4, backends(Simulated(weight=1.001), count, at=0))
    assert bad(findings) == {("backend0", "loss", ""), ("backend0", "gradient", M), ("backend0", "jvp", "")}
    assert all(f.rule.startswith(ANOTHER_LOSS) for f in findings if f.verdict != "agrees")
    assert [(o.backend, o.kind) for o in found.outliers] == [("backend0", "loss")]
    assert all(each.consistent for each in found.own)


def test_two_different_losses_are_said_to_be_that_and_neither_to_be_wrong_alone() -> None:
    found, findings = compared(4, backends(Simulated(weight=1.5), 2))
    assert {f.backend for f in findings if f.verdict != "agrees"} == {"backend0", "backend1"}
    assert all(UNDECIDED in f.rule for f in findings if f.verdict != "agrees")
    assert all(ANOTHER_EACH in f.rule for f in findings if f.verdict != "agrees" and f.quantity != "jvp")
    assert found.outliers == []
    assert all(each.consistent for each in found.own)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_float32_leak_is_not_excused_by_the_floor_that_it_makes(count: int) -> None:
    found, findings = compared(4, backends(Simulated(narrow=True), count))
    name = f"backend{count - 1}"
    assert {f.backend for f in findings if f.verdict != "agrees"} == {name}
    assert {f.quantity for f in findings if f.verdict != "agrees"} == {"loss", "gradient", "jvp"}
    assert [(o.backend, o.kind) for o in found.outliers] == [(name, "precision")]


def test_one_of_two_that_is_known_to_leak_is_the_one_and_its_loss_is_no_other_function() -> None:
    given = {"a": answers(RIGHT, 4, 0, own=False), "b": answers(Simulated(weight=1 + 1e-7), 4, 1, own=False)}
    leak = "float32 leak: its answers scatter by 1e-07, as float32 rounds"
    directions = dict(block_directions(problem(4)[0], 4))
    found, findings = judge_pairwise(given, directions, dtype="float64", leaks={"b": {"loss": leak}})
    off = [f for f in findings if f.verdict != "agrees"]
    assert {f.backend for f in off} == {"b"}
    assert {f.block for f in off if f.cause == leak} == {"loss"}
    assert not any(ANOTHER_LOSS in f.rule or UNDECIDED in f.rule for f in off)
    assert [(o.backend, o.kind, o.finding) for o in found.outliers] == [("b", "precision", f"{leak} (in loss)")]


def test_a_majority_whose_gradient_their_own_losses_deny_has_no_vote() -> None:
    same_mistake = off(lambda v: 2 * v)
    found, findings = compared(4, {"a": same_mistake, "b": RIGHT, "c": same_mistake})
    assert bad(findings) == {("a", "gradient", M), ("c", "gradient", M)}
    assert {f.cause for f in findings if f.verdict != "agrees"} == {"factor 2"}
    assert {o.backend for o in found.outliers} == {"a", "c"}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_gradient_that_one_stops_is_a_question_and_not_its_mistake(count: int) -> None:
    found, findings = compared(4, backends(off(lambda v: 0 * v), count, at=1))
    assert {(f.backend, f.block, f.verdict) for f in findings if f.verdict != "agrees"} == {
        ("backend1", f"gradient {M}", "unresolved")
    }
    (rule,) = (f.rule for f in findings if f.verdict != "agrees")
    assert rule.startswith(f"backend1 stops the gradient at {M}, and backend0")
    assert rule.endswith("not: which is meant?")
    assert found.outliers == []
    assert found.stopped == ""


@pytest.mark.parametrize("count", [2, 3])
def test_a_gradient_that_all_stop_alike_is_a_convention_and_a_question(count: int) -> None:
    found, findings = compared(4, {f"backend{i}": off(lambda v: 0 * v) for i in range(count)})
    assert bad(findings) == set()
    assert found.outliers == []
    assert found.stopped == f"all {count} backends stop the gradient at {M}: intended?"


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.5, 1 / 12])
def test_a_factor_that_all_share_and_all_losses_deny_is_wrong_on_all(factor: float) -> None:
    mistake = Simulated({("gradient", name): lambda v: factor * v for name in (M, W)})
    found, findings = compared(4, {"a": mistake, "b": mistake})
    blocks = {("a", "gradient", M), ("b", "gradient", M), ("a", "gradient", W), ("b", "gradient", W)}
    assert bad(findings) == blocks
    assert all(f.rule.startswith(ANOTHER_RULE) for f in findings if f.verdict != "agrees")
    assert {o.kind for o in found.outliers} == {"gradient"}


def test_what_one_of_two_is_of_the_other_needs_no_culprit() -> None:
    seventh = Simulated(
        {(q, p): lambda v: v / 12 for q, p in (("gradient", M), ("gradient", W), ("loss", ""), ("jvp", ""))}
    )
    found, findings = compared(4, {"jax": RIGHT, "torch": seventh}, own=False)
    assert found.relation == "torch is 1/12 of jax's (12 is also rows of X) in every block"
    assert {f.cause for f in findings if f.backend == "jax"} == {"12 times torch's (12 is also rows of X)"}
    turned, _ = compared(4, {"jax": RIGHT, "torch": off(lambda v: -v)}, own=False)
    assert turned.relation == f"torch: sign, against jax's, in gradient {M}"
    transposed, _ = compared(4, {"jax": RIGHT, "torch": off(lambda v: v.T.reshape(v.shape))}, own=False)
    assert transposed.relation == f"torch: transposed, against jax's, in gradient {M}"


def test_one_that_is_far_off_is_said_to_be_it_where_the_others_differ_by_little() -> None:
    slightly, far = off(lambda v: v * (1 + 1e-13)), off(lambda v: v + np.arange(12.0).reshape(v.shape))
    _, findings = compared(4, {"a": RIGHT, "b": slightly, "c": far}, own=False)
    rules = {f.backend: f.rule for f in findings if f.block == f"gradient {M}"}
    assert rules["c"].startswith("pairwise: far from a and b, which are closer to each other")
    assert "c is the one far off" in rules["a"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("count", [2, 3])
def test_a_number_that_is_not_finite_agrees_with_nothing_not_even_itself(value: float, count: int) -> None:
    broken = off(lambda v: np.full_like(v, value))
    _, findings = compared(4, backends(broken, count))
    assert {(f.backend, f.verdict) for f in findings if f.verdict != "agrees"} == {(f"backend{count - 1}", "nonfinite")}
    _, both = compared(4, {"a": broken, "b": broken})
    assert {(f.backend, f.verdict) for f in both if f.parameter == M} == {("a", "nonfinite"), ("b", "nonfinite")}


@pytest.mark.parametrize("count", [2, 3])
def test_a_block_of_another_shape_or_dtype_is_off_by_itself(count: int) -> None:
    for change, words, cause in (
        (lambda v: v.T.copy(), "shape (4, 3), expected (3, 4)", "transposed"),
        (
            lambda v: v.astype(np.float32),
            "dtype float32, expected float64",
            "float32 leak: every entry is a float32 number",
        ),
    ):
        _, findings = compared(4, backends(off(change), count))
        assert bad(findings) == {(f"backend{count - 1}", "gradient", M)}
        (found,) = (f for f in findings if f.verdict != "agrees")
        assert words in found.rule
        assert found.cause == cause


def test_a_block_that_is_missing_is_off() -> None:
    given = {name: answers(RIGHT, 4, i) for i, name in enumerate("abc")}
    del given["c"].values["gradient"][M]
    _, findings = judge_pairwise(given, dict(block_directions(problem(4)[0], 4)), dtype="float64")
    assert bad(findings) == {("c", "gradient", M)}


def test_an_even_split_has_no_majority() -> None:
    twice = off(lambda v: 2 * v)
    _, findings = compared(4, {"a": RIGHT, "b": twice, "c": RIGHT, "d": twice}, own=False)
    assert bad(findings) == {(name, "gradient", M) for name in "abcd"}
    assert all(UNDECIDED in f.rule for f in findings if f.verdict != "agrees")


@pytest.mark.slow
def test_a_seeded_campaign_of_right_backends_stays_well_within_the_floors() -> None:
    worst = 0.0
    for seed in range(150):
        found, findings = compared(seed, backends(RIGHT, (2, 3, 5)[seed % 3]), own=seed % 5 == 0)
        assert bad(findings) == set()
        assert found.outliers == []
        assert all(each.consistent is not False for each in found.own)
        worst = max(worst, *(value or 0 for block in found.matrix for row in block.floors for value in row))
    assert worst < AGREES_FLOORS / 2


def test_the_matrix_is_symmetric_and_survives_the_journey_through_json() -> None:
    found, _ = compared(4, backends(off(lambda v: v * np.nan), 3))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Pairwise) == found
    for block in found.matrix:
        assert [list(column) for column in zip(*block.floors, strict=True)] == block.floors
    broken = next(b for b in found.matrix if (b.quantity, b.parameter) == ("gradient", M))
    assert broken.floors[2][0] is None
    assert broken.agreeing == ["backend0", "backend1"]


def test_nothing_that_is_pairwise_calls_itself_certified() -> None:
    _, findings = compared(4, backends(off(lambda v: 2 * v), 3))
    assert all("pairwise" in f.rule for f in findings)
    assert not any("truth" in f.rule or "certified" in f.rule for f in findings)


def test_a_single_backend_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="two or more"):
        judge_pairwise({"a": answers(RIGHT, 4, 0)}, {}, dtype="float64")


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        ({"ab": 1, "ac": 1, "bc": 1}, "abc"),
        ({"ab": 1, "ac": 9, "bc": 9}, "ab"),
        ({"ab": 1, "ac": 9, "bc": 1}, "b"),  # both a and c agree with b
        ({"ab": 9, "ac": 9, "bc": 9}, ""),
        ({"ab": 1, "ac": 9, "ad": 9, "bc": 9, "bd": 9, "cd": 1}, ""),  # two and two
        ({"ab": 9}, ""),
        ({"ab": 8}, "ab"),
    ],
)
def test_the_majority_is_the_largest_set_that_agrees_with_itself(apart: dict[str, float], expected: str) -> None:
    names = sorted(set("".join(apart)))
    both = {pair: value for (a, b), value in apart.items() for pair in ((a, b), (b, a))}
    assert majority(names, both, 8) == list(expected)


def test_a_floor_far_above_the_others_is_believed_up_to_what_long_sums_make() -> None:
    ones = np.ones(3, np.longdouble)
    found = believed({"a": ones, "b": 1000 * ones, "c": 2.0**29 * ones})
    assert np.array_equal(found["b"], 1000 * ones)
    assert np.allclose(found["c"].astype(float), 1000 * LOWER_PRECISION)
    assert np.array_equal(believed({"a": 0 * ones, "b": ones})["b"], ones)  # an exact zero is no measure of the other


@pytest.mark.parametrize(("off", "consistent"), [(6.1e-14, True), (1e-10, False)])
def test_an_extrapolated_derivative_is_not_believed_beyond_the_roundings_of_the_product(
    off: float, consistent: bool
) -> None:
    # As an ELU's second derivative near its jump was extrapolated: -0.06 to within 5.3e-16, and off by 6.1e-14.
    values = np.array([0.15, -0.21])
    key = ("hvp", "W")
    block = BlockAnswers(key, {"jax": values}, {"jax": np.full(2, 1e-16, np.longdouble)}, "float64")
    own = Derivative("smooth", float(values.sum()) + off, 5.3e-16, 8e-18, math.nan, math.nan, math.nan, 20)
    found = own_derivative("jax", "W", block, np.ones(2), own, "hvp")
    assert found.consistent is consistent
