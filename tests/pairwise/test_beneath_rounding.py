"""Without a truth, what differs beneath a rounding of larger derivatives is no agreement where it is no rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.judge.consensus import judge_pairwise
from gradparity.judge.own import Answers

LARGE, EXP = np.array([2e16, 4e16]), np.exp([0.25, -0.5, 0.75])


def answers(small: Any, scatter: float = 2.0**-53) -> Answers:
    """A gradient of two blocks, of which the small one moves by a share of itself at moved inputs."""
    gradient = {"big": LARGE, "small": np.asarray(small)}
    floors = {
        ("gradient", name): np.asarray(share * np.abs(value), np.longdouble)
        for (name, value), share in zip(gradient.items(), (2.0**-53, scatter), strict=True)
    }
    return Answers({"gradient": gradient}, floors, {})


def verdicts(*of: Answers) -> dict[tuple[str, str], str]:
    names = "abc"[: len(of)]
    _, found = judge_pairwise(dict(zip(names, of, strict=True)), {}, dtype="float64")
    return {(each.backend, each.parameter): each.verdict for each in found}


def test_two_that_differ_by_a_factor_are_unresolved_and_a_majority_is_not() -> None:
    right, wrong = answers(EXP), answers(2 * EXP)
    found = verdicts(right, wrong)
    assert found["a", "small"] == found["b", "small"] == "unresolved"
    assert found["a", "big"] == found["b", "big"] == "agrees"
    found = verdicts(right, wrong, answers(EXP * (1 + 2.0**-52)))
    assert [found[each, "small"] for each in "abc"] == ["agrees", "unresolved", "agrees"]


@pytest.mark.parametrize("other", [answers(np.zeros(3)), answers(1.5 * EXP, scatter=1.0), answers(EXP * (1 + 1e-5))])
def test_a_zero_what_scatters_and_what_nobody_sees_agree(other: Answers) -> None:
    assert set(verdicts(answers(EXP), other).values()) == {"agrees"}
