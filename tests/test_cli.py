"""The command itself, in real processes: what it prints and where, and its exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import typer

from gradparity.cli.app import app
from gradparity.results import store
from gradparity.runner.options import PANELS
from gradparity.runner.settings import Command
from gradparity.version import __version__
from tests.conftest import plain, python

COMMAND = ["-P", "-m", "gradparity"]
QUICKLY = ["check", "--backends", "numpy", "--data", "toy", "--steps", "3"]


def gradparity(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command away from any terminal; never a traceback, nor a control sequence unless colour is forced."""
    ran = python(*COMMAND, *arguments, cwd=cwd, **environment)
    assert "Traceback" not in ran.stdout + ran.stderr
    assert "\x1b" not in ran.stdout + ("" if "FORCE_COLOR" in environment else ran.stderr)
    return ran


def test_without_arguments_the_help_is_shown(tmp_path: Path):
    alone, asked = gradparity(cwd=tmp_path), gradparity("--help", cwd=tmp_path)
    assert alone.returncode == asked.returncode == 0
    assert alone.stdout == asked.stdout
    assert alone.stderr == asked.stderr == ""
    assert all(f"\n  {command} " in asked.stdout for command in ("run", "check", "bench", "backends"))


def test_the_help_of_a_check_has_its_options_under_headings_and_three_examples_that_parse(tmp_path: Path):
    said = gradparity("check", "--help", cwd=tmp_path).stdout
    headings = re.findall(r"^(\S[^:\n]*):$", said, re.MULTILINE)
    assert headings == ["Arguments", *PANELS, "Other"]
    training = said.partition("\nTraining:\n")[2].partition("\nRun:\n")[0]
    assert re.findall(r"^  --(\w+)", training, re.MULTILINE) == ["steps", "lr", "optimiser", "momentum", "seed"]
    for command, each in typer.main.get_command(app).commands.items():
        examples = re.findall(r"^ *gradparity (\w+) (.*)$", each.epilog or "", re.MULTILINE)
        assert (len(examples) == 3) == (command in get_args(Command)), command
        for name, words in examples:
            assert name == command
            each.make_context(name, words.split())  # raises on what does not parse


@pytest.mark.parametrize(
    ("words", "offered"), [("gradparity ch", "check"), ("gradparity check --memo", "--memory-limit")]
)
def test_a_shell_completes_commands_and_options(tmp_path: Path, words: str, offered: str):
    asked = {"_GRADPARITY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert gradparity(cwd=tmp_path, **asked).stdout.split() == [offered]


def test_the_version_is_that_of_the_package(tmp_path: Path):
    ran = gradparity("--version", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"gradparity {__version__}\n", "")


@pytest.mark.parametrize("command", [pytest.param("run", marks=pytest.mark.slow), "check"])
def test_a_run_of_one_backend_agrees_and_leaves_complete_results(tmp_path: Path, command: str):
    quick = ["--quick"] if command == "run" else []
    ran = gradparity(
        command, "--backends", "numpy", "--data", "toy", "--steps", "3", *quick, "--out", "new/deep", cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    result = store.read(tmp_path / "new" / "deep" / "results.json")
    assert result.complete
    assert result.command == command
    (problem,) = result.problems
    assert {finding.verdict for finding in problem.findings} == {"agrees"}
    assert [len(trained.losses) for trained in problem.training] == [4, 4]  # our optimiser, and the backend's own loop
    assert [timing.backend for timing in problem.timings] == ([] if command == "check" else ["numpy"])


def test_json_on_standard_output_is_the_results_file_and_nothing_else_even_where_colour_is_forced(tmp_path: Path):
    ran = gradparity(*QUICKLY, "--json", "--out", "out", cwd=tmp_path, FORCE_COLOR="1")
    assert ran.returncode == 0
    assert ran.stdout.encode() == (tmp_path / "out" / "results.json").read_bytes() + b"\n"
    assert json.loads(ran.stdout)["complete"] is True


def test_progress_away_from_a_terminal_is_plain_lines_on_standard_error(tmp_path: Path):
    name = "a long name with [brackets], [red]markup[bold] and :smile: that must stay whole " + "x" * 80 + ".csv"
    (tmp_path / name).write_text("a,b,label\n1,2,0\n3,4,1\n")
    ran = gradparity("check", "--backends", "numpy", "--data", name, "--target", "label", "--steps", "3", cwd=tmp_path)
    assert ran.returncode == 0
    lines = [re.fullmatch(r"\[ *[0-9.]+ s\] (.+)", line) for line in ran.stderr.splitlines()]
    assert all(lines)
    budget, *stages = [line[1] for line in lines if line and not line[1].endswith(" s)")]  # of a slow machine
    assert budget == "at most 120 s a problem; --budget SECONDS for another limit"
    of_numpy = [f"{stage} numpy" for stage in ("import", "first call", "evaluation", "judgement", "training")]
    # It imports and answers while the truth is computed.
    mine = [f"{name}: {stage}" for stage in of_numpy]
    assert [stage for stage in stages if stage in mine] == mine
    *known, found, last = [stage for stage in stages if stage not in mine]
    assert (known, last) == ([f"{name}: truth", f"{name}: reference run of gd"], f"{name}: comparison")
    assert re.fullmatch(re.escape(f"{name}: numpy agrees, ") + r"[0-9.e-]+ floors", found)
    assert name[:90] in " ".join(ran.stdout.split())


# A terminal.


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> tuple[int, str]:
    """Exit code and everything that the command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    command, environment = [sys.executable, *COMMAND, *arguments], plain() | {"TERM": "xterm-256color"} | environment
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=environment) as process:
        os.close(theirs)
        try:
            written = b"".join(_until_closed(ours, time.monotonic() + 60))
        finally:
            os.close(ours)
        return process.wait(10), written.decode()


def _until_closed(descriptor: int, deadline: float) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # EIO: the last process has let go of the terminal
        while time.monotonic() < deadline:
            if select.select([descriptor], [], [], 1)[0]:
                yield os.read(descriptor, 65536)


HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
# A set of graphics parameters that names a colour: 30-37, 38 and 39 for the letters, 40-49 behind, 90-107 bright.
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)(?:;\d+)*m")


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=["in colour", "without"])
def test_a_terminal_shows_live_progress_and_gets_its_cursor_back(tmp_path: Path, environment: dict[str, str]):
    code, shown = on_a_terminal(*QUICKLY, cwd=tmp_path, **environment)
    assert code == 0
    assert HIDE_CURSOR in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert "toy: " in shown.partition(SHOW_CURSOR)[0]
    assert "[  0." not in shown  # the plain lines of a stream
    assert (COLOUR.search(shown) is None) == ("NO_COLOR" in environment)


def test_bad_input_on_a_terminal_gives_the_cursor_back(tmp_path: Path):
    code, shown = on_a_terminal("check", "--data", "absent.csv", cwd=tmp_path)
    assert code == 2
    assert shown.count(HIDE_CURSOR) == shown.count(SHOW_CURSOR)
    assert "absent.csv" in shown


# Backends that are missing.


@pytest.fixture
def without_autograd(tmp_path: Path) -> str:
    """A PYTHONPATH under which autograd is not installed, as far as anyone can tell."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys\nsys.modules['autograd'] = None\n")
    return os.pathsep.join(filter(None, [str(blocked), os.environ.get("PYTHONPATH")]))


def test_every_backend_is_listed(tmp_path: Path):
    ran = gradparity("backends", cwd=tmp_path)
    assert ran.returncode == 0
    assert ran.stderr == ""
    _, *rows = ran.stdout.splitlines()
    assert [row.split()[0] for row in rows] == [
        *("numpy", "autograd", "jax", "torch", "torch-compile"),
        *("torch-distributed", "jax-distributed"),
    ]
    assert rows[0].split()[1:] == ["available", "numpy", np.__version__]


def test_a_missing_framework_is_listed_with_the_command_that_adds_it(tmp_path: Path, without_autograd: str):
    ran = gradparity("backends", cwd=tmp_path, PYTHONPATH=without_autograd)
    assert ran.returncode == 0
    (row,) = [line.rstrip() for line in ran.stdout.splitlines() if line.startswith("autograd ")]
    assert row.split(maxsplit=2)[1:] == ["missing", "pip install 'gradparity[autograd]'"]
    listed = json.loads(gradparity("backends", "--json", cwd=tmp_path, PYTHONPATH=without_autograd).stdout)
    assert {info["name"]: info["cure"] for info in listed}["autograd"] == "pip install 'gradparity[autograd]'"


def test_a_run_of_all_backends_goes_on_without_a_missing_one(tmp_path: Path, without_autograd: str):
    # All the frameworks are blocked here, so that numpy alone is what is installed.
    path = Path(without_autograd.split(os.pathsep)[0]) / "sitecustomize.py"
    path.write_text("import sys\nfor name in ('autograd', 'jax', 'torch'):\n    sys.modules[name] = None\n")
    ran = gradparity("check", "--data", "toy", "--steps", "3", cwd=tmp_path, PYTHONPATH=without_autograd)
    assert ran.returncode == 0, ran.stderr
    result = store.read(tmp_path / "gradparity-report" / "results.json")
    assert {found.backend for found in result.problems[0].findings} == {"numpy"}
    assert result.problems[0].troubles == []
    assert "autograd is not available: pip install 'gradparity[autograd]'" in ran.stdout


@pytest.mark.parametrize("present", [["numpy"], []], ids=["beside another", "alone"])
def test_a_missing_backend_that_was_asked_for_is_a_failed_row(
    tmp_path: Path, without_autograd: str, present: list[str]
):
    asked = ",".join(["autograd", *present])
    ran = gradparity(*QUICKLY, "--backends", asked, cwd=tmp_path, PYTHONPATH=without_autograd)
    assert ran.returncode == 3
    result = store.read(tmp_path / "gradparity-report" / "results.json")
    assert result.complete
    (problem,) = result.problems
    verdicts = {(found.backend, found.verdict) for found in problem.findings}
    assert verdicts == {("autograd", "failed"), *((name, "agrees") for name in present)}
    assert [(trouble.backend, trouble.stage) for trouble in problem.troubles] == [("autograd", "import")]
    assert re.search(r"^autograd +failed", ran.stdout, re.MULTILINE)
    assert "pip install 'gradparity[autograd]'" in ran.stdout
