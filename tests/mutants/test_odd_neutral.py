"""Ports that agree with each other and not with the neutral loss: then it is the odd one, and only then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.judge.neutral import diagnosis, odd_neutral, with_odd_neutral
from gradparity.judge.verdicts import judge_values
from gradparity.truth.reference import Reference

KEYS = {("loss", ""): np.longdouble(3.0), ("gradient", "w"): np.array([1.0, -2.0, 0.5], np.longdouble)}
NEUTRAL = Reference(
    {key: np.asarray(value) for key, value in KEYS.items()},
    {key: np.full(np.shape(value), 1e-16, np.longdouble) for key, value in KEYS.items()},
    "by hand",
)


#: The losses that backends run, by name.
PORTS = {"jax": "jax", "torch": "torch"}


def port(loss: float = 1.0, gradient: float = 1.0, off: float = 0.0) -> Any:
    """The neutral values, times a factor; the gradient off by a little."""
    return {
        "loss": {"": np.asarray(3.0 * loss)},
        "gradient": {"w": np.array([1.0, -2.0, 0.5]) * gradient + off},
    }


@pytest.mark.parametrize("factor", [12.0, 1 / 12, -1.0, 1.001])
def test_two_ports_of_one_other_loss_make_the_neutral_loss_the_odd_one(factor: float) -> None:
    values = {"jax": port(factor, factor), "torch": port(factor, factor, 1e-16 * factor)}
    assert odd_neutral(PORTS, values, NEUTRAL) == ["jax", "torch"]
    findings = [f for name in values for f in judge_values(name, values[name], NEUTRAL, "float64")]
    said = with_odd_neutral(findings, ["jax", "torch"])
    assert {each.verdict for each in said} == {"wrong"}
    assert all(each.rule.startswith("the neutral loss differs from jax and torch") for each in said)
    assert "2 ports (jax and torch) agree with each other" in diagnosis(["jax", "torch"]).finding


@pytest.mark.parametrize(
    ("jax", "torch"),
    [
        (port(), port()),  # all is right
        (port(1.0, 2.0), port(1.0, 2.0)),  # the loss is the neutral one: a wrong gradient, or a stop, of both
        (port(2.0, 2.0), port(3.0, 3.0)),  # two mistakes
        (port(2.0, 2.0), port(2.0, 2.0, 1e-9)),  # their gradients differ
        (port(), port(2.0, 2.0)),  # one has the neutral loss
    ],
)
def test_anything_less_is_no_reason_to_blame_it(jax: Any, torch: Any) -> None:
    assert odd_neutral(PORTS, {"jax": jax, "torch": torch}, NEUTRAL) == []


def test_a_backend_that_runs_the_neutral_loss_is_no_port() -> None:
    values = {"jax": port(2.0, 2.0), "torch": port(2.0, 2.0)}
    assert odd_neutral({"torch": "torch"}, values, NEUTRAL) == []


def test_two_backends_of_one_port_are_one_witness() -> None:
    values = {"torch": port(2.0, 2.0), "torch-compile": port(2.0, 2.0)}
    assert odd_neutral(dict.fromkeys(values, "torch"), values, NEUTRAL) == []
    values["jax"] = port(2.0, 2.0)
    assert odd_neutral({**dict.fromkeys(values, "torch"), "jax": "jax"}, values, NEUTRAL) == sorted(values)


def test_losses_rounded_to_one_other_dtype_do_not_make_it_the_odd_one() -> None:
    values = {name: {**port(), "loss": {"": np.asarray(3.001, np.float16)}} for name in PORTS}
    assert odd_neutral(PORTS, values, NEUTRAL) == []
