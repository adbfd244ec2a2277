"""A neutral loss that is no function of its arguments has no truth: it is refused in a line, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

import gradparity
from gradparity.model_spec.errors import InputError
from tests.conftest import Command
from tests.user_model.models import model_file, model_folder

HEAD = """import time
import functools
import numpy as np

def parameters(rng):
    return {"w": rng.standard_normal(3)}

def data(rng):
    return {"X": rng.standard_normal((6, 3)), "y": rng.standard_normal(6)}

"""

IMPURE = {
    "draws": """rng = np.random.default_rng()

def loss(params, data, xp):
    return xp.sum((data["X"] @ params["w"] - data["y"] + rng.standard_normal(6)) ** 2)
""",
    "legacy generator": """
def loss(params, data, xp):
    mask = np.random.random(6) < 0.5
    return xp.sum(xp.where(mask, data["X"] @ params["w"], data["y"]) ** 2)
""",
    "counts": """calls = [0]

def loss(params, data, xp):
    calls[0] += 1
    return calls[0] * xp.sum((data["X"] @ params["w"] - data["y"]) ** 2)
""",
    "another at every third call": """calls = [0]

def loss(params, data, xp):
    calls[0] += 1
    return (2 if calls[0] % 3 == 0 else 1) * xp.sum((data["X"] @ params["w"] - data["y"]) ** 2)
""",
    "another from the fifth call on": """calls = []

def loss(params, data, xp):
    calls.append(1)
    return (1 if len(calls) < 5 else 2) * xp.sum((data["X"] @ params["w"] - data["y"]) ** 2)
""",
    "running mean": """state = {"mean": 0.0}

def loss(params, data, xp):
    z = data["X"] @ params["w"]
    state["mean"] = 0.9 * state["mean"] + 0.1 * xp.mean(z)
    return xp.sum((z - state["mean"] - data["y"]) ** 2)
""",
    "reads the clock": """
def loss(params, data, xp):
    return (1 + 1e-9 * time.time()) * xp.sum((data["X"] @ params["w"] - data["y"]) ** 2)
""",
    "keeps what it made of data": """kept = {}

def loss(params, data, xp):
    if "gram" not in kept:
        kept["gram"] = data["X"].T @ data["X"]
    return xp.sum(params["w"] * (kept["gram"] @ params["w"]))
""",
    "keeps what it made of parameters": """kept = {}

def loss(params, data, xp):
    if "scale" not in kept:
        kept["scale"] = xp.exp(params["w"])
    return xp.sum(kept["scale"] * params["w"])
""",
    "keeps its last residual": """last = [0.0]

def loss(params, data, xp):
    r = data["X"] @ params["w"] - data["y"]
    value = xp.sum(r * r) + xp.sum(r * last[0])
    last[0] = r
    return value
""",
}

PURE = {
    "a table that is made once": """@functools.lru_cache
def table(n):
    return 1.0 + np.arange(n)

def loss(params, data, xp):
    return xp.sum((data["X"] @ (params["w"] * table(3)) - data["y"]) ** 2)
""",
    "a seed of its own": """
def loss(params, data, xp):
    noise = np.random.default_rng(3).standard_normal(6)
    return xp.sum((data["X"] @ params["w"] - data["y"] + noise) ** 2)
""",
    "a log that nobody reads": """seen = []

def loss(params, data, xp):
    z = data["X"] @ params["w"]
    seen.append(z)
    return xp.sum((z - data["y"]) ** 2)
""",
    "its own dictionary changed": """
def loss(params, data, xp):
    data["y"] = data["y"] - 1.0
    return xp.sum((data["X"] @ params["w"] - data["y"]) ** 2)
""",
    "no finite value": """
def loss(params, data, xp):
    return xp.sum(xp.log(0.0 * data["y"])) + xp.sum(params["w"])
""",
}


@pytest.mark.parametrize("which", IMPURE)
def test_it_is_said_to_be_impure_with_its_line(tmp_path: Path, which: str):
    path = model_file(tmp_path, HEAD + IMPURE[which])
    line = 1 + (HEAD + IMPURE[which]).splitlines().index("def loss(params, data, xp):")
    with pytest.raises(InputError, match=rf"model\.py, line {line}: loss: got an impure loss: .*nothing from one call"):
        gradparity.check(path, backends=["autograd"], steps=2)


@pytest.mark.parametrize("which", PURE)
def test_a_loss_that_gives_the_same_for_the_same_arguments_is_not(tmp_path: Path, which: str):
    result = gradparity.check(model_file(tmp_path, HEAD + PURE[which]), backends=["autograd"], steps=2)
    assert not result.troubles
    assert {each.verdict for each in result.problems[0].findings} & {"agrees", "nonfinite", "unresolved"}


def test_the_command_ends_with_2_and_one_line(tmp_path: Path, command: Command):
    path = model_file(tmp_path, HEAD + IMPURE["counts"])
    code, out, err = command("check", path, "--backends", "autograd", "--out", str(tmp_path / "out"))
    assert code == 2
    assert "Traceback" not in out + err
    said = err.splitlines()[-1]
    assert "at one call and" in said
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize("share, verdict", [("2.0**-50", "nondeterministic"), ("1e-6", "impure")])
def test_a_port_that_differs_by_roundings_is_said_to_round_and_not_to_keep_state(
    tmp_path: Path, share: str, verdict: str
):
    neutral = "\ndef loss(params, data, xp):\n    return xp.sum((data['X'] @ params['w'] - data['y']) ** 2)\n"
    port = f"""
import autograd.numpy as anp
calls = [0]

def loss(params, data):
    calls[0] += 1
    return (1 + calls[0] % 2 * {share}) * anp.sum((data["X"] @ params["w"] - data["y"]) ** 2)
"""
    folder = model_folder(tmp_path / "m", HEAD + neutral, autograd=port)
    (problem,) = gradparity.check(folder, backends=["autograd"], steps=2).problems
    assert {each.verdict for each in problem.findings} == {verdict}
    assert all(("rounds in another order" in each.rule) == (verdict == "nondeterministic") for each in problem.findings)


ONCE = """calls = []

def loss(params, data, xp):
    return xp.sum((data["X"] @ params["w"] - data["y"]) ** 2)

def loss_autograd(params, data):
    import autograd.numpy as anp
    calls.append(1)
    return (2 if len(calls) == 1 else 1) * anp.sum((anp.dot(data["X"], params["w"]) - data["y"]) ** 2)

def gradient_numpy(params, data):
    calls.append(1)
    return {"w": (3 if len(calls) == 1 else 2) * data["X"].T @ (data["X"] @ params["w"] - data["y"])}
"""


def test_a_port_or_a_gradient_by_hand_that_is_another_at_its_first_call_is_impure(tmp_path: Path):
    result = gradparity.check(model_file(tmp_path, HEAD + ONCE), backends=["autograd", "numpy"], steps=2)
    (problem,) = result.problems
    for name, block in (("autograd", "loss"), ("numpy", "gradient w")):
        mine = [each for each in problem.findings if each.backend == name]
        assert {each.verdict for each in mine} == {"impure"}
        assert all(each.rule.startswith(f"{block} differed by up to ") for each in mine)
        assert all("between call 1 and call 6 with the same arguments" in each.rule for each in mine)
