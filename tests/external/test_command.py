"""A program as a backend of a check: held to the truth, and where it fails one line, exit code 3 and nothing left."""

from __future__ import annotations

import contextlib
import html
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import gradparity
from gradparity.model_spec.errors import InputError
from gradparity.results import Finding, RunResult
from gradparity.runner.defaults import _interpreter
from tests.conftest import Command, plain
from tests.external.programs import ABLE, PROGRAM, option, program
from tests.user_model.models import HEAD, LOSS, model_file, model_folder

#: The built-in model, in NumPy.
BUILT_IN = """import json, sys
import numpy as np

for line in sys.stdin:
    asked = json.loads(line)
    model, dtype = asked["model"], asked["dtype"]
    params = {name: np.array(value, dtype) for name, value in asked["params"].items()}
    X, y = (np.array(asked["data"][name], dtype) for name in "Xy")
    s = (model["logit_scale"] * (1 - 2 * y)).astype(dtype)
    m = s * (X @ params["W"] @ params["w"] if "W" in params else X @ params["w"])
    rows = len(y) if model["reduction"] == "mean" else 1
    t = np.exp(-np.abs(m))
    g = X.T @ (s * np.where(m >= 0, 1, t) / (1 + t)) / rows
    slopes = {"w": params["W"].T @ g, "W": np.outer(g, params["w"])} if "W" in params else {"w": g}
    penalty = model["l2"] / 2 * sum(np.sum(value * value) for value in params.values())
    loss = np.sum(np.maximum(m, 0) + np.log1p(t)) / rows + penalty
    gradient = {name: (slopes[name] + model["l2"] * value).tolist() for name, value in params.items()}
    print(json.dumps({"loss": float(loss), "gradient": gradient}), flush=True)
"""


def checked(path: str | None, *programs: str, backends: tuple[str, ...] = (), **options: object) -> RunResult:
    """A check of programs alone, with some backends beside them."""
    names = [*backends, *(text.partition("=")[0] for text in programs)]
    return gradparity.check(path, backends=names, backend=list(programs), **{"steps": 2, **options})


def verdicts(result: RunResult, backend: str = "plain") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in result.problems[0].findings:
        if each.backend == backend:
            found.setdefault(each.quantity, set()).add(each.verdict)
    return found


def finding(result: RunResult, backend: str, block: str) -> Finding:
    (found,) = [each for each in result.problems[0].findings if (each.backend, each.block) == (backend, block)]
    return found


AGREES = {"loss": {"agrees"}, "gradient": {"agrees"}, "jvp": {"agrees"}}


def test_programs_are_held_to_the_truth_with_reasons_and_what_they_do_not_give_is_said(tmp_path: Path):
    answers = {
        "plain": "sys.stderr.write(os.environ.get('SOME_WORD', 'none') + '\\n')\nsend(found)",
        "doubled": "found['gradient']['w'] = [2 * each for each in found['gradient']['w']]\nsend(found)",
        "none": "found['gradient']['b'] = float('nan')\nsend(found)",
        "moody": "found['loss'] += time.time_ns() % 1000\nsend(found)",
    }
    words = [option(program(tmp_path, answer, name=f"{name}.py"), name) for name, answer in answers.items()]
    out = tmp_path / "out"
    result = checked(model_file(tmp_path, HEAD + LOSS), *words, env="SOME_WORD=hello", out=str(out))
    (problem,) = result.problems
    assert verdicts(result) == AGREES
    assert "the gradient times the direction: " in finding(result, "plain", "jvp").rule
    (missing,) = [each for each in problem.not_given if each.backend == "plain"]
    assert missing.quantity == "hvp"
    assert 'the program does not say "can": ["hvp"]' in missing.reason
    assert {each.verdict for each in problem.training if each.backend == "plain"} == {"agrees"}
    (info,) = [each for each in result.backends if each.name == "plain"]
    assert info.versions["plain.py"].startswith("sha256:")
    (log,) = (out / "logs").glob("*plain*")
    assert set(log.read_text().splitlines()) == {"hello"}
    assert verdicts(result, "doubled")["gradient"] == {"wrong", "agrees"}
    assert finding(result, "doubled", "gradient w").cause == "factor 2"
    assert finding(result, "none", "gradient b").verdict == "nonfinite"
    assert verdicts(result, "moody")["loss"] == {"impure"}


def test_the_built_in_model_says_what_it_is_in_each_question(tmp_path: Path):
    words = option(program(tmp_path, text=BUILT_IN))
    result = checked(None, words, backends=("numpy",), data="toy", l2=0.1, logit_scale=2.0, reduction="sum")
    assert result.ok, result
    assert verdicts(result)["gradient"] == {"agrees"}


@pytest.mark.slow
@pytest.mark.variation
def test_the_stress_suite_goes_through_one_program(tmp_path: Path):
    result = checked(None, option(program(tmp_path, text=BUILT_IN)), backends=("numpy",), stress=True)
    assert result.ok, result
    assert len(result.problems) > 40


def test_without_a_loss_in_python_programs_are_held_against_each_other(tmp_path: Path):
    path, right = model_file(tmp_path, HEAD), program(tmp_path)
    wrong = program(tmp_path, "found['gradient']['b'] *= 1 + 1e-9\nsend(found)", name="wrong.py")
    result = checked(path, option(right), option(right, "again"), option(wrong, "wrong"))
    assert verdicts(result) == verdicts(result, "again") == AGREES
    assert verdicts(result, "wrong")["gradient"] == {"wrong", "agrees"}
    with pytest.raises(InputError, match=r"got no loss, expected loss\(params, data, xp\), or a loss for a backend"):
        gradparity.check(path, backends=["numpy"])


def test_a_port_of_its_name_is_not_passed_over(tmp_path: Path):
    path = model_folder(tmp_path / "m", HEAD + LOSS, plain="def loss(params, data): return 0.0\n")
    with pytest.raises(InputError, match="the model has a loss for plain: give the program another name"):
        checked(path, option(program(tmp_path)))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ here")
def test_a_program_in_another_language(tmp_path: Path):
    source, binary = Path(__file__).with_name("linear.cpp"), tmp_path / "linear"
    subprocess.run(["g++", "-O1", "-o", str(binary), str(source)], check=True)
    path = model_file(tmp_path, HEAD + LOSS)
    result = checked(path, option([str(binary)]), option([str(binary), "0.5"], "half"))
    assert verdicts(result) == AGREES
    assert finding(result, "half", "gradient w").cause == "factor 1/2"


def left_behind(mark: Path) -> list[str]:
    """Processes whose command has a file in it that is of one test alone."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(mark) in " ".join(each.cmdline()) and each.pid != os.getpid():
                found.append(" ".join(each.cmdline()))
    return found


def dying(count: int) -> str:
    """The answer of one that dies after so many."""
    return f"send(found)\nleft = globals().get('left', {count}) - 1\nif left == 0: os._exit(9)"


#: What a program does, and what is said of it.
FAULTS = {
    "dies": ("os._exit(7)", "build and first call on model.py: the program ended with code 7 before it had answered"),
    "explains": ("sys.exit('no such model')", "the program ended with code 1 before it had answered: no such model"),
    "evaluated": (
        dying(7),
        "failed in evaluation of loss and gradient",  # or "once more": how often memory is measured goes by its time
    ),
    "trained": (
        dying(12),
        "failed in training in its own loop on model.py: the program ended with code 9 before it had answered",
    ),
    "silent": ("time.sleep(60)", "(--timeout compile=2); killed. A program has to flush its output"),
    "garbage": ("print('hello', flush=True)", "answers with what is no JSON: 'hello'"),
    "refuses": (
        "send({'error': 'w is negative'})",
        "build and first call on model.py: the program says: w is negative",
    ),
    "forks": (
        "import subprocess\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', __file__], "
        "start_new_session=True)\ntime.sleep(60)",
        "no answer after 2 s (--timeout compile=2)",
    ),
}


def test_those_that_fail_are_a_line_each_with_exit_code_3_and_leave_nothing(tmp_path: Path, command: Command):
    words = []
    for name, (answer, _) in FAULTS.items():
        words += ["--backend", option(program(tmp_path, answer, name=f"{name}.py"), name)]
    path = model_file(tmp_path, HEAD + LOSS)
    more = ("--timeout", "compile=2", "--steps", "2", "--out", str(tmp_path / "out"))
    code, shown, err = command("check", path, "--backends", "autograd", *words, *more)
    assert code == 3, shown + err
    said = " ".join(shown.split())
    assert [name for name, (_, line) in FAULTS.items() if line not in said] == [], shown
    assert "Traceback" not in shown + err
    assert left_behind(tmp_path) == []


def test_what_one_answers_beside_a_single_request_that_fails_is_judged_all_the_same(tmp_path: Path):
    once = "left = globals().get('left', 3) - 1\nsend({'error': 'not now'} if left == 0 else found)"
    result = checked(model_file(tmp_path, HEAD + LOSS), option(program(tmp_path, once)))
    assert verdicts(result) == AGREES
    assert [(each.stage, each.reason) for each in result.troubles] == [
        ("measuring memory", "the program says: not now")
    ]
    assert result.problems[0].checked == []  # so that --resume asks it again
    assert not result.ok


@pytest.mark.slow
@pytest.mark.variation
def test_one_that_ignores_the_end_of_its_input_is_ended_all_the_same(tmp_path: Path):
    text = PROGRAM.replace("{answer}", "send(found)") + "time.sleep(60)\n"
    words = [sys.executable, "-c", text, str(tmp_path / "mark")]
    assert checked(model_file(tmp_path, HEAD + LOSS), option(words)).ok
    assert left_behind(tmp_path / "mark") == []


@pytest.mark.slow
def test_with_gradparity_it_is_ended_too(tmp_path: Path):
    path, words = model_file(tmp_path, HEAD + LOSS), program(tmp_path, "time.sleep(100)")
    line = [sys.executable, "-m", "gradparity", "check", path, "--backends", "plain", "--backend", option(words)]
    running = subprocess.Popen(
        [*line, "--out", str(tmp_path / "out")], env=plain(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ends_s = time.monotonic() + 30
        mark = f"{sys.executable} {tmp_path / 'program.py'}"
        while not any(each == mark for each in left_behind(tmp_path / "program.py")) and time.monotonic() < ends_s:
            time.sleep(0.05)
        assert mark in left_behind(tmp_path / "program.py")
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    while left_behind(tmp_path / "program.py") and time.monotonic() < ends_s:
        time.sleep(0.05)
    assert left_behind(tmp_path / "program.py") == []


@pytest.mark.slow
@pytest.mark.variation
def test_it_has_no_more_memory_than_a_backend_may_have(tmp_path: Path):
    answer = "held = bytearray(2**30)\nsend(found)"
    path = model_file(tmp_path, HEAD + LOSS)
    result = checked(path, option(program(tmp_path, answer)), memory_limit=0.5)
    (trouble,) = result.problems[0].troubles
    assert "out of memory (--memory-limit 0.5)" in trouble.reason
    assert "MemoryError" in trouble.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=command:", "got '', expected command:PROGRAM with its options"),
        ("a=command:./grad 'x", "No closing quotation, expected command:PROGRAM"),
        ("a=command:/nosuch/program", "got /nosuch/program, which is no program, expected a program"),
        ("jax=command:cat", "a name that no other backend has"),
        ("command:cat", "NAME=command:PROGRAM"),
    ],
)
def test_a_command_that_is_none_is_refused_before_anything_starts(text: str, said: str, tmp_path: Path):
    with pytest.raises(InputError, match=said):
        checked(model_file(tmp_path, HEAD + LOSS), text)


def test_a_run_goes_on_with_the_same_program_only(tmp_path: Path):
    path, words, out = model_file(tmp_path, HEAD + LOSS), option(program(tmp_path)), tmp_path / "out"
    assert checked(path, words, out=out).ok
    assert checked(path, words, out=out, resume=True).ok
    program(tmp_path, "send({'error': 'no'})")
    with pytest.raises(InputError, match=r"--resume: got plain with program.py sha256:.*, expected the same versions"):
        checked(path, words, out=out, resume=True)


def test_second_derivatives_of_one_that_can_are_held_to_the_truth(tmp_path: Path):
    doubled = "if what == 'hvp': found['hvp']['w'] = [2 * each for each in found['hvp']['w']]\n"
    able = option(program(tmp_path, ABLE + "send(found)"))
    wrong = option(program(tmp_path, ABLE + doubled + "send(found)", name="wrong.py"), "wrong")
    result = checked(model_file(tmp_path, HEAD + LOSS), able, wrong)
    assert verdicts(result) == {**AGREES, "hvp": {"agrees"}}
    assert result.problems[0].not_given == []
    assert "the gradient times the direction" not in finding(result, "plain", "jvp").rule
    assert verdicts(result, "wrong") == {**AGREES, "hvp": {"wrong", "agrees"}}
    assert finding(result, "wrong", "hvp w").cause == "factor 2"


def test_what_one_says_it_can_and_does_not_answer_is_said_on_every_screen(tmp_path: Path, command: Command):
    claims = "send({'error': 'no callback yet'} if what in ('jvp', 'hvp') else found)"
    words = ["--backend", option(program(tmp_path, ABLE + claims)), "--backends", "plain", "--steps", "2"]
    code, shown, err = command("check", model_file(tmp_path, HEAD + LOSS), *words, "--out", str(tmp_path / "out"))
    assert code == 0, shown + err
    reports = [(tmp_path / "out" / f"report.{kind}").read_text() for kind in ("md", "html")]
    for text in (shown, *reports):
        plainly = html.unescape(re.sub(r"<[^>]+>", " ", text)).replace("\\", "").replace("**", "")
        said = " ".join(plainly.split())
        assert (
            "jvp of plain: the gradient times the direction: ProgramFailed: the program says: no callback yet." in said
        )
        assert 'no callback yet. Its "can" says that it does' in said
        assert "the framework" not in said.partition("no callback yet. ")[2][:200]


#: What it takes over its gradient beside what it takes over its numbers: that makes it the longer of the two by far.
THINKS = "if what == 'value_and_gradient': time.sleep(0.02)\n"


@pytest.mark.slow
def test_a_step_is_timed_with_the_way_of_its_numbers_beside_it_and_none_is_chosen(tmp_path: Path):
    able = option(program(tmp_path, ABLE + THINKS + "send(found)"))
    path, out = model_file(tmp_path, HEAD + LOSS), str(tmp_path / "out")
    options = {"backends": ["autograd", "plain"], "backend": able, "profile": "brief", "budget": 60, "out": out}
    (problem,) = gradparity.bench(path, **options).problems
    (timing,) = [each for each in problem.timings if each.backend == "plain"]
    assert timing.piped
    assert timing.step is not None
    assert timing.step.step_ns is not None
    assert timing.communication is not None
    assert timing.communication.step_ns is not None
    assert timing.step.step_ns.median > 2e7 > 4 * timing.communication.step_ns.median > 0
    assert (timing.one_thread, timing.step.cpu_per_wall, timing.peak_resident_bytes) == (None, None, None)
    assert problem.recommendation is not None
    assert "plain" not in problem.recommendation.choice
    said = [reason for reason in problem.recommendation.reasons if reason.startswith("plain is none to choose")]
    assert len(said) == 1
    disturbed = timing.communication.ratio is None or timing.communication.ratio.ratio is None
    way = "whose share of" if disturbed else "which takes"
    assert f"its numbers go through a pipe, {way}" in said[0]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["bench", pytest.param("run", marks=[pytest.mark.variation])])
def test_one_of_which_the_way_of_its_numbers_is_not_known_is_not_timed(what: str, tmp_path: Path, command: Command):
    words = ["--backend", option(program(tmp_path)), "--backends", "plain", "--out", str(tmp_path / "out")]
    code, shown, err = command(what, model_file(tmp_path, HEAD + LOSS), *words, "--budget", "30")
    assert code == 3, shown + err
    said = " ".join(shown.split())
    assert 'it is not timed: the program does not say "can": ["echo"]' in said
    assert "gradparity check takes it" in said
    assert left_behind(tmp_path) == []


def test_a_projects_file_names_files_beside_it(tmp_path: Path):
    program(tmp_path)
    other = _interpreter(tmp_path / "pyproject.toml", "plain=gradbench:python3 program.py")
    assert other == f"plain=gradbench:python3 {tmp_path / 'program.py'}"
    moved = _interpreter(tmp_path / "pyproject.toml", "plain=command:python3 program.py --at home@here ./program.py")
    file = tmp_path / "program.py"
    assert moved == f"plain=command:python3 {file} --at home@here {file}"
    assert _interpreter(tmp_path / "pyproject.toml", "a=command:x 'y") == "a=command:x 'y"
