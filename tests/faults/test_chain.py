"""Chains of random faults over sessions that go on from each other: they end as a run that was never interrupted."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from gradparity.results import ProblemResult, RunResult, Timing, store
from tests.faults.harness import command, ended, eventually, running_with

#: Faults at the least, over all chains; and in one, which is then finished and held to what was never interrupted.
FAULTS, A_CHAIN = 300, 8
#: A seed each chain: the first has a place in every run of the slow tests, and all are run by -m ''.
SEEDS = [pytest.param(seed, marks=[pytest.mark.variation] * bool(seed)) for seed in range(-(-FAULTS // A_CHAIN))]
COMMANDS = {
    "check": ("check", "--data", "toy", "--data", "synthetic:30x3", "--data", "synthetic:40x3", "--projection", "2"),
    "bench": ("bench", "--sizes", "4x3x3,6x3x3", "--profile", "brief"),
    "run": ("run", "--quick", "--data", "toy", "--data", "synthetic:30x3", "--projection", "2"),
}
MORE = ("--backends", "numpy,sound", "--steps", "3", "--resume")
OUT = "gradparity-report"


def deterministic(result: RunResult) -> list[dict[str, object]]:
    """What two runs of a command have in common: verdicts, training, what came to its end, and how much was timed.

    The reference is timed once more beside a backend that was lost.
    """
    return [
        {
            "label": problem.label,
            "digest": problem.digest,
            "stages": sorted({each.rstrip("0123456789 ") for each in problem.stages}),
            "findings": msgspec.to_builtins(problem.findings),
            "training": [msgspec.to_builtins(msgspec.structs.replace(ran, loop_s=None)) for ran in problem.training],
            "checked": sorted(each.backend for each in problem.checked),
            "pairs": {t.backend: timed_in(t) for t in problem.timings if t.backend != problem.reference},
            "troubles": problem.troubles,
            "left out": problem.left_out,
        }
        for problem in result.problems
    ]


def timed_in(timing: Timing) -> list[int]:
    """In how many process pairs steps and loops were timed; a backend that was lost in one has another of its own."""
    return [len(set(call.pairs)) if call else 0 for call in (timing.step, timing.loop)]


def is_pythons_own(said: str) -> bool:
    """Whether a traceback is the interpreter's, which was interrupted before the first line of ours."""
    own = re.search("^KeyboardInterrupt|Fatal Python error|Could not import", said, re.MULTILINE)
    return own is not None and "__main__.py" not in said


def differing(mine: dict[str, object], theirs: dict[str, object]) -> str:
    """Where two differ, as lines."""
    one, two = (json.dumps(each, indent=1, default=str).splitlines() for each in (mine, theirs))
    return "\n".join(difflib.unified_diff(one, two, lineterm="", n=1))


def is_kept(before: ProblemResult, after: ProblemResult) -> bool:
    """Whether nothing that had come to its end is lost."""
    checked = {each.backend for each in before.checked}
    return checked <= {each.backend for each in after.checked} and all(
        finding in after.findings for finding in before.findings if finding.backend in checked
    )


def there(folder: Path) -> list[ProblemResult]:
    """What is saved, which is a whole file whatever happened."""
    return store.read(folder).problems if (folder / "results.json").exists() else []


def worker_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        found = [each for each in psutil.Process(process.pid).children() if "gradparity.worker" in str(each.cmdline())]
        return found[-1] if found else None
    return None


def unplugged(out: Path, aside: Path) -> None:
    """The folder goes, as with a stick that is pulled out."""
    if out.exists():
        shutil.rmtree(aside, ignore_errors=True)
        out.rename(aside)


def plugged_in(out: Path, aside: Path) -> None:
    """It is back, unless the run has made another one with all that it had."""
    if aside.exists() and not (out / "results.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        aside.rename(out)


def happens(fault: str, process: subprocess.Popen[str], cwd: Path) -> None:
    """One fault, to a session at work."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        if fault in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"):
            process.send_signal(getattr(signal, fault))
        elif fault == "stopped and killed":
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            process.kill()
        elif fault == "stopped for a while":
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            process.send_signal(signal.SIGCONT)
        elif fault == "unplugged":
            unplugged(cwd / OUT, cwd / "aside")
        else:
            worker = worker_of(process)
            if worker is not None and fault == "worker killed":
                worker.kill()
            elif worker is not None:
                worker.suspend()
                time.sleep(0.2)
                worker.resume()


KINDS = (
    *("SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "stopped and killed", "stopped for a while"),
    *("unplugged", "worker killed", "worker stopped", "full disk"),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[dict[str, object]], float]]:
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_chain_of_faults_ends_as_a_run_that_was_never_interrupted(
    plugins: Path, tmp_path: Path, seed: int, whole: dict[str, tuple[list[dict[str, object]], float]]
):
    rng = random.Random(seed)
    name = list(COMMANDS)[seed % len(COMMANDS)]
    words = (*COMMANDS[name], *MORE)
    if name not in whole:
        (tmp_path / "whole").mkdir()
        began_s = time.monotonic()
        code, _, said = ended(*words, cwd=tmp_path / "whole")
        assert code == 0, said
        whole[name] = deterministic(store.read(tmp_path / "whole" / OUT)), time.monotonic() - began_s
    expected, takes_s = whole[name]
    cwd = tmp_path / "chain"
    cwd.mkdir()
    before: list[ProblemResult] = []
    for _ in range(A_CHAIN):
        fault = rng.choice(KINDS)
        room = rng.randrange(1, 60_000) if fault == "full disk" else None
        with command(*words, cwd=cwd, file_bytes=room) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 1.2 * takes_s))
            if process.poll() is None and room is None:
                happens(fault, process, cwd)
            _, said = process.communicate(timeout=20 * takes_s + 20)
        assert "Traceback" not in said or (fault == "SIGINT" and is_pythons_own(said)), f"{fault}: {said}"
        plugged_in(cwd / OUT, cwd / "aside")
        after = there(cwd / OUT)
        assert len(after) >= len(before), fault
        assert all(is_kept(old, new) for old, new in zip(before, after, strict=False)), fault
        before = after
    assert ended(*words, cwd=cwd)[0] == 0
    for mine, theirs in zip(deterministic(store.read(cwd / OUT)), expected, strict=True):
        assert [name for name in mine if mine[name] != theirs[name]] == [], differing(mine, theirs)
    eventually(lambda: not running_with(os.environ["XDG_CACHE_HOME"]), within_s=5)
    shutil.rmtree(cwd)
