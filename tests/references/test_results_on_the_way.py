"""A reference with its results on the way: the line at which another differs, long after; and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import gradparity
from gradparity.cli.app import app
from gradparity.report.markdown import markdown

MODEL = """
def parameters(rng):
    return {"w": rng.standard_normal((5, 4)), "v": rng.standard_normal(4)}

def data(rng):
    return {"x": rng.standard_normal((9, 5)), "y": rng.standard_normal(9)}
"""
NEUTRAL = """
def loss(params, data, xp):
    h = xp.tanh(data["x"] @ params["w"])
    return xp.mean((h @ params["v"] - data["y"]) ** 2)
"""
PORT = """import autograd.numpy as np

def loss(params, data):
    h = np.tanh(np.dot(data["x"], params["w"]))
    return np.mean((np.dot(h, params["v"]) - data["y"]) ** 2)
"""
WRONG = PORT.replace("np.tanh(", "0.9 * np.tanh(")


def folder_of(where: Path, port: str, more: str = "") -> Path:
    (where / "backends").mkdir(parents=True)
    (where / "model.py").write_text(MODEL + more)
    (where / "backends" / "autograd.py").write_text(port)
    return where


def record(model: Path, file: Path) -> Path:
    words = ["record", str(model), "--backend", "autograd", "--intermediates", "--out", str(file)]
    assert CliRunner().invoke(app, words, standalone_mode=False).return_value == 0
    return file


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a port gave before it was changed."""
    where = tmp_path_factory.mktemp("day")
    return record(folder_of(where / "before", WRONG), where / "day.safetensors")


def test_a_port_is_told_at_which_line_it_differs_from_the_day_before(day: Path, tmp_path: Path):
    result = gradparity.check(folder_of(tmp_path, PORT), backends="autograd", reference=f"day={day}", steps=1)
    assert not result.ok
    (lines,) = result.problems[0].divergences.lines
    assert {(each.backend, each.file, each.line) for each in lines.here} == {
        ("autograd", "autograd.py", 5),  # what reads the tanh
        ("day", "day/autograd.py", 4),
    }
    texts = {each.backend: each.text for each in lines.here}
    assert texts["day"].startswith("0.9 * np.tanh(")
    assert not lines.cures  # what recorded it is not here to be tried


def test_without_results_on_the_way_it_is_said_what_writes_them_and_no_table_calls_either_wrong(
    day: Path, tmp_path: Path
):
    with safe_open(day, "np") as stream:
        facts = {key: value for key, value in stream.metadata().items() if key != "steps"}
    arrays = {name: value for name, value in load_file(day).items() if not name.startswith("step.")}
    save_file(arrays, tmp_path / "bare.safetensors", facts)
    folder, given = folder_of(tmp_path / "model", PORT), f"day={tmp_path / 'bare.safetensors'}"
    result = gradparity.check(folder, backends="autograd", reference=given, steps=1)
    (said,) = [each for each in result.problems[0].diagnoses if each.name == "lines"]
    assert said.finding.startswith("day has no results on the way")
    assert "--intermediates" in said.cure
    told = markdown(result)
    assert "nothing here says which is wrong" in told
    assert ", differs**" in told
    assert ", wrong**" not in told


def test_a_wrong_reference_is_told_at_which_line_it_differs_from_the_neutral_loss(day: Path, tmp_path: Path):
    result = gradparity.check(folder_of(tmp_path, PORT, NEUTRAL), backends="autograd", reference=f"day={day}", steps=1)
    (lines,) = result.problems[0].divergences.lines
    assert (lines.backend, lines.against) == ("day", "truth")
    assert {(each.file, each.line) for each in lines.here} == {("day/autograd.py", 4), ("model.py", 10)}


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays, facts: arrays.pop("step.3"),
        lambda arrays, facts: arrays.update({"step.4": np.zeros(3)}),
        lambda arrays, facts: facts.update(steps="[1, {]"),
        lambda arrays, facts: facts.update(steps="[]"),
        lambda arrays, facts: facts.update(steps='{"results": [{"inputs": "x"}], "sources": {}}'),
        lambda arrays, facts: facts.update(steps=facts["steps"].replace('"inputs":[', '"inputs":[9999,', 1)),
    ],
    ids=["a missing tensor", "another shape", "no JSON", "another JSON", "another result", "made of what is later"],
)
@pytest.mark.slow
def test_of_damaged_results_the_verdicts_stand_and_the_rest_is_said(day: Path, tmp_path: Path, damage):
    with safe_open(day, "np") as stream:
        facts = dict(stream.metadata())
    arrays, whole = load_file(day), json.loads(facts["steps"])
    assert len(whole["results"]) > 4
    damage(arrays, facts)
    save_file(arrays, tmp_path / "damaged.safetensors", facts)
    model = folder_of(tmp_path / "model", PORT, NEUTRAL)
    given = f"day={tmp_path / 'damaged.safetensors'}"
    (problem,) = gradparity.check(model, backends="autograd", reference=given, steps=1).problems
    verdicts = {each.backend: each.verdict for each in problem.findings if each.block == "loss"}
    assert verdicts == {"autograd": "agrees", "day": "wrong"}
    assert not problem.divergences.lines
    assert any(note.startswith("day cannot be recorded") for note in problem.divergences.notes)


def test_lines_that_there_is_no_time_for_are_left_out_in_words(
    day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from gradparity.processes.deadline import Deadline
    from gradparity.runner import lines

    def late(*given: object) -> tuple[list[object], list[str]]:
        monkeypatch.setattr(Deadline, "passed", lambda _self: True)
        return [], []

    monkeypatch.setattr(lines, "find_lines", late)
    result = gradparity.check(folder_of(tmp_path, PORT), backends="autograd", reference=f"day={day}", steps=1)
    assert result.problems[0].left_out == ["the lines at which they diverge"]
