"""Taps of a user's model through the whole harness: asked only where something is off, and then they say where."""

from __future__ import annotations

from pathlib import Path

import pytest

import gradparity
from tests.user_model.models import model_folder

HEAD = """
from gradparity import tap

def parameters(rng):
    return {"w": rng.standard_normal(3), "v": rng.standard_normal(3)}

def data(rng):
    return {"X": rng.standard_normal((6, 3))}
"""

NEUTRAL = """
def loss(params, data, xp):
    hidden = tap("hidden", xp.tanh(data["X"] * params["w"]))
    return xp.sum(tap("out", hidden @ params["v"]) ** 2)
"""

PORT = """
import numpy
import autograd.numpy as np
from autograd.extend import defvjp, primitive
from gradparity import tap

@primitive
def tanh(x):
    return numpy.tanh(x)

defvjp(tanh, lambda y, x: lambda g: {slope})

def loss(params, data):
    hidden = tap("hidden", tanh(data["X"] * params["w"]){more})
    return np.sum(tap("out", np.dot(hidden, params["v"])) ** 2)
"""


def checked(tmp_path: Path, slope: str, more: str = "") -> gradparity.results.RunResult:
    path = model_folder(tmp_path / "m", HEAD + NEUTRAL, autograd=PORT.format(slope=slope, more=more))
    return gradparity.check(path, backends=["autograd", "torch"], steps=2)


def test_a_value_that_is_off_is_named_by_the_first_tap_that_has_it(tmp_path: Path):
    (problem,) = checked(tmp_path, "g * (1 - y * y)", " + 1e-6").problems
    first = problem.divergences.found[0]
    assert (first.direction, first.tap, first.backend, first.against) == ("forward", "hidden", "autograd", ["torch"])
    assert abs(first.got - first.expected - 1e-6) < 1e-15
    off = [f for f in problem.findings if f.backend == "autograd" and f.verdict == "wrong"]
    assert "diverges at `hidden` (forward)" in {f.cause for f in off}
    assert all(f.verdict == "agrees" for f in problem.findings if f.backend == "torch")


@pytest.mark.slow
def test_a_wrong_rule_after_the_last_tap_parts_nowhere_and_where_all_is_right_nobody_is_asked(tmp_path: Path):
    (off,) = checked(tmp_path / "off", "g * (1 - y * y) * 1.001").problems
    assert {f.verdict for f in off.findings if f.backend == "autograd" and f.quantity == "gradient"} == {
        "agrees",  # in v, which the rule has no part in
        "wrong",
    }
    assert off.divergences.taps == 2
    assert off.divergences.found == []  # the cotangents at both taps are right: the rule is below the first
    (right,) = checked(tmp_path / "right", "g * (1 - y * y)").problems
    assert all(f.verdict == "agrees" for f in right.findings)
    assert right.divergences is None
