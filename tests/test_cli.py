"""The command itself, in real processes: what it prints and where, its exit codes, and every kind of bad input."""

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
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gradparity.cli.app import main
from gradparity.results import store

COMMAND = [sys.executable, "-P", "-m", "gradparity"]
QUICKLY = ["check", "--backends", "numpy", "--data", "toy", "--steps", "3"]


def gradparity(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command away from any terminal; never a traceback, never a control sequence."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}
    }
    ran = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
        env=inherited | environment,
    )
    assert "Traceback" not in ran.stdout + ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr
    return ran


# Bad input. Each case is the arguments, and what the message must say beside being one line.

CSV = {
    "three.csv": "a,b,label\n1,2,0\n3,4,1\n5,6,2\n",
    "words.csv": "a,b,label\n1,2,yes\n3,4,no\n",
    "nan.csv": "a,b,label\n1,2,0\n3,nan,1\n",
    "inf.csv": "a,b,label\n1,2,0\n-inf,4,1\n",
    "text.csv": "a,b,label\n1,2,0\n3,4,1\n5,six,1\n",
    "gap.csv": "a,b,label\n1,2,0\n3,,1\n",
    "rowless.csv": "a,b,label\n",
    "one-class.csv": "a,b,label\n1,2,1\n3,4,1\n",
    "good.csv": "a,b,label\n1,2,0\n3,4,1\n",
    "huge.csv": "a,b,label\n1,2,0\n3,1e300,1\n",
    "long.csv": "a,b,label\n1,2,0\n3,4,1,5\n",
    "empty.csv": "",
    "red\x1b[31m.csv": "a,b,label\n1,2,1\n3,4,1\n",
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bad files, and the results of an earlier run that no bad input may touch."""
    folder = tmp_path_factory.mktemp("bad")
    for name, text in CSV.items():
        (folder / name).write_text(text)
    pl.DataFrame({"a": [1.0, 2.0], "label": ["x", "y"]}).write_parquet(folder / "words.parquet")
    np.savez(folder / "uneven.npz", X=np.ones((3, 2)), y=np.array([0, 1, 0, 1]))
    (folder / "words.svmlight").write_text("0 1:2\n1 1:two\n")
    (folder / "noise.parquet").write_bytes(b"\x00" * 64)
    (folder / "folder.csv").mkdir()
    (folder / "taken").write_text("a file, where a folder is wanted")
    (folder / "kept").mkdir()
    (folder / "kept" / "results.json").write_bytes(EARLIER)
    (folder / "odd" / "results.json").mkdir(parents=True)
    return folder


EARLIER = b'{"the results of": "an earlier run"}\n'


def data(source: str, *options: str) -> list[str]:
    return ["--data", source, "--target", "label", *options]


# What the issue of this command lists, each in a process of its own.
LISTED = [
    (data("three.csv"), ["three.csv", "'label'", "row 3", "2"]),
    (data("words.csv"), ["words.csv", "'label'", "row 1", "'yes'"]),
    (data("nan.csv"), ["nan.csv", "'b'", "row 2", "line 3", "nan"]),
    (data("inf.csv"), ["inf.csv", "'a'", "row 2", "line 3", "-inf"]),
    (data("rowless.csv"), ["rowless.csv", "rows", "none"]),
    (data("one-class.csv"), ["one-class.csv", "'label'", "one class only"]),
    (["--data", "good.csv", "--target", "labels"], ["good.csv", "'labels'", "a, b, label", "Did you mean 'label'?"]),
    (data("empty.csv"), ["empty.csv", "an empty file"]),
    (data("folder.csv"), ["folder.csv", "a directory"]),
    (["--data", "uneven.npz"], ["uneven.npz", "3", "4"]),
    (["--data", "toy", "--projection", "0"], ["projection", "0", "1 or more"]),
    (["--backends", "tensorflow"], ["'tensorflow'", "numpy, autograd, jax, torch, torch-compile"]),
    (["--data", "synthetic:100000000x1000"], ["synthetic:100000000x1000", "memory"]),
    (["--dtype", "float16"], ["--dtype", "'float16'", "float64, float32"]),
    (["--steps", "0"], ["--steps", "0", "1"]),
    (["--lr", "0"], ["--lr", "0"]),
    (["--threads", "100000"], ["--threads", "100000", "cores"]),
    (["--seed", "-1"], ["--seed", "-1"]),
    (["--steps", "many"], ["--steps", "integer"]),
]

# More of each, through the same entry point, in this process: half a second of imports apiece is saved.
FURTHER = [
    # What the file holds: the message names file, column and row.
    (data("words.parquet"), ["words.parquet", "'label'", "row 1", "'x'"]),
    (data("text.csv"), ["text.csv", "'b'", "row 3", "line 4", "'six'"]),
    (data("gap.csv"), ["gap.csv", "'b'", "row 2", "line 3", "an empty cell"]),
    (data("long.csv"), ["long.csv", "row 2", "line 3", "4 cells"]),
    (data("huge.csv", "--dtype", "float32", "--raw"), ["float32", "inf"]),
    (["--data", "words.svmlight"], ["words.svmlight", "row 2", "line 2", "'two'"]),
    (["--data", "good.csv"], ["good.csv", "--target"]),
    (["--data", "toy", *data("one-class.csv")], ["toy", "--target"]),
    # Files that cannot be read at all.
    (data("absent.csv"), ["absent.csv", "No such file"]),
    (data("noise.parquet"), ["noise.parquet", "a valid Parquet file"]),
    (data("words.xlsx"), ["words.xlsx", "'.xlsx'", ".csv"]),
    (["--data", "iriss"], ["'iriss'", "Did you mean 'iris'?"]),
    (data("red\x1b[31m.csv"), ["--data", r"red\x1b[31m.csv"]),
    # Sizes.
    (["--data", "synthetic:4x0"], ["synthetic:4x0", "1 or more"]),
    (["--data", "toy", "--projection", "100000000000"], ["toy", "memory", "a smaller projection"]),
    (["--data", "toy", "--projection", "9" * 40], ["toy", "memory", "a smaller projection"]),
    (["--data", "toy", "--projection", "9" * 5000], ["--projection", "integer"]),
    # Settings.
    (["--projection", "five"], ["--projection", "'five'"]),
    (["--projection", "²"], ["--projection", "'²'"]),
    (["--projection=--5"], ["--projection", "'--5'"]),
    (["--backends", ""], ["backend", "''"]),
    (["--formulation", "fast"], ["--formulation", "'fast'", "as_written, reassociated, blocked"]),
    (["--steps", "1" + "0" * 30], ["--steps", "10000000"]),
    (["--lr", "nan"], ["--lr", "nan"]),
    (["--lr", "1e999"], ["--lr", "inf"]),
    (["--data", "toy", "--l2", "-1"], ["l2", "-1"]),
    (["--threads", "0"], ["--threads", "0"]),
    (["--seed", "1" + "0" * 30], ["--seed", "1" + "0" * 30]),
    # Wrong types, options and arguments, which the parser refuses.
    (["--lr", "fast"], ["--lr", "number"]),
    (["--seed", "1.5"], ["--seed", "integer"]),
    (["--bogus"], ["--bogus"]),
    (["stray"], ["stray"]),
    (["--backends"], ["--backends"]),
]


def named(arguments: list[str]) -> str:
    """A case's name in the list of tests."""
    return " ".join(arguments)[:60].replace("\x1b", "ESC")


def require_one_line_that_says(words: list[str], code: int, out: str, err: str) -> None:
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("gradparity: ")
    assert err.endswith("\n")
    assert [word for word in words if word not in err] == []


@pytest.mark.parametrize(("arguments", "said"), [pytest.param(*case, id=named(case[0])) for case in LISTED])
def test_bad_input_is_one_clear_line_and_nothing_is_written_over(bad: Path, arguments: list[str], said: list[str]):
    before = sorted(bad.rglob("*"))
    ran = gradparity("check", "--out", "kept", *arguments, cwd=bad)
    require_one_line_that_says(said, ran.returncode, ran.stdout, ran.stderr)
    assert (bad / "kept" / "results.json").read_bytes() == EARLIER
    assert sorted(bad.rglob("*")) == before


@pytest.fixture
def in_this_process(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[list[str]], tuple[int, str, str]]:
    """Runs the entry point in the folder of bad files: exit code, standard output and standard error."""
    monkeypatch.chdir(bad)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(arguments: list[str]) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gradparity", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return end.value.code, *capfd.readouterr()

    return run


@pytest.mark.parametrize(("arguments", "said"), [pytest.param(*case, id=named(case[0])) for case in FURTHER])
def test_further_bad_input_is_one_clear_line_and_nothing_is_written_over(
    bad: Path, arguments: list[str], said: list[str], in_this_process: Callable[[list[str]], tuple[int, str, str]]
):
    before = sorted(bad.rglob("*"))
    require_one_line_that_says(said, *in_this_process(["check", "--out", "kept", *arguments]))
    assert (bad / "kept" / "results.json").read_bytes() == EARLIER
    assert sorted(bad.rglob("*")) == before


@pytest.mark.parametrize("out", ["taken", "taken/deeper", "/proc/gradparity", "odd", "n" * 300, "line\nbreak"])
def test_an_output_folder_that_cannot_be_written_is_refused_before_anything_runs(
    bad: Path, out: str, in_this_process: Callable[[list[str]], tuple[int, str, str]]
):
    require_one_line_that_says(["--out: got", "expected"], *in_this_process([*QUICKLY, "--out", out]))
    assert (bad / "taken").read_text() == "a file, where a folder is wanted"


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "secret.csv").write_text(CSV["good.csv"])
    (tmp_path / "secret.csv").chmod(0)
    ran = gradparity("check", *data("secret.csv"), cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert re.fullmatch(r"gradparity: secret\.csv: got Permission denied, .+\n", ran.stderr)


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["backends", "--nonsense"]], ids=" ".join)
def test_an_unknown_command_or_option_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str]):
    ran = gradparity(*arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert re.fullmatch(r"gradparity: .*nonsense.*\n", ran.stderr)


def test_bad_input_as_json_leaves_standard_output_empty(tmp_path: Path):
    ran = gradparity("check", "--json", "--data", "absent.csv", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


# Good input.


def test_without_arguments_the_help_is_shown(tmp_path: Path):
    alone, asked = gradparity(cwd=tmp_path), gradparity("--help", cwd=tmp_path)
    assert alone.returncode == asked.returncode == 0
    assert alone.stdout == asked.stdout
    assert alone.stderr == asked.stderr == ""
    assert all(f"\n  {command} " in asked.stdout for command in ("run", "check", "bench", "backends"))


@pytest.mark.parametrize("command", ["run", "check", "bench"])
def test_a_run_of_one_backend_agrees_and_leaves_complete_results(tmp_path: Path, command: str):
    quick = {"run": ["--quick"], "check": [], "bench": ["--profile", "brief"]}[command]
    ran = gradparity(
        command, "--backends", "numpy", "--data", "toy", "--steps", "3", *quick, "--out", "new/deep", cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    result = store.load(tmp_path / "new" / "deep" / "results.json")
    assert result.complete
    assert result.command == command
    (problem,) = result.problems
    assert {finding.verdict for finding in problem.findings} == {"agrees"}
    # Our optimiser and the backend's own loop; a bench holds five steps of the loop alone to the reference.
    losses = {"run": [4, 4], "check": [4, 4], "bench": [6]}[command]
    assert [len(trained.losses) for trained in problem.training] == losses
    assert [timing.backend for timing in problem.timings] == ([] if command == "check" else ["numpy"])


def test_json_on_standard_output_is_the_results_file_and_nothing_else(tmp_path: Path):
    ran = gradparity(*QUICKLY, "--json", "--out", "out", cwd=tmp_path)
    assert ran.returncode == 0
    assert ran.stdout.encode() == (tmp_path / "out" / "results.json").read_bytes() + b"\n"
    assert json.loads(ran.stdout)["complete"] is True


def test_progress_away_from_a_terminal_is_plain_lines_on_standard_error(tmp_path: Path):
    name = "a long name with [brackets], [red]markup[bold] and :smile: that must stay whole " + "x" * 80 + ".csv"
    (tmp_path / name).write_text(CSV["good.csv"])
    ran = gradparity("check", "--backends", "numpy", *data(name), "--steps", "3", cwd=tmp_path)
    assert ran.returncode == 0
    lines = [re.fullmatch(r"\[ *[0-9.]+ s\] (.+)", line) for line in ran.stderr.splitlines()]
    stages = ["truth", "import numpy", "first call numpy", "evaluation numpy", "training numpy"]
    assert [line and line[1] for line in lines] == [f"{name}: {stage}" for stage in stages]
    assert name[:90] in " ".join(ran.stdout.split())


def test_forced_colour_does_not_reach_json(tmp_path: Path):
    inherited = os.environ | {"FORCE_COLOR": "1"}
    ran = subprocess.run(
        [*COMMAND, *QUICKLY, "--json"], capture_output=True, check=False, timeout=120, cwd=tmp_path, env=inherited
    )
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["command"] == "check"


def test_a_file_name_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / os.fsdecode(b"\xff.csv")).write_text(CSV["good.csv"])
    ran = subprocess.run(
        [*map(os.fsencode, COMMAND), b"check", b"--data", b"\xff.csv", b"--target", b"label"],
        capture_output=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
    )
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert re.fullmatch(rb"gradparity: --data: got '\\udcff.csv', expected .+\n", ran.stderr)


# A terminal.


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> tuple[int, str]:
    """Exit code and everything that the command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}
    }
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=inherited | {"TERM": "xterm-256color"} | environment,
    ) as process:
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


def test_a_terminal_shows_live_progress_and_gets_its_cursor_back(tmp_path: Path):
    code, shown = on_a_terminal(*QUICKLY, cwd=tmp_path)
    assert code == 0
    assert HIDE_CURSOR in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert "toy: " in shown.partition(SHOW_CURSOR)[0]
    assert "[  0." not in shown  # the plain lines of a stream
    assert COLOUR.search(shown)


def test_no_color_leaves_a_terminal_without_colours(tmp_path: Path):
    code, shown = on_a_terminal(*QUICKLY, cwd=tmp_path, NO_COLOR="1")
    assert code == 0
    assert COLOUR.search(shown) is None
    assert "toy: " in shown


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


def test_five_backends_are_listed(tmp_path: Path):
    ran = gradparity("backends", cwd=tmp_path)
    assert ran.returncode == 0
    assert ran.stderr == ""
    _, *rows = ran.stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["numpy", "autograd", "jax", "torch", "torch-compile"]
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
    result = store.load(tmp_path / "gradparity-report" / "results.json")
    assert {found.backend for found in result.problems[0].findings} == {"numpy"}
    assert result.problems[0].troubles == []
    assert "autograd is not installed: pip install 'gradparity[autograd]'" in ran.stdout


def test_a_missing_backend_that_was_asked_for_is_a_failed_row(tmp_path: Path, without_autograd: str):
    ran = gradparity(*QUICKLY, "--backends", "autograd,numpy", cwd=tmp_path, PYTHONPATH=without_autograd)
    assert ran.returncode == 3
    (problem,) = store.load(tmp_path / "gradparity-report" / "results.json").problems
    verdicts = {(found.backend, found.verdict) for found in problem.findings}
    assert verdicts == {("autograd", "failed"), ("numpy", "agrees")}
    assert [(trouble.backend, trouble.stage) for trouble in problem.troubles] == [("autograd", "import")]
    assert re.search(r"^autograd +failed", ran.stdout, re.MULTILINE)
    assert "pip install 'gradparity[autograd]'" in ran.stdout


def test_a_missing_backend_that_alone_was_asked_for_is_said_too(tmp_path: Path, without_autograd: str):
    ran = gradparity(*QUICKLY, "--backends", "autograd", cwd=tmp_path, PYTHONPATH=without_autograd)
    assert ran.returncode == 3
    assert re.search(r"^autograd +failed", ran.stdout, re.MULTILINE)
    assert store.load(tmp_path / "gradparity-report" / "results.json").complete
