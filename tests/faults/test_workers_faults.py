"""Workers that fail: each is a failed row with its reason, the others still report, and a later session goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gradparity.backends import BACKENDS
from gradparity.model_spec.errors import InputError
from gradparity.oracle.client import ModelProcess
from gradparity.processes.launch import Launch
from gradparity.processes.scratch import _GUARD
from gradparity.results import store
from gradparity.results.folder import SCHEMA_PATH
from gradparity.worker import messages as m
from tests.faults.harness import check, command, ended, eventually, gone, saved, wait_for_a_hanging_worker


def test_every_fault_is_a_failed_row_with_its_reason_and_the_others_still_report(plugins: Path, tmp_path: Path):
    faults = {
        "killed": ("evaluation of the HVP", r"killed by SIGKILL, by hand or by the system for want of memory"),
        "crashing": ("evaluation of the HVP", r"killed by SIGSEGV; its last words are in logs/toy\.crashing\.log"),
        "raising": ("evaluation of the HVP", r"ValueError: no \[/red\] derivative of this"),
        "leaving": ("evaluation of the HVP", r"exited with code 1; its last words are in logs/toy\.leaving\.log"),
        "exiting": ("import", r"exited with code 7; its last words are in logs/toy\.exiting\.log"),
        "absent": (
            "import",
            r"not available: reinstall faulty-backends, whose module not_installed_at_all is not there",
        ),
        "garbling": ("evaluation of the HVP", r"answered what is no message: .+; killed"),
        "truncating": ("evaluation of the HVP", r"exited with code 5"),
        "scribbling": ("evaluation of the HVP", r"it wrote to gradparity's channel; killed"),
        "rare": ("evaluation of the HVP", r"killed by SIGRTMIN\+6"),
    }
    names = ["numpy", *faults, "chatty", "sound"]
    logs = tmp_path / "gradparity-report" / "logs"
    logs.mkdir(parents=True)
    shutil.copy(SCHEMA_PATH, logs.parent)
    (logs / "toy.killed.log").write_text("all is well\n")  # of an earlier run, and not the last words of this one
    with command(
        "check", "--verbose", "--backends", ",".join(names), "--data", "toy", "--steps", "3", cwd=tmp_path
    ) as process:
        out, err = process.communicate(timeout=100)
    assert process.returncode == 3
    assert "Traceback" not in out + err
    assert not set("\x1b\x07") & set(out + err)

    result = store.read(tmp_path / "gradparity-report" / "results.json")
    assert result.complete
    (problem,) = result.problems
    assert {trouble.backend for trouble in problem.troubles} == set(faults)
    for trouble in problem.troubles:
        stage, reason = faults[trouble.backend]
        assert trouble.stage == stage
        assert re.fullmatch(reason, trouble.reason)
        assert f"{trouble.backend} failed in {stage} on toy: " in out
        assert re.search(rf"^{trouble.backend} +failed", out, re.MULTILINE)
    verdicts = {name: {found.verdict for found in problem.findings if found.backend == name} for name in names}
    late = {name for name, (stage, _) in faults.items() if stage == "evaluation of the HVP"}  # what it gave stands
    assert verdicts == {name: {"failed"} if name in {*faults} - late else {"agrees"} for name in names}
    assert {trained.backend for trained in problem.training} == {"numpy", "chatty", "sound"} | late
    (raised,) = [trouble for trouble in problem.troubles if trouble.backend == "raising"]
    assert raised.detail.startswith("Traceback")

    # hvp is called twice: 4 MiB to each stream, each time, and none of it anywhere but in the log.
    assert (logs / "toy.chatty.log").stat().st_size == 2 * 2 * 4 * 1024 * 1024
    assert "xxxx" not in out + err


def test_a_worker_that_hangs_is_killed_and_said_to_have_given_no_answer(
    plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(m.Evaluate, "timeout_s", 1)
    (problem,) = check(tmp_path / "out", "hanging", "sound").problems
    assert [(t.backend, t.stage, t.reason) for t in problem.troubles] == [
        ("hanging", "evaluation of the HVP", "no answer after 1 s; killed (--timeout step=SECONDS allows more)")
    ]
    assert {(found.backend, found.verdict) for found in problem.findings} == {
        ("hanging", "agrees"),
        ("sound", "agrees"),
    }


def test_what_a_worker_started_holds_up_neither_its_failure_nor_the_run(plugins: Path, tmp_path: Path):
    started = time.monotonic()
    (problem,) = check(tmp_path / "out", "orphaning").problems
    assert [trouble.reason for trouble in problem.troubles] == ["exited with code 6"]
    assert time.monotonic() - started < 30  # it sleeps for 60
    orphan = int((plugins / "orphan").read_text())
    eventually(lambda: gone(orphan), within_s=5)


def test_a_third_party_is_listed_and_runs_under_any_name(plugins: Path, tmp_path: Path):
    with command("backends", "--json", cwd=tmp_path) as process:
        listed = {info["name"] for info in json.loads(process.communicate(timeout=60)[0])}
    assert listed > set(BACKENDS)
    assert "a/b[red]" in listed
    result = check(tmp_path / "out", "a/b[red]")
    assert {(found.backend, found.verdict) for found in result.problems[0].findings} == {("a/b[red]", "agrees")}


@pytest.mark.slow
def test_a_hang_in_the_import_in_compiling_and_in_a_step_ends_by_the_limit_of_each_and_is_said_with_it(tmp_path: Path):
    names = "stuck_importing,stuck_compiling,hanging,sound"
    limits = [word for wait in ("import=5", "compile=4.5", "step=4") for word in ("--timeout", wait)]
    code, out, _ = ended("check", "--backends", names, "--data", "toy", "--steps", "3", *limits, cwd=tmp_path)
    assert code == 3
    assert "no answer after 4.5 s" in out
    (problem,) = saved(tmp_path).problems
    assert {trouble.backend: (trouble.stage, trouble.reason) for trouble in problem.troubles} == {
        "stuck_importing": ("import", "no answer after 5 s (--timeout import=5); killed"),
        "stuck_compiling": ("build and first call", "no answer after 4.5 s (--timeout compile=4.5); killed"),
        "hanging": ("evaluation of the HVP", "no answer after 4 s (--timeout step=4); killed"),
    }
    assert {found.verdict for found in problem.findings if found.backend == "sound"} == {"agrees"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process can write to")
def test_a_worker_that_wants_more_memory_than_it_may_have_fails_alone_and_is_said_to_be_out_of_memory(tmp_path: Path):
    words = ("check", "--backends", "greedy,sound", "--data", "toy", "--steps", "3", "--memory-limit", "1")
    code, _, _ = ended(*words, cwd=tmp_path)
    assert code == 3
    (problem,) = saved(tmp_path).problems
    (trouble,) = problem.troubles
    assert (trouble.backend, trouble.stage) == ("greedy", "evaluation of the HVP")
    assert re.match(r"out of memory \(--memory-limit 1\): .*Unable to allocate 4\.00 GiB", trouble.reason)
    assert {found.verdict for found in problem.findings if found.backend == "sound"} == {"agrees"}


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_frameworks_import_and_step_within_a_limit_of_memory(name: str, tmp_path: Path):
    words = ("check", "--backends", name, "--data", "toy", "--steps", "3", "--memory-limit", "2")
    assert ended(*words, cwd=tmp_path)[0] == 0


def test_a_framework_of_which_a_part_is_missing_fails_in_its_import_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "broken" / "autograd").mkdir(parents=True)
    (tmp_path / "broken" / "autograd" / "__init__.py").touch()  # what is left where an installation was broken off
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'broken'}{os.pathsep}{os.environ['PYTHONPATH']}")
    words = ("check", "--backends", "autograd,half,sound", "--data", "toy", "--steps", "3")
    code, _, _ = ended(*words, cwd=tmp_path)
    assert code == 3
    (problem,) = saved(tmp_path).problems
    said = {trouble.backend: f"{trouble.stage}: {trouble.reason}" for trouble in problem.troubles}
    assert set(said) == {"autograd", "half"}
    assert re.match(r"import: (ImportError|ModuleNotFoundError): .*autograd", said["autograd"])
    assert re.match(r"import: ImportError: cannot import name 'half_of_it' from 'json'", said["half"])


@pytest.mark.slow
def test_a_worker_lost_under_the_clock_is_timed_in_a_later_session_and_the_others_are_not_timed_again(
    plugins: Path, tmp_path: Path
):
    name = "crashing_later"
    words = ("run", "--backends", f"numpy,sound,{name}", "--data", "toy", "--steps", "3", "--quick")
    assert ended(*words, cwd=tmp_path)[0] == 3
    (before,) = saved(tmp_path).problems
    (trouble,) = before.troubles
    assert trouble.backend == name
    assert "killed by SIGSEGV" in trouble.reason
    (plugins / "mended").touch()
    assert ended(*words, "--resume", cwd=tmp_path)[0] == 0
    result = saved(tmp_path)
    (after,) = result.problems
    assert result.ok
    assert len(result.sessions) == 2
    assert after.troubles == []
    assert after.checked[: len(before.checked)] == before.checked
    rounds = {t.backend: t.step.rounds for t in before.timings if t.step}
    again = {t.backend: t.step.rounds for t in after.timings if t.step}
    assert rounds["sound"]
    assert again["sound"] == rounds["sound"]
    assert again[name]


@pytest.mark.parametrize("backend", ["daemon", "daemon_crashing"])
def test_a_daemon_of_a_worker_does_not_outlive_the_run(plugins: Path, tmp_path: Path, backend: str):
    began_s = time.monotonic()
    check(tmp_path / "out", backend)
    assert time.monotonic() - began_s < 30  # it would end by itself after a minute, and has the crashed one's channel
    eventually(lambda: gone(int((plugins / "daemon").read_text())), within_s=5)


def test_a_daemon_of_a_worker_does_not_outlive_a_run_that_is_killed(plugins: Path, tmp_path: Path):
    with command("check", "--backends", "daemon_hanging", "--data", "toy", cwd=tmp_path) as process:
        eventually(lambda: (plugins / "daemon").exists() and (plugins / "daemon").read_text(), within_s=30)
        process.kill()
        process.communicate(timeout=5)
    eventually(lambda: gone(int((plugins / "daemon").read_text())), within_s=5)


def test_a_check_from_python_that_is_killed_leaves_no_folder(plugins: Path, tmp_path: Path):
    script = "import gradparity; gradparity.check(backends='hanging', data='toy')"
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path) as process:
        wait_for_a_hanging_worker(plugins)
        process.kill()


#: A model whose first function has a line of its own.
ODD = """import os
import numpy as np

class Odd(BaseException):
    pass

def parameters(rng):
    {}
    return {{"w": rng.normal(size=3)}}

def data(rng):
    return {{"x": rng.normal(size=3)}}

def loss(params, data, xp):
    return xp.sum(params["w"] * data["x"])
"""


def test_a_copy_of_its_process_that_a_model_makes_answers_nothing(tmp_path: Path):
    (tmp_path / "model.py").write_text(ODD.format("os.fork()"))
    with ModelProcess(str(tmp_path / "model.py"), Launch(tmp_path / "log")) as process:
        drawn = [process.draw(seed, None).problem.params["w"].tolist() for seed in (0, 0, 1, 1, 2)]
    expected = [np.random.default_rng(seed).normal(size=3).tolist() for seed in (0, 1, 2)]
    assert [drawn[0], drawn[2], drawn[4]] == expected  # more answers than requests: each would be of one before
    assert [drawn[1], drawn[3]] == expected[:2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('raise ValueError("half a pair: \\udc80")', "ValueError: half a pair: \\udc80"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ('raise Odd("of no kind")', "Odd: of no kind"),
        (
            "raise type('Last', (Exception,), {'__str__': lambda _: exit(0)})",
            "Last: what it says raises SystemExit",
        ),
    ],
)
def test_whatever_a_model_raises_is_said_with_its_place(tmp_path: Path, line: str, said: str):
    (tmp_path / "model.py").write_text(ODD.format(line))
    with (
        ModelProcess(str(tmp_path / "model.py"), Launch(tmp_path / "log")) as process,
        pytest.raises(InputError, match=rf"model\.py, line 8: got {re.escape(said)}"),
    ):
        process.draw(0, None)


def test_a_guard_that_cannot_wait_takes_nothing_away(tmp_path: Path):
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("rm", "sleep", "grep"):
        where = shutil.which(name)
        assert where is not None
        (commands / name).symlink_to(where)
    folder = tmp_path / "scratch"
    folder.mkdir()
    guard = ["/bin/sh", "-c", _GUARD, "gradparity-guard", str(folder)]
    subprocess.run(guard, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"PATH": str(commands)}, check=False)
    assert folder.is_dir()


def test_a_guard_ends_nobody_elses_process_whatever_the_folders_name(tmp_path: Path):
    named, beside = Path(f"{tmp_path}/base\n/temporary"), tmp_path / "base"  # two lines, one of them another folder
    named.mkdir(parents=True)
    killed = "import os\nfrom gradparity.processes.scratch import scratch_folder\n"
    killed += "with scratch_folder() as folder:\n    print(folder.name, flush=True)\n    os.kill(os.getpid(), 9)\n"
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "TMPDIR": str(beside)}) as bystander:
        words, environment = [sys.executable, "-c", killed], {**os.environ, "TMPDIR": str(named)}
        ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        time.sleep(0.2)
        eventually(lambda: not (named / ran.stdout.strip()).exists(), within_s=5)
        assert ran.stdout.startswith("gradparity-")
        assert bystander.poll() is None
        bystander.kill()
