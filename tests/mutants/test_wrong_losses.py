"""Losses and rules with a mistake in them, differentiated by each framework: found, and named where there is a name."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from gradparity.results import Finding
from tests.conftest import configured
from tests.mutants.harness import LOSS, Key, assert_found, op_by_op, verdicts
from tests.mutants.losses import MISTAKES, NAIVE, RIGHT, Mistake, loss_of
from tests.mutants.problems import problem_of


def found_on(name: str, mistake: Mistake, problem: str) -> dict[Key, Finding]:
    loss = loss_of(name, mistake, problem_of(problem)[0].spec)
    with nullcontext() if mistake.often else op_by_op(name):
        return verdicts(name, problem, loss, configured(name).program(loss))


@pytest.mark.slow
@pytest.mark.parametrize("problem", RIGHT.problems)
def test_the_loss_that_the_mistakes_are_made_in_is_right_without_them(name: str, problem: str) -> None:
    configured(name)
    assert_found(found_on(name, RIGHT, problem), {})


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_loss_is_found_and_named(name: str, mistake: str) -> None:
    configured(name)
    for problem in MISTAKES[mistake].problems:
        assert_found(found_on(name, MISTAKES[mistake], problem), MISTAKES[mistake].expected)


def test_a_naive_log_at_extreme_logits_is_not_finite_and_told_why(name: str) -> None:
    configured(name)
    found = found_on(name, NAIVE, "extreme")
    assert found[LOSS].verdict == "nonfinite"
    assert found[LOSS].cause == "logits reach 800, where a naive log(1 - p) is log(0): use a stable softplus"
    # Where a framework differentiates the formula, every derivative goes the same way.
    others = {finding.verdict for block, finding in found.items() if block != LOSS}
    assert others == ({"agrees"} if name == "numpy" else {"nonfinite"})
