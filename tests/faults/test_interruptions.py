"""Whatever ends a run, what was measured is on disk, nothing is left behind, and the next session goes on there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from gradparity.cli import printing
from gradparity.results import SCHEMA_VERSION, ProblemResult, store
from tests.faults.harness import command, ended, eventually, gone, saved, wait_for_a_hanging_worker
from tests.user_model.models import HEAD, LOSS, model_file

RUN = ("run", "--quick", "--backends", "numpy,sound", "--data", "toy", "--steps", "20")
TWO = ("check", "--backends", "numpy,sound", "--data", "toy", "--data", "iris", "--projection", "2", "--steps", "20")
CHECK = ("check", "--backends", "sound,hanging", "--data", "toy", "--steps", "3")
SHORT = ("check", "--backends", "numpy", "--data", "toy", "--steps", "3")


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Read the progress until it says so."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}")


def is_kept(before: ProblemResult, after: ProblemResult) -> bool:
    """Whether all that had come to its end is there as it was: checks, and every raw round of a finished stage."""
    checked = after.checked[: len(before.checked)] == before.checked
    names = {each.backend for each in before.checked}
    findings = [f for f in before.findings if f.backend in names]
    again = [f for f in after.findings if f.backend in names]
    for old in before.timings:
        new = next(timing for timing in after.timings if timing.backend == old.backend)
        for call in ("step", "loop"):
            if f"{call} 0" in before.stages and getattr(old, call).rounds != getattr(new, call).rounds:
                return False
    return checked and findings == again and set(before.stages) <= set(after.stages)


def test_ctrl_c_ends_the_run_and_its_workers_at_once_and_keeps_the_results_so_far(plugins: Path, tmp_path: Path):
    out = tmp_path / "gradparity-report"
    with command(*CHECK, cwd=tmp_path) as process:
        worker = wait_for_a_hanging_worker(plugins)
        eventually(lambda: any(p.training for p in store.read(out / "results.json").problems), within_s=30)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=2)
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        "gradparity: interrupted; results so far are in gradparity-report/results.json: go on with --resume"
    )
    assert "Traceback" not in printed + said
    assert gone(worker)
    result = store.read(out / "results.json")
    assert not result.complete
    assert {(found.backend, found.verdict) for found in result.problems[0].findings} == {("sound", "agrees")}
    assert result.problems[0].troubles == []  # the workers were ended, and did not fail


def failing(*, interrupted: bool) -> None:
    try:
        if interrupted:
            raise KeyboardInterrupt
    finally:
        os.close(-1)


@pytest.mark.parametrize("interrupted", [True, False])
def test_what_fails_while_an_interruption_is_unwound_is_part_of_it(
    interrupted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(printing, "INTERRUPTIONS_SAID", [])
    with pytest.raises(KeyboardInterrupt if interrupted else OSError), printing.interruption_said("out"):
        failing(interrupted=interrupted)
    said = "gradparity: interrupted; nothing was measured yet\n" if interrupted else ""
    assert (capsys.readouterr().err, printing.INTERRUPTIONS_SAID) == (said, ["out"] * interrupted)


#: The command, which is interrupted while it imports its own modules.
EARLY = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "gradparity.cli.app":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from gradparity.__main__ import main
main()
"""


def test_an_interruption_before_a_run_has_begun_is_said(tmp_path: Path):
    words = [sys.executable, "-P", "-c", EARLY, *SHORT]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "gradparity: interrupted\n")


#: The command, which is interrupted while an object is taken away, where no exception goes anywhere.
UNHEARD = """
import os, signal, sys

class Doomed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "gradparity.results.store":
            Doomed()

sys.meta_path.insert(0, Interrupting())
from gradparity.__main__ import main
main()
"""


def test_an_interruption_that_nobody_hears_comes_once_more(tmp_path: Path):
    words = [sys.executable, "-P", "-c", UNHEARD, "check", "--backends", "sound", "--data", "toy", "--steps", "100000"]
    began_s = time.monotonic()
    ended = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert ended.returncode == 130
    assert ended.stdout == ""
    assert re.fullmatch(r"gradparity: interrupted(; nothing was measured yet)?\n", ended.stderr), ended.stderr
    assert time.monotonic() - began_s < 20


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (TWO, "iris: evaluation"),
        pytest.param(RUN, "toy: training", marks=[pytest.mark.slow, pytest.mark.variation]),
        pytest.param(RUN, "toy: timing", marks=pytest.mark.slow),
    ],
)
def test_after_ctrl_c_at_any_point_the_next_session_measures_only_what_is_missing(
    asked: tuple[str, ...], words: str, tmp_path: Path
):
    with command(*asked, cwd=tmp_path) as process:
        wait_for(process, words)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        printed, said = process.communicate(timeout=10)
        assert time.monotonic() - began < 2
    assert process.returncode == 130
    assert "Traceback" not in printed + said
    before = saved(tmp_path)
    assert not before.complete
    code, _, _ = ended(*asked, "--resume", cwd=tmp_path)
    assert code == 0
    after = saved(tmp_path)
    assert after.ok
    assert len(after.sessions) == 2
    for old, new in zip(before.problems, after.problems, strict=False):
        assert is_kept(old, new)
        assert new.stages[-1] == ("timed" if asked is RUN else "judged")
        assert {each.backend for each in new.checked} == {"numpy", "sound"}


@pytest.mark.parametrize("delay_s", [0.03, 0.1, 0.2, 0.4])
def test_ctrl_c_before_anything_has_begun_ends_without_a_traceback(delay_s: float, tmp_path: Path):
    with command(*RUN, cwd=tmp_path) as process:
        eventually(lambda: b"gradparity" in cmdline(process.pid), within_s=5)
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=3)
    if process.returncode == 130:
        assert "Traceback" not in printed + said
    else:  # until the first line of ours, Ctrl-C is the interpreter's own affair: it starts, and imports the package
        assert process.returncode == -signal.SIGINT or (
            process.returncode == 1 and re.search("^KeyboardInterrupt|Fatal Python error|Could not import", said, re.M)
        )
        assert "__main__.py" not in said


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def ignores(pid: int, number: int) -> bool:
    """Whether a process ignores a signal by now; what has ended minds none."""
    mask = re.search(r"SigIgn:\t(\w+)", Path(f"/proc/{pid}/status").read_text())
    return gone(pid) or (mask is not None and bool(int(mask[1], 16) >> (number - 1) & 1))


def test_a_polite_request_to_end_is_as_good_as_ctrl_c(plugins: Path, tmp_path: Path):
    with command(*CHECK, cwd=tmp_path) as process:
        worker = wait_for_a_hanging_worker(plugins)
        eventually(lambda: any(problem.checked for problem in saved(tmp_path).problems), within_s=30)
        process.send_signal(signal.SIGTERM)
        eventually(lambda: ignores(process.pid, signal.SIGINT), within_s=1.5)
        process.send_signal(signal.SIGINT)  # impatience does no harm
        _, said = process.communicate(timeout=2)
    assert process.returncode == 128 + signal.SIGTERM
    assert "go on with --resume" in said
    assert gone(worker)
    assert not saved(tmp_path).complete


@pytest.mark.parametrize("busy", ["hanging", "holding"], ids=["in Python", "in C code that holds the lock"])
def test_workers_end_with_a_killed_parent_even_while_they_compute(busy: str, plugins: Path, tmp_path: Path):
    with command("check", "--backends", f"sound,{busy}", "--data", "toy", "--steps", "3", cwd=tmp_path) as process:
        worker = wait_for_a_hanging_worker(plugins)
        eventually(lambda: any(problem.checked for problem in saved(tmp_path).problems), within_s=30)
        process.kill()
        process.communicate(timeout=5)
    eventually(lambda: gone(worker), within_s=5)
    (before,) = saved(tmp_path).problems
    assert [each.backend for each in before.checked] == ["sound"]


def test_two_runs_in_one_folder_do_not_mix(plugins: Path, tmp_path: Path):
    with command(*CHECK, cwd=tmp_path) as first:
        wait_for_a_hanging_worker(plugins)
        there = saved(tmp_path)
        code, out, err = ended("check", "--backends", "sound", "--data", "toy", cwd=tmp_path)
        assert (code, out) == (2, "")
        assert "where another run is writing" in err
        assert "Name another with --out" in err
        assert saved(tmp_path).settings == there.settings
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=5)
    assert ended("check", "--backends", "sound", "--data", "toy", "--steps", "3", cwd=tmp_path)[0] == 0


# The disk.


def test_where_there_is_no_more_room_the_run_ends_with_what_it_could_save_and_goes_on_later(tmp_path: Path):
    words = ("check", "--backends", "numpy,sound", "--data", "toy", "--steps", "500")
    code, _, err = ended(*words, cwd=tmp_path, file_bytes=95_000)
    assert code == 2
    assert "File too large" in err
    assert "make room, then go on with --resume, or of a command that has none with the same command" in err
    before = saved(tmp_path)
    assert not before.complete
    assert ended(*words, "--resume", cwd=tmp_path)[0] == 0
    assert saved(tmp_path).ok


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 128 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:  # whatever else may be the matter is a failure
        assert re.search(rb"permission denied|superuser|not permitted", mounted.stderr), mounted.stderr
        pytest.skip("it takes the right to mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_ends_the_run_with_one_line_and_leaves_valid_results(small_disk: Path, tmp_path: Path):
    words = ("check", "--backends", "numpy,sound", "--data", "toy", "--data", "iris", "--projection", "2")
    code, _, err = ended(*words, "--steps", "600", "--out", str(small_disk / "out"), cwd=tmp_path)
    assert code == 2
    assert "No space left on device" in err
    assert not store.read(str(small_disk / "out")).complete


def test_a_folder_that_is_taken_away_is_made_again_with_all_that_was_measured(plugins: Path, tmp_path: Path):
    with command(*CHECK, cwd=tmp_path) as process:
        worker = wait_for_a_hanging_worker(plugins)
        eventually(lambda: any(problem.checked for problem in saved(tmp_path).problems), within_s=30)
        shutil.rmtree(tmp_path / "gradparity-report")
        os.kill(worker, signal.SIGKILL)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "Traceback" not in said
    (problem,) = saved(tmp_path).problems
    assert {found.backend: found.verdict for found in problem.findings} == {"sound": "agrees", "hanging": "agrees"}
    assert [(trouble.backend, trouble.stage) for trouble in problem.troubles] == [("hanging", "evaluation of the HVP")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a command has come to its end."""
    folder = tmp_path_factory.mktemp("finished")
    assert ended(*SHORT, cwd=folder)[0] == 0
    return folder


@pytest.mark.parametrize("resume", [(), ("--resume",)])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda whole: whole[: len(whole) // 2], "a file that is none"),
        (lambda whole: b"", "a file that is none"),
        (lambda whole: whole.replace(b'"schema_version": %d' % SCHEMA_VERSION, b'"schema_version": 99'), "version 99"),
    ],
)
def test_results_that_are_cut_off_or_of_a_newer_version_are_not_gone_on_from_and_not_in_the_way(
    content, said: str, resume: tuple[str, ...], tmp_path: Path, finished: Path
):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "gradparity-report" / "results.json"
    broken = content(file.read_bytes())
    file.write_bytes(broken)
    code, _, err = ended(*SHORT, *resume, cwd=tmp_path)
    if resume:
        assert code == 2
        assert said in err
        assert file.read_bytes() == broken
    else:
        assert code == 0
        assert saved(tmp_path).ok


CLOCK = """
import time
_real, _calls = time.time, [0]
def time_():
    _calls[0] += 1
    return _real() + 3600 * _calls[0] * (-1) ** _calls[0]
time.time, time.time_ns = time_, lambda: int(1e9 * time_())
"""


@pytest.mark.slow
def test_a_clock_that_is_set_back_and_forward_again_and_again_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(CLOCK)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'clock'}{os.pathsep}{os.environ['PYTHONPATH']}")
    code, _, _ = ended("run", "--backends", "numpy,sound", "--data", "toy", "--steps", "3", "--quick", cwd=tmp_path)
    assert code == 0
    result = saved(tmp_path)
    assert result.ok
    assert 0 < result.sessions[0].seconds < 120
    for timing in result.problems[0].timings:
        assert timing.import_s > 0
        assert all(block.wall_ns > 0 for each in timing.step.rounds for block in (*each.reference, *each.challenger))


# What --resume refuses.


def test_a_run_that_is_not_the_same_is_not_gone_on_with_and_a_finished_one_is_shown_again(tmp_path: Path):
    assert ended(*SHORT, "--resume", cwd=tmp_path)[0] == 0  # nothing is there: it starts
    file = tmp_path / "gradparity-report" / "results.json"
    there, before = file.read_bytes(), saved(tmp_path)
    code, _, err = ended(*SHORT[:-1], "4", "--resume", cwd=tmp_path)
    assert code == 2
    assert "steps: 4, which was 3" in err
    assert file.read_bytes() == there
    code, out, err = ended(*SHORT, "--resume", cwd=tmp_path)
    assert code == 0
    assert "agrees" in out
    assert "import numpy" not in err
    after = saved(tmp_path)
    assert msgspec.to_builtins(after.problems) == msgspec.to_builtins(before.problems)


def test_a_file_in_a_folder_is_the_same_problem_in_the_next_session(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "p.csv").write_text("a,y\n0.5,1\n-1.5,0\n2,1\n0.1,0\n")
    words = ("check", "--data", "sub/p.csv", "--target", "y", "--backends", "numpy", "--steps", "3")
    assert ended(*words, cwd=tmp_path)[0] == 0
    before = saved(tmp_path)
    assert ended(*words, "--resume", cwd=tmp_path)[0] == 0
    assert msgspec.to_builtins(saved(tmp_path).problems) == msgspec.to_builtins(before.problems)


def test_a_model_that_was_changed_is_not_gone_on_with(tmp_path: Path):
    words = ("check", model_file(tmp_path, HEAD + LOSS), "--backends", "autograd", "--steps", "3")
    assert ended(*words, cwd=tmp_path)[0] == 0
    model_file(tmp_path, HEAD + LOSS.replace("0.5", "0.4"))
    code, _, err = ended(*words, "--resume", cwd=tmp_path)
    assert code == 2
    assert "whose model changed since" in err
