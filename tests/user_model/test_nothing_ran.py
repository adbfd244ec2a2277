"""A backend that was asked for and gave nothing is no success, and a problem that was not compared is not agreed on."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

import gradparity
from gradparity.backends import BACKENDS
from gradparity.cli.app import ExitCode, exit_code
from gradparity.report.facts.overview import overview
from gradparity.results import BackendInfo, Trouble
from tests.conftest import Command
from tests.report.samples import problem, run
from tests.user_model.models import GRADIENT, HEAD, LOSS, SUMMED_PORT, model_file, model_folder

PORT = SUMMED_PORT.replace("np.sum", "np.mean")
JAX = PORT.replace("autograd.numpy", "jax.numpy")
BY_HAND = PORT.replace("autograd.numpy", "numpy")


def test_a_named_backend_without_a_port_ends_the_command_with_3_and_is_named(tmp_path: Path, command: Command):
    path = model_folder(tmp_path / "m", HEAD, autograd=PORT, jax=JAX)
    asked = ("--backends", "autograd,jax,torch", "--out", str(tmp_path / "out"))
    code, out, _ = command("check", path, *asked)
    assert code == 3
    assert "agree with each other on m; not compared: torch." in " ".join(out.split())
    code, out, _ = command("check", path, *asked, "--quiet")
    assert code == 3
    assert "not compared: torch." in " ".join(out.split())


def test_a_backend_that_nobody_named_and_that_has_nothing_to_run_is_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("jax", "torch", "torch-compile"):  # their processes would take a minute
        monkeypatch.delitem(BACKENDS, name)
    result = gradparity.check(model_file(tmp_path, HEAD + LOSS), steps=2)
    assert result.problems[0].idle.keys() == {"numpy"}
    assert result.unanswered == []
    assert result.ok, result


def test_a_port_that_no_backend_is_called_by_is_said_not_to_have_run(tmp_path: Path):
    path = model_folder(tmp_path / "m", HEAD + LOSS, autograd=PORT, pytorch="raise ValueError", _shared="x = 1")
    result = gradparity.check(path, backends=["autograd"], steps=2)
    assert result.problems[0].idle.keys() == {"pytorch"}
    assert "no backend has the name of backends/pytorch.py" in repr(result)


def test_a_port_that_does_not_import_is_a_failure(tmp_path: Path, command: Command):
    path = model_folder(tmp_path / "m", HEAD + LOSS, autograd="import nosuchmodule")
    code, out, _ = command("check", path, "--backends", "autograd", "--out", str(tmp_path / "out"), "--quiet")
    assert code == 3
    assert "agree" not in out


@pytest.mark.parametrize("stress", [(), ("--stress",)])
def test_a_budget_that_reaches_nothing_is_no_agreement(tmp_path: Path, command: Command, stress: tuple[str, ...]):
    path = model_file(tmp_path, HEAD + LOSS + GRADIENT)
    words = ("check", path, "--backends", "autograd,jax", "--budget", "0.001", *stress, "--out", str(tmp_path / "out"))
    code, out, _ = command(*words, "--quiet")
    assert code == 3
    assert "Nothing was compared: out of budget." in out


def test_what_a_budget_cut_is_counted_in_the_headline():
    names = ["numpy", "autograd", "jax"]
    infos = [BackendInfo(name=name, versions={name: "1"}) for name in names]
    whole = [problem(f"p{i}", names, clock=False) for i in range(5)]
    part = [
        problem(f"q{i}", ["numpy", "autograd"], clock=False, left_out=["jax: cut off in evaluation"]) for i in range(2)
    ]
    settings = {"steps": 5, "budget_s": 60.0}
    result = run(*whole, *part, planned=9, backends=infos, settings=settings)
    said = overview(result)
    assert said.headline == "All 3 backends agree on 5 of 9 problems; 4 not compared: out of budget."
    assert exit_code(result) == ExitCode.BACKEND
    whole_run = run(*whole, planned=5, backends=infos, settings=settings)
    assert exit_code(whole_run) == ExitCode.AGREES
    assert exit_code(structs.replace(whole_run, planned=6)) == ExitCode.BACKEND  # one that was not begun
    result = run(*part, planned=2, backends=infos, settings=settings)
    assert overview(result).headline == "Both backends agree on q0 and q1; not compared: jax."
    assert overview(result).state == "failed"
    assert exit_code(result) == ExitCode.BACKEND
    result = run(planned=2, backends=infos, settings=settings)
    assert overview(result).headline == "Nothing was compared: out of budget."
    assert exit_code(result) == ExitCode.BACKEND
    bad = run(*whole[:4], problem("bad", names, bad="jax", clock=False), planned=8, backends=infos, settings=settings)
    headline = overview(bad).headline
    assert headline.startswith("1 of 3 backends does not agree: jax")
    assert headline.endswith("; 3 not compared: out of budget.")
    assert exit_code(bad) == ExitCode.DISAGREES


def test_that_nobody_takes_part_is_not_laid_to_the_budget():
    infos = [BackendInfo(name=name, versions={name: "1"}) for name in ("a", "b")]
    none = structs.replace(
        problem("toy", ["a"], clock=False), findings=[], training=[], checked=[], idle={"a": "it has no float64."}
    )
    settings = {"steps": 5, "budget_s": 60.0}
    said = run(none, planned=1, backends=infos[:1], settings=settings)
    assert overview(said).headline == "Nothing was compared: a takes no part, it has no float64."
    left = structs.replace(none, left_out=["b: cut off in evaluation"])
    for result in (run(left, planned=1, backends=infos), run(none, planned=2, backends=infos)):
        said = structs.replace(result, settings=settings)
        assert overview(said).headline == "Nothing was compared: out of budget."


def test_a_backend_whose_own_loop_fails_is_not_said_to_agree_in_training():
    ran = problem("toy", ["a"], clock=False)
    broken = structs.replace(
        ran, troubles=[Trouble(backend="a", stage="training in its own loop", reason="no descend")]
    )
    for each, said in ((ran, "agrees"), (broken, "failed")):
        (line,) = overview(run(each, planned=1)).lines
        assert line.training == said
    assert overview(run(broken, planned=1)).headline == "a failed on toy; what else was checked agrees."


def test_what_a_run_that_was_ended_did_not_come_to_is_not_laid_to_its_budget():
    infos = [BackendInfo(name=name, versions={name: "1"}) for name in ("numpy", "jax")]
    settings = {"steps": 5, "budget_s": 60.0}
    result = run(planned=2, backends=infos, settings=settings, complete=False)
    assert overview(result).headline == "Not finished. So far: nothing was compared."
    left = problem("toy", ["numpy", "jax"], clock=False)
    result = run(left, planned=2, backends=infos, settings=settings, complete=False)
    assert overview(result).headline.endswith("; 1 not compared.")


def test_a_result_of_an_older_version_without_the_number_of_problems_reads_as_before():
    result = run(problem("toy", ["numpy", "jax"], clock=False))
    assert overview(result).headline == "Both backends agree on toy."
    assert result.ok
