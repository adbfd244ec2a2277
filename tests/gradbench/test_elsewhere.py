"""Tools of GradBench that keep something of an earlier question, or are wrong at some points only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradparity.backends.gradbench import EVALS, path_of, wire_of
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from tests.conftest import Command
from tests.gradbench.programs import tool
from tests.gradbench.test_eval import evaluated

#: What a tool does in place of its answer, what is said of it, and of which blocks.
KEEPS = {
    "frozen": (
        "known = globals().setdefault('answers', {}).setdefault(message['function'], found)\n"
        "send(known | {'id': found['id']})",
        "asked at the values of seed {third}, it answers with the loss of seed {first}",
    ),
    "late": (
        "if gradient: found['output'], before = globals().get('before', slopes), slopes\nsend(found)",
        "asked at the values of seed {third}, it answers with the gradient x of seed {first}",
    ),
    # Both functions of one input share what it came to: each of them uses what the other has left, or its own.
    "gradient-of-before": (
        "kept = globals().setdefault('kept', [slopes])\nif gradient: found['output'] = kept[0]\n"
        "else: kept[0] = slopes\nsend(found)",
        "asked at the values of seed {third}, it answers with the gradient x of seed {first}",
    ),
    "loss-of-before": (
        "kept = globals().setdefault('kept', [primal])\nif not gradient: found['output'] = kept[0]\n"
        "else: kept[0] = primal\nsend(found)",
        "asked at the values of seed {second}, it answers with the loss of seed {third}",
    ),
    "full": (  # of what it keeps, it answers with all after four questions about others than the first
        "first = globals().setdefault('first', x)\nothers = globals().get('others', 0) + (x != first)\n"
        "if others == 4 and gradient: found['output'] = slopes[::-1]\nsend(found)",
        "asked again at the values of seed {first}, after those of {third} and {second}: gradient x differed by up to",
    ),
    "first": (
        "calls = globals().get('calls', 0) + gradient\n"
        "if gradient and calls == 1: found['output'] = [2 * each for each in slopes]\nsend(found)",
        "gradient x differed by up to",
    ),
    "shares": (
        "first = globals().setdefault('first', x)\nif gradient and x != first: found['output'] = terms\nsend(found)",
        "",
    ),
}


def test_what_a_tool_keeps_of_an_earlier_question_is_seen_in_each_of_its_processes(tmp_path: Path, command: Command):
    words = [word for name, (answer, _) in KEEPS.items() for word in ("--tool", tool(tmp_path, answer, name))]
    result = evaluated(command, tmp_path, "lse", *words, "--tool", tool(tmp_path), "--seed", "0,3", code=1)
    assert [each["seed"] for each in result["problems"]] == [0, 3]
    for problem in result["problems"]:  # each of another process of the tool
        first, found = problem["seed"], problem["findings"]
        assert {each["verdict"] for each in found if each["backend"] == "tool"} == {"agrees"}
        for name in (each for each in KEEPS if each != "shares"):
            mine = [each for each in found if each["backend"] == name]
            assert {each["verdict"] for each in mine} == {"impure"}
            said = KEEPS[name][1].format(first=first, second=first + 1, third=first + 2)
            assert all(each["rule"].startswith(said) for each in mine), mine[0]["rule"]
        mine = [each for each in found if each["backend"] == "shares"]
        assert [(each["quantity"], each["verdict"]) for each in mine if each["verdict"] != "agrees"] == [
            ("gradient", "wrong")
        ]


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        pytest.param(
            "if gradient and len(x) < 200: found['output'] = [2 * v for v in slopes]\nsend(found)",
            *(1, ["factor 2, at the values of seed 1"]),
            id="wrong",
        ),
        pytest.param(
            "if x != globals().setdefault('first', x): sys.exit('of one point')\nsend(found)",
            *(3, ["in evaluation at other points on lse.py: at the values of seed 2: ", ": of one point"]),
            id="dead",
        ),
        pytest.param(
            "if gradient: found['output'] = (slopes + [0.0] * 200)[:200]\nsend(found)",
            *(3, ["at the values of seed 1: the program's gradient: got shape (200,), expected (150,)"]),
            id="of one size",
        ),
    ],
)
def test_a_fault_at_another_point_is_said_to_be_there(
    tmp_path: Path, command: Command, answer: str, expected: int, words: list[str]
):
    more = ("--out", str(tmp_path / "out"))
    code, shown, err = command("gradbench", "eval", "lse", "--tool", tool(tmp_path, answer), *more)
    assert code == expected, shown + err
    for each in words:
        assert each in " ".join(shown.split())


@pytest.mark.slow
@pytest.mark.variation
def test_one_that_is_silent_at_another_point_until_the_budget_ends_is_said_not_to_be_compared_there(
    tmp_path: Path, command: Command
):
    answer = "if x != globals().setdefault('first', x): time.sleep(600)\nsend(found)"
    more = ("--budget", "30", "--out", str(tmp_path / "out"))
    code, shown, err = command("gradbench", "eval", "lse", "--tool", tool(tmp_path, answer), *more)
    assert code == 0, shown + err
    said = " ".join(shown.split())
    assert "tool agrees with the truth on lse.py; not compared: hvp and other points of tool." in said
    assert "Not compared, other points of tool: at the values of seed 2: the time budget ended" in said


def test_what_was_wrong_at_one_point_outlives_the_end_at_the_next(tmp_path: Path, command: Command):
    answer = (
        "elsewhere = x != globals().setdefault('first', x)\nif len(x) < 200: sys.exit('too few')\n"
        "if gradient and elsewhere: found['output'] = [2 * v for v in slopes]\nsend(found)"
    )
    result = evaluated(command, tmp_path, "lse", "--tool", tool(tmp_path, answer), code=1)
    found = {each["quantity"]: (each["verdict"], each["cause"]) for each in result["problems"][0]["findings"]}
    assert found["gradient"] == ("wrong", "factor 2, at the values of seed 2")
    assert found["loss"][0] == "agrees"
    (trouble,) = result["problems"][0]["troubles"]
    assert trouble["reason"].startswith("at the values of seed 1: ")
    assert trouble["reason"].endswith("too few")


def test_a_gradient_that_is_the_same_everywhere_since_it_is_wrong_everywhere_keeps_nothing(
    tmp_path: Path, command: Command
):
    answer = "if gradient: found['output'] = [0.0] * len(x)\nsend(found)"
    result = evaluated(command, tmp_path, "lse", "--tool", tool(tmp_path, answer), code=1)
    (found,) = [each for each in result["problems"][0]["findings"] if each["quantity"] == "gradient"]
    assert (found["verdict"], found["cause"]) == ("wrong", "zero block")


@pytest.mark.parametrize("name", EVALS)
def test_what_is_asked_elsewhere_is_another_question_in_all_that_gradbench_varies(name: str):
    model, wire = load_model(path_of(name)), wire_of(name)
    here, resized, there = (draw_problem(model, name, seed) for seed in (0, 1, 2))
    drawn = set(here.params) - {"weights"}  # of ode: they stand for the last number, which is no input
    for key in drawn:
        assert not np.any(here.params[key] == there.params[key]), key
        assert name == "hello" or here.params[key].shape != resized.params[key].shape, key
    inputs = [wire.written(each.params, each.data) for each in (here, there, resized)]
    inputs = [each if isinstance(each, dict) else {"x": each} for each in inputs]
    counts = {"n", "ell", "s", "d", "k", "m"}
    for key, value in inputs[0].items():
        assert value != inputs[2][key], key
        assert (value == inputs[1][key]) == (key in counts), key
