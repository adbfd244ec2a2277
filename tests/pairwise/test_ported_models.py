"""autograd, JAX and PyTorch on one model that each has in its own words, with and without a port that is wrong."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from gradparity.judge.consensus import ANOTHER_LOSS, ANOTHER_RULE, judge_pairwise
from gradparity.judge.own import Answers
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.numerics.richardson import block_directions
from gradparity.results import Finding, Pairwise
from tests.conftest import configured
from tests.pairwise.ported import answers_of, autograd_loss, jax_loss, problem, torch_loss

LOSSES: dict[str, Any] = {"autograd": autograd_loss, "jax": jax_loss, "torch": torch_loss}
SIZES = {"rows of X": 30}


@cache
def answers(name: str, mistake: Any = None, dtype: str = "float64", seed: int = 0) -> Answers:
    loss = LOSSES[name]() if mistake is None else LOSSES[name](mistake)
    return answers_of(configured(name), loss, dtype, seed)


def compared(*names: str, dtype: str = "float64", seed: int = 0, **mistakes: Any) -> tuple[Pairwise, list[Finding]]:
    given = {name: answers(name, mistakes.get(name), dtype, seed) for name in names}
    directions = dict(block_directions(problem(dtype, seed)[0], seed))
    return judge_pairwise(given, directions, dtype=dtype, sizes=SIZES)


def bad(findings: list[Finding]) -> dict[tuple[str, str, str], str]:
    return {(f.backend, f.quantity, f.parameter): f.cause for f in findings if f.verdict != "agrees"}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(2))
def test_three_right_ports_agree_with_each_other_and_each_with_its_own_loss(dtype: str, seed: int) -> None:
    found, findings = compared("autograd", "jax", "torch", dtype=dtype, seed=seed)
    assert bad(findings) == {}
    assert len(findings) == 3 * (1 + 4 + 1 + 4)
    assert found.outliers == []
    assert all(each.consistent for each in found.own)
    assert max(value or 0 for b in found.matrix for row in b.floors for value in row) < AGREES_FLOORS / 2


@pytest.mark.parametrize("others", [("autograd", "jax"), ("jax",)])
def test_a_detached_path_in_torch_is_a_gradient_that_is_not_that_of_its_loss(others: tuple[str, ...]) -> None:
    found, findings = compared(*others, "torch", torch="detached")
    off = bad(findings)
    assert ("torch", "gradient", "layers.0.W") in off
    (outlier,) = found.outliers
    assert (outlier.backend, outlier.kind) == ("torch", "gradient")
    assert outlier.finding == f"{ANOTHER_RULE}, in layers.0.W"
    if len(others) == 2:
        assert {backend for backend, _, _ in off} == {"torch"}


def test_a_sum_for_a_mean_is_another_loss_and_its_factor_is_named() -> None:
    found, findings = compared("autograd", "jax", "torch", torch="sum")
    assert {backend for backend, _, _ in bad(findings)} == {"torch"}
    causes = bad(findings)
    assert causes["torch", "gradient", "layers.1.W"] == "30 times the median (30 is also rows of X)"
    assert causes["torch", "hvp", "layers.1.b"] == "30 times the median (30 is also rows of X)"
    assert causes["torch", "gradient", "layers.0.W"] == ""  # the penalty is not summed
    assert [(o.backend, o.kind) for o in found.outliers] == [("torch", "loss")]
    assert all(f.rule.startswith(ANOTHER_LOSS) for f in findings if f.verdict != "agrees")


def test_a_missing_penalty_is_another_loss_and_leaves_the_other_blocks_alone() -> None:
    found, findings = compared("autograd", "jax", "torch", torch="penalty")
    blocks = {(quantity, parameter) for _, quantity, parameter in bad(findings)}
    assert blocks == {("loss", ""), ("gradient", "layers.0.W"), ("jvp", ""), ("hvp", "layers.0.W")}
    assert [(o.backend, o.kind) for o in found.outliers] == [("torch", "loss")]


@pytest.mark.parametrize("error", [1e-3, 1e-6, 1e-9])
def test_a_rule_of_jax_that_is_off_by_little_is_denied_by_its_own_loss(error: float) -> None:
    found, findings = compared("autograd", "jax", "torch", jax=1 + error)
    assert {backend for backend, _, _ in bad(findings)} == {"jax"}
    (outlier,) = found.outliers
    assert (outlier.backend, outlier.kind) == ("jax", "gradient")
    alone, _ = compared("jax", "torch", jax=1 + error)
    assert [(o.backend, o.kind) for o in alone.outliers] == [("jax", "gradient")]


def test_another_activation_in_autograd_is_another_loss() -> None:
    found, findings = compared("autograd", "jax", "torch", autograd="softsign")
    assert {backend for backend, _, _ in bad(findings)} == {"autograd"}
    assert [(o.backend, o.kind) for o in found.outliers] == [("autograd", "loss")]
    assert all(each.consistent for each in found.own)


def test_a_cast_to_float32_in_torch_is_found_and_not_excused() -> None:
    found, findings = compared("autograd", "jax", "torch", torch="float32")
    assert {backend for backend, _, _ in bad(findings)} == {"torch"}
    assert [o.backend for o in found.outliers] == ["torch"]
