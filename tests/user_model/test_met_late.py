"""What is met only once the truth leaves the parameters: on another branch, on the way of a training, at real values.

The loss has its value where the user asks for it, so nobody's input is at fault: backends are compared all the same.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import gradparity
from gradparity.results import RunResult
from tests.user_model.models import model_file

HEAD = """import os
import numpy as np

def parameters(rng):
    return {{"p": np.array({p})}}

def data(rng):
    return {{"x": np.array([{x}, 1.0])}}

def loss(params, data, xp):
    p = params["p"]
"""
BRANCH = "    if p[0] {where}:\n        {there}\n    return xp.sum({loss})\n"
SLOW = partial(pytest.param, marks=pytest.mark.slow)
#: What a loss may do on a branch that is not its parameters': have no certified form, raise, return no scalar, end.
THERE = {
    "has no certified form": ("return xp.sum(p) if xp.fmod else None", "fmod has no certified form (model.py, "),
    "raises": ('raise ValueError("out of range")', "ValueError: out of range"),
    "is no scalar": ("return p", "shape (2,)"),
    "ends the process": ("os._exit(3)", "exited with code 3"),
}


def check(tmp_path: Path, p: list[float], text: str, *backends: str, x: str = "2.0") -> RunResult:
    path = model_file(tmp_path, HEAD.format(p=p, x=x) + text)
    return gradparity.check(path, backends=list(backends), steps=20)


def said(result: RunResult) -> dict[str, str]:
    return {each.name: each.finding for problem in result.problems for each in problem.diagnoses}


@pytest.mark.parametrize("there", [SLOW(each) if each != "raises" else each for each in THERE])
def test_what_only_a_training_reaches_leaves_its_reference_out_and_nothing_else(tmp_path: Path, there: str):
    line, reason = THERE[there]
    result = check(tmp_path, [0.5, 2.0], BRANCH.format(where="< 0.45", there=line, loss="p * p"), "autograd")
    assert reason in said(result)["no reference run"].replace(str(tmp_path) + "/", "")
    assert not result.problems[0].training
    assert not result.problems[0].troubles
    assert {each.verdict for each in result.problems[0].findings} == {"agrees"}
    assert "certified in ball arithmetic" in result.problems[0].truth


@pytest.mark.slow
@pytest.mark.parametrize("there", [SLOW("has no certified form"), "raises"])
def test_what_only_the_other_side_of_a_tie_reaches_leaves_backends_held_against_each_other(tmp_path: Path, there: str):
    line, reason = THERE[there]
    result = check(tmp_path, [0.0, 2.0], BRANCH.format(where="> 0", there=line, loss="p"), "autograd", "torch")
    assert reason in said(result)["no certified truth"].replace(str(tmp_path) + "/", "")
    assert not result.problems[0].troubles
    assert {each.verdict for each in result.problems[0].findings} == {"agrees"}
    assert {each.backend for each in result.problems[0].findings} == {"autograd", "torch"}
    assert ("the loss raises on torch" in said(result)) == (there == "raises")


@pytest.mark.slow
@pytest.mark.parametrize("reduced", ["xp.nansum(p * data['x'])", "xp.sum(xp.nan_to_num(p * data['x']))"])
def test_what_the_values_alone_bring_is_no_traceback(tmp_path: Path, reduced: str):
    result = check(tmp_path, [0.5, 2.0], f"    return {reduced}\n", "autograd", "torch", x="np.nan")
    assert "leaving out nan" in said(result)["no certified truth"]
    assert result.problems[0].pairwise is not None
    assert {each.backend for each in result.problems[0].findings} == {"autograd", "torch"}


@pytest.mark.slow
def test_a_backend_that_is_cut_off_in_its_second_order_is_compared_in_the_first_by_another_process(tmp_path: Path):
    text = HEAD.format(p=[0.5, 2.0], x="2.0").replace("def loss(params, data, xp):", "def loss_autograd(params, data):")
    text += """    import time, autograd.numpy as anp
    if not calls:  # a first call that takes long is asked for its second order apart
        calls.append(time.sleep(1.1))
    if hasattr(getattr(p, "_value", None), "_value"):  # differentiated twice
        time.sleep(600)
    return anp.sum(anp.tanh(p))

calls = []

def loss_torch(params, data):
    return params["p"].tanh().sum()
"""
    result = gradparity.check(model_file(tmp_path, text), backends=["autograd", "torch"], budget=30.0)
    (left,) = (each for each in result.problems[0].left_out if each != "the lines at which they diverge")
    assert left.startswith("autograd: cut off in evaluation of the HVP, HVP is not compared")
    lacking = {each.quantity for each in result.problems[0].not_given if each.backend == "autograd"}
    assert lacking == {"jvp"}  # the noise of one is that of another process, which is asked for none
    assert {(each.backend, each.quantity, each.verdict) for each in result.problems[0].findings} >= {
        (name, quantity, "agrees") for name in ("autograd", "torch") for quantity in ("loss", "gradient")
    }
