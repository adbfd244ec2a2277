"""The rule of a run is named by what it does: torch.optim's and optax's own steps, with their hyperparameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.numerics.update_rules import Identified, Rule, identify, steps
from tests.update_rules.cases import OPTAX, TORCH, Case, is_named, marked
from tests.update_rules.runs import optax_run, torch_run

torch = pytest.importorskip("torch")
optax = pytest.importorskip("optax")

O = torch.optim  # noqa: E741


@pytest.mark.parametrize("case", marked(TORCH))
def test_torch_s_rule_is_named_with_its_numbers(case: Case) -> None:
    path, gradients = torch_run(case[0], "float64")
    rule = is_named(identify(path, gradients, "float64"), case)
    taken = steps(rule, {name: p[0] for name, p in path.items()}, _by_step(gradients))
    for name, p in path.items():
        assert np.array([each[name] for each in taken], float) == pytest.approx(p, rel=1e-10, abs=1e-12)


@pytest.mark.variation
@pytest.mark.parametrize("case", marked(OPTAX))
def test_optax_s_rule_is_named_with_its_numbers(case: Case) -> None:
    is_named(identify(*optax_run(case[0](), "float64"), "float64"), case)


def _by_step(gradients: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: g[t] for name, g in gradients.items()} for t in range(len(gradients["w"]))]


def in_single(found: Identified, case: Case) -> None:
    """What float32 shows of a rule: its method, and ranges that hold the numbers."""
    _, name, rate, numbers, form = case
    (group,) = found.groups
    assert group.rule is not None, group.why
    candidates = [rule for rule in (group.rule, *group.rivals) if rule.name == name]
    assert candidates, str(group)
    assert any(_allows(rule, rate, numbers, form) for rule in candidates), str(group)


def _allows(rule: Rule, rate: float, numbers: dict[str, float], form: dict[str, Any]) -> bool:
    if rule.learning_rate != pytest.approx([rate], rel=1e-3 + rule.precision):
        return False
    for number, value in numbers.items():
        low, high = rule.ranges.get(number, (0.0, 0.0))
        if number in ("eps", "initial_accumulator_value") and rule.form.eps == "none":
            continue  # not seen
        if not low - 1e-6 * abs(value) <= value <= high + 1e-6 * abs(value):
            return False
    return all(getattr(rule.form, k) == v or (k == "eps" and rule.form.eps == "none") for k, v in form.items())


@pytest.mark.variation
@pytest.mark.parametrize("case", marked(TORCH, frozenset({"momentum"})))
def test_float32_shows_torch_s_rule_as_far_as_it_can(case: Case) -> None:
    in_single(identify(*torch_run(case[0], "float32"), "float32"), case)


@pytest.mark.variation
@pytest.mark.parametrize("case", marked(OPTAX, frozenset()))
def test_float32_shows_optax_s_rule_as_far_as_it_can(case: Case) -> None:
    in_single(identify(*optax_run(case[0](), "float32"), "float32"), case)
