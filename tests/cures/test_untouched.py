"""Trials leave no trace: not on disk, not among modules, not on the screen; and what they break ends nothing."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from gradparity.worker.cure_messages import Cured, Lines, Wanted
from gradparity.worker.cures import trials
from gradparity.worker.cures.search import cure
from gradparity.worker.user_loss import user_loss
from tests.conftest import configured
from tests.cures.ports import line_of, problem_at, wanted_of

PORT = """import autograd.numpy as anp
from layers_{0} import squash, SLOPE
print("loaded")
def loss(params, data):
    h = squash(anp.dot(data["x"], params["w"]) + params["b"])
    return anp.mean((anp.dot(h, params["out"]) - data["y"]) ** 2) + SLOPE * anp.sum(params["square"] ** 2)
"""
HELPER = """import autograd.numpy as anp
SLOPE = 0.01
def squash(x):
    return anp.tanh(0.5 * x)
"""


def answered(folder: Path, helper: str, line: str, wanted: list[Wanted], name: str) -> Cured:
    problem = problem_at(folder, "autograd", PORT.format(name), **{f"layers_{name}": helper})
    backend = configured("autograd")
    user_loss(problem.spec, backend, ("autograd",))
    places: list[Lines] = [(str(folder / f"layers_{name}.py"), line_of(helper, line), line_of(helper, line))]
    return cure(backend, ("autograd",), problem, places, wanted, 60)


def test_a_helper_module_is_edited_and_everything_is_left_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    right = problem_at(tmp_path / "a", "autograd", PORT.format("a"), layers_a=HELPER)
    wanted = wanted_of(right, "autograd")
    broken = HELPER.replace("0.5 * x", "0.25 * x")
    problem = problem_at(tmp_path / "b", "autograd", PORT.format("b"), layers_b=broken)
    backend = configured("autograd")
    user_loss(problem.spec, backend, ("autograd",))
    capsys.readouterr()
    files = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
    modules, path, finders = dict(sys.modules), list(sys.path), list(sys.meta_path)
    threads = threading.active_count()
    places: list[Lines] = [(str(tmp_path / "b" / "layers_b.py"), 4, 4)]
    answer = cure(backend, ("autograd",), problem, places, wanted, 60)
    assert [(found.old, found.new, found.kind) for found in answer.found] == [("0.25", "0.5", "number")]
    assert Path(answer.found[0].file) == tmp_path / "b" / "layers_b.py"
    assert (answer.found[0].line, answer.found[0].column) == (4, 20)
    assert {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()
    } == files
    assert {name: module for name, module in sys.modules.items() if name in modules} == modules
    below = [m for m in sys.modules.values() if str(tmp_path) in str(getattr(m, "__file__", ""))]
    assert all(m in modules.values() for m in below)
    assert (sys.path, sys.meta_path) == (path, finders)
    assert capsys.readouterr() == ("", "")
    assert threading.active_count() == threads


@pytest.mark.slow
def test_an_edit_that_loops_raises_or_ends_the_process_is_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trials, "MORE_S", 0.3)
    monkeypatch.setattr(trials, "SLOWER", 1)
    looping = HELPER.replace(
        "    return anp.tanh(0.5 * x)",
        "    left = 3\n    while left != 0: left, x = left - 1, 0.5 * x + 0.0 * exit_below(left)\n"
        "    return anp.tanh(x)\n"
        "def exit_below(left):\n    if left == 3: return 1.0\n    if left < 0.5: raise SystemExit(3)\n    return left",
    )
    right = problem_at(tmp_path / "c", "autograd", PORT.format("c"), layers_c=looping)
    broken = looping.replace("0.5 * x", "0.75 * x")
    answer = answered(tmp_path / "d", broken, "while left", wanted_of(right, "autograd"), "d")
    assert [(found.old, found.new) for found in answer.found] == [("0.75", "0.5")]


@pytest.mark.slow
def test_what_is_no_small_change_is_not_told(tmp_path: Path):
    right = HELPER.replace("anp.tanh(0.5 * x)", "anp.tanh(0.5 * x) + 0.02 * anp.sin(3.0 * x) * anp.exp(-x * x)")
    wanted = wanted_of(problem_at(tmp_path / "e", "autograd", PORT.format("e"), layers_e=right), "autograd")
    answer = answered(tmp_path / "f", HELPER, "anp.tanh", wanted, "f")
    assert answer.found == []
    assert answer.tried > 100


def test_at_one_point_a_number_makes_the_loss_agree_and_is_not_believed(tmp_path: Path):
    """Of a loss that has another form, some number gives the same value here: not the same gradient, nor there."""
    right = HELPER.replace("anp.tanh(0.5 * x)", "anp.arctan(0.5 * x)")
    wanted = wanted_of(problem_at(tmp_path / "g", "autograd", PORT.format("g"), layers_g=right), "autograd")
    answer = answered(tmp_path / "h", HELPER, "anp.tanh", wanted, "h")
    assert [found.new for found in answer.found] in ([], ["anp.arctan"])
    one = answered(tmp_path / "i", HELPER, "anp.tanh", wanted[:1], "i")
    assert one.found == []
    assert "points" in one.notes


def test_a_port_that_agrees_is_said_to(tmp_path: Path):
    wanted = wanted_of(problem_at(tmp_path / "j", "autograd", PORT.format("j"), layers_j=HELPER), "autograd")
    assert answered(tmp_path / "k", HELPER, "anp.tanh", wanted, "k").notes == "it agrees as it is"


@pytest.mark.slow
def test_a_block_that_is_wanted_to_be_zero_is_not_met_by_a_small_one(tmp_path: Path):
    wanted = wanted_of(problem_at(tmp_path / "l", "autograd", PORT.format("l"), layers_l=HELPER), "autograd")
    zero = [Wanted(w.loss, {**w.gradient, "out": np.zeros(8)}, w.params) for w in wanted]
    assert answered(tmp_path / "m", HELPER, "anp.tanh", zero, "m").found == []
