"""Tools of GradBench held to certified values: right ones agree, and every fault is a line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradparity.backends.gradbench import EVALS, path_of
from tests.conftest import Command, plain
from tests.gradbench.programs import tool

#: A backend of ours behind the protocol.
OURS = f"{sys.executable} -P -m gradparity gradbench tool"


def evaluated(command: Command, tmp_path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """Results of an evaluation that ends with that code."""
    ended, shown, err = command("gradbench", "eval", *words, "--json", "--out", str(tmp_path / "out"))
    assert ended == code, shown + err
    assert "Traceback" not in err
    found: dict[str, Any] = json.loads(shown)
    return found


def verdicts(result: dict[str, Any], name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in result["problems"][0]["findings"]:
        if each["backend"] == name:
            found.setdefault(each["quantity"], set()).add(each["verdict"])
    return found


def off_by(factor: str) -> str:
    return f"if gradient: found['output'] = [v * ({factor}) for v in slopes]\nsend(found)"


#: What a tool does in place of its answer, the verdict on its gradient, and a part of what is said.
ANSWERS = {
    "right": ("send(found)", "agrees", ""),
    # GradBench's comparison lets 1e-4 of |x| + |y|, at least of 1, pass.
    "nearly": (off_by("1 + 1e-6"), "wrong", ""),
    "half": (off_by("0.5"), "wrong", "factor 1/2"),
    "infinite": ("if gradient: found['output'][3] = math.inf\nsend(found)", "nonfinite", ""),
    "nan": ("if gradient: found['output'][3] = math.nan\nsend(found)", "nonfinite", ""),
}
FAILS = {
    "dies": ("sys.exit('no more')", "ended with code 1 before it had answered: no more"),
    "killed": ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV before it had answered"),
    "hangs": ("time.sleep(60)", "no answer after 4 s (--timeout compile=4)"),
    "chatty": ("print('evaluating', flush=True)\ntime.sleep(30)", "answers with what is no JSON: 'evaluating'"),
    "twice": (
        "text = json.dumps(found)\nos.write(1, f'{text}\\n{text}\\n'.encode())",
        "answered with more than one line",
    ),
    "another": ("found['id'] += 1\nsend(found)", "answers message 2 with another id"),
    "silent": ("del found['success']\nsend(found)", "answers primal without success true or false"),
    "void": ("del found['output']\nsend(found)", "the program's primal: got none, expected an output"),
    "null": ("found['output'] = None\nsend(found)", "the program's primal: got 'null', expected numbers"),
    "yes": ("found['output'] = True\nsend(found)", "the program's primal: got 'true', expected numbers"),
    "long": ("found['output'] = [primal]\nsend(found)", "the program's primal: got shape (1,), expected ()"),
    "short": (
        "if gradient: found['output'].pop()\nsend(found)",
        "the program's gradient: got shape (199,), expected (200,)",
    ),
    "unable": (
        "send({'id': found['id'], 'success': False, 'error': 'Traceback:\\n  line\\nValueError: no\\x1b[31m lse'})",
        "the program could not evaluate primal: ValueError: no lse",
    ),
    "shy": ("send({'id': found['id'], 'success': False})", "the program could not evaluate primal, and not why"),
}


def test_every_answer_has_its_verdict_with_its_reason(tmp_path: Path, command: Command):
    words = [word for name, (answer, *_) in ANSWERS.items() for word in ("--tool", tool(tmp_path, answer, name))]
    result = evaluated(command, tmp_path, "lse", *words, code=1)
    for name, (_, verdict, cause) in ANSWERS.items():
        found = verdicts(result, name)
        assert found["loss"] == {"agrees"}, name
        assert found["gradient"] == {verdict}, name
        if cause:
            assert cause in json.dumps([f for f in result["problems"][0]["findings"] if f["backend"] == name])
    assert not result["problems"][0]["training"]


@pytest.mark.slow
def test_those_that_fail_are_a_line_each_with_exit_code_3(tmp_path: Path, command: Command):
    words = [word for name, (answer, _) in FAILS.items() for word in ("--tool", tool(tmp_path, answer, name))]
    more = ("--timeout", "compile=4", "--out", str(tmp_path / "out"))
    code, shown, err = command("gradbench", "eval", "lse", *words, *more)
    assert code == 3, shown + err
    assert "Traceback" not in shown + err
    said = " ".join(shown.split())
    assert [name for name, (_, line) in FAILS.items() if line not in said] == [], shown


def test_one_that_does_not_define_it_has_given_nothing(tmp_path: Path, command: Command):
    code, shown, err = command("gradbench", "eval", "det", "--tool", tool(tmp_path), "--out", str(tmp_path / "out"))
    assert code == 3, shown + err
    assert "the tool does not define det, and not why" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lsq", "--tool", "cat"], "evaluation: got 'lsq', expected one of hello, lse,"),
        (["lse", "--tool", "/no/such"], "got /no/such, which is no program"),
        (["lse", "--tool", "a=cat", "--tool", "a=cat"], "--tool: got two of the name a, expected another name"),
        (["lse", "--tool", "jax=cat"], "got 'jax', expected a name that no other backend has"),
        (["lse", "--tool", "cat 'x"], "No closing quotation, expected gradbench:PROGRAM"),
        (["lse"], "Missing option '--tool'"),
        (["--tool", "cat"], "Missing argument"),
    ],
)
def test_what_is_no_evaluation_and_no_tool_is_refused_in_a_line(words: list[str], said: str, command: Command):
    code, shown, err = command("gradbench", "eval", *words)
    assert code == 2
    assert said in " ".join((shown + err).split())
    assert "Traceback" not in shown + err


def test_a_project_file_adds_nothing(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pyproject.toml").write_text('[tool.gradparity]\nbackends = "jax"\nsteps = 3\nmodels = "m.py"\n')
    monkeypatch.chdir(tmp_path)
    result = evaluated(command, tmp_path, "lse", "--tool", tool(tmp_path).removeprefix("tool="))
    assert {each["backend"] for each in result["problems"][0]["findings"]} == {"tool"}
    assert result["settings"]["defaults"] == {}


def test_a_model_that_is_named_after_none_is_not_asked_of_a_tool(tmp_path: Path, command: Command):
    path = shutil.copy(path_of("lse"), tmp_path / "other.py")
    words = ("--backend", tool(tmp_path).replace("tool=", "tool=gradbench:"), "--backends", "tool")
    code, shown, err = command("check", str(path), *words, "--out", str(tmp_path / "out"))
    assert code == 3, shown + err
    assert "is named after no evaluation of GradBench" in " ".join(shown.split())


def test_a_copy_with_another_size_is_asked_for_beside_a_backend(tmp_path: Path, command: Command):
    text = Path(path_of("lse")).read_text(encoding="utf-8").replace("SIZES = 200, 150", "SIZES = 7, 5")
    assert "= 7, 5" in text
    (tmp_path / "lse.py").write_text(text, encoding="utf-8")
    words = ("--backend", tool(tmp_path).replace("tool=", "tool=gradbench:"), "--backends", "numpy,tool")
    code, shown, err = command("check", str(tmp_path / "lse.py"), *words, "--out", str(tmp_path / "out"))
    assert code == 0, shown + err


def test_our_tool_and_our_evaluations_understand_each_other(tmp_path: Path, command: Command):
    result = evaluated(command, tmp_path, "kmeans", "gmm", "--tool", f"ours={OURS} autograd")
    assert [(len(each["findings"]), each["troubles"]) for each in result["problems"]] == [(3, []), (6, [])]


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend", ["autograd", *(pytest.param(name, marks=pytest.mark.variation) for name in ("jax", "torch"))]
)
def test_every_evaluation_agrees_in_every_framework(tmp_path: Path, command: Command, backend: str):
    result = evaluated(command, tmp_path, "all", "--tool", f"ours={OURS} {backend}")
    assert [Path(each["name"]).stem for each in result["problems"]] == sorted(EVALS, key=EVALS.index)
    found = {finding["verdict"] for each in result["problems"] for finding in each["findings"]}
    assert found == {"agrees"}


def test_the_help_imports_no_framework_and_none_of_what_measures():
    text = (
        "import sys\nfrom gradparity.cli.app import app\n"
        "app(['gradbench', 'eval', '--help'], standalone_mode=False)\n"
        "assert not {'numpy', 'rich', 'gradparity.runner.session'} & set(sys.modules), sorted(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", text], env=plain(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "NAME" in ran.stdout


@pytest.mark.parametrize("asks", ["run", "bench"])
def test_a_tool_is_not_timed_and_that_is_said(command: Command, tmp_path: Path, asks: str):
    other = "mine=gradbench:" + tool(tmp_path).partition("=")[2]
    code, shown, err = command(asks, path_of("lse"), "--backend", other, "--out", str(tmp_path / "out"))
    assert (code, shown) == (2, "")
    assert "--backend mine: got a tool of GradBench, of which nothing is timed here" in err
    assert not (tmp_path / "out").exists()


def test_what_no_evaluation_has_is_said_in_the_words_of_gradbench(command: Command, tmp_path: Path):
    (lacking,) = evaluated(command, tmp_path, "lse", "--tool", tool(tmp_path))["problems"][0]["not_given"]
    assert lacking["quantity"] == "hvp"
    assert "no evaluation of GradBench has a function for the hvp" in lacking["reason"]
    assert lacking["cure"] == "It is no fault of the tool: the protocol asks for loss and gradient."
