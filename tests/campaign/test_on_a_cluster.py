"""Campaigns on Dask itself: a scheduler and two workers of this machine, and everything that may be lost of them."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from gradparity.cli.exits import ExitCode, exit_code
from gradparity.judge.baseline import entries_of, hold
from gradparity.results import ProblemResult, RunResult, store
from gradparity.runner.observer import NullObserver
from gradparity.runner.session import run
from gradparity.runner.settings import settings_from
from tests.conftest import Command
from tests.faults.harness import command, ended, eventually, gone
from tests.user_model.models import GRADIENT, HEAD, LOSS, SUMMED_PORT, model_file, model_folder

pytest.importorskip("distributed")

#: Its loss is in a module beside it, and its data are in a file there.
IN_PARTS = """
import numpy as np
from pathlib import Path
from parts import gradient, loss

def parameters(rng):
    return {"w": rng.standard_normal(3), "b": np.array(0.5)}

def data(rng):
    return {"X": np.load(Path(__file__).with_name("X.npy")), "y": rng.standard_normal(6)}
"""

#: Says which process draws it, and takes long over it the first time.
SLOW = """
import os, time
from pathlib import Path
import numpy as np

def parameters(rng):
    return {"w": rng.standard_normal(3), "b": np.array(0.5)}

def data(rng):
    mark = Path(os.environ["MARKS"]) / f"{os.getpid()}"
    first = not any(mark.parent.iterdir())
    mark.touch()
    if first or os.environ.get("ALWAYS"):
        time.sleep(100)
    return {"X": rng.standard_normal((6, 3)), "y": rng.standard_normal(6)}
"""


def in_parts(folder: Path) -> str:
    """A model whose loss is in a module beside it, and whose data are in a file there."""
    model_file(folder, LOSS + GRADIENT, "parts.py")
    with (folder / "X.npy").open("wb") as file:
        np.save(file, np.arange(18.0).reshape(6, 3) / 7)
    return model_file(folder, IN_PARTS, "in_parts.py")


def told(problem: ProblemResult) -> Any:
    """All that a problem says but where and how fast."""
    kept = msgspec.structs.replace(problem, place=None, checked=[], troubles=problem.troubles)
    found = msgspec.to_builtins(kept)
    for each in found["training"]:
        each["loop_s"] = 0.0
    return found


def here_and_there(folder: Path, paths: list[str], **given: Any) -> tuple[RunResult, RunResult]:
    """The same command here and on two workers of this machine."""
    found = []
    for name, more in (("here", {}), ("there", {"scheduler": "local:2"})):
        settings = settings_from("check", {**given, "out": folder / name, **more}, paths)
        found.append(run(settings, NullObserver()))
        assert store.encode(store.read(folder / name)) == store.encode(found[-1])
    return found[0], found[1]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, RunResult]:
    folder = tmp_path_factory.mktemp("campaign")
    return here_and_there(folder, [in_parts(folder)], backends="numpy", seed="0,5", steps=2)


def test_a_campaign_says_of_every_seed_what_the_same_command_says_here(both: tuple[RunResult, RunResult]):
    here, there = both
    assert [problem.label for problem in there.problems] == ["in_parts.py, seed 0", "in_parts.py, seed 5"]
    assert {found.verdict for problem in there.problems for found in problem.findings} == {"agrees"}
    for one, other in zip(here.problems, there.problems, strict=True):
        assert told(one) == told(other)
    assert [info.versions for info in here.backends] == [info.versions for info in there.backends]
    assert len({problem.source_digest for problem in there.problems}) == len(there.problems)


@pytest.mark.slow
def test_what_is_wrong_is_wrong_there_with_the_same_cause_and_the_same_lines(tmp_path: Path):
    wrong = model_folder(tmp_path / "wrong", HEAD + LOSS, autograd=SUMMED_PORT)
    right = model_file(tmp_path, HEAD + LOSS, "right.py")
    here, there = here_and_there(tmp_path, [wrong, right], backends="autograd", steps=3)
    assert {found.verdict for found in there.problems[0].findings} >= {"wrong"}
    assert [told(problem) for problem in here.problems] == [told(problem) for problem in there.problems]
    assert exit_code(here) == exit_code(there) == ExitCode.DISAGREES
    entries = [msgspec.structs.replace(each, reason="known") for each in entries_of(here)]
    assert entries == [msgspec.structs.replace(each, reason="known") for each in entries_of(there)]
    assert all(hold(each, entries, "").ok for each in (here, there))


def test_it_says_where_each_was_measured_and_of_which_files(both: tuple[RunResult, RunResult]):
    _, there = both
    places = [problem.place for problem in there.problems]
    assert all(place is not None and place.machine in there.machines for place in places)
    assert [place.job for place in places if place] == [0, 1]
    shipped = {place.shipped for place in places if place}
    assert len(shipped) == 1  # of one model with two seeds
    assert all(len(digest) == 64 for digest in shipped)
    assert there.machines.keys() == {socket.gethostname()}
    assert "gradparity-" not in json.dumps(there.to_dict()["problems"])  # a scratch folder's name


@dataclass
class Cluster:
    """A scheduler and workers, each a process of Dask's own commands."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]

    def worker_of(self, pid: int) -> subprocess.Popen[bytes]:
        """Who started the process of that number."""
        above = {each.pid for each in psutil.Process(pid).parents()}
        return next(worker for worker in self.workers if worker.pid in above)


@contextlib.contextmanager
def cluster(folder: Path, workers: int = 2, first: str = "") -> Iterator[Cluster]:
    """One with so many workers, which run some code ``first``."""
    file = folder / "scheduler.json"
    common = ("--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard")
    own = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder), "--death-timeout", "60")
    with contextlib.ExitStack() as stack:

        def node(role: str, *words: str) -> subprocess.Popen[bytes]:
            before = first if role == "worker" else ""
            code = f"{before}\nfrom distributed.cli.dask_{role} import main\nmain()"
            log = stack.enter_context((folder / f"{role}.log").open("ab"))
            made = subprocess.Popen([sys.executable, "-P", "-c", code, *words], stderr=log)
            stack.callback(made.wait)
            stack.callback(made.kill)
            return made

        scheduler = node("scheduler", "--port", "0", *common)
        there = [node("worker", *common, *own) for _ in range(workers)]
        eventually(lambda: file.exists() and file.read_text().rstrip().endswith("}"), within_s=30)
        yield Cluster(json.loads(file.read_text())["address"], scheduler, there)


def begun(marks: Path, count: int = 1) -> list[int]:
    """The processes that have begun to draw, once there are so many."""
    eventually(lambda: len(list(marks.iterdir())) >= count, within_s=40)
    return [int(each.name) for each in marks.iterdir()]


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def campaign(*words: str, address: str, marks: Path) -> tuple[str, ...]:
    return (
        *("check", "slow.py", "right.py", "--backends", "autograd", "--steps", "3", "--out", "out"),
        *("--scheduler", address, "--env", f"MARKS={marks}", *words),
    )


def two_models(folder: Path) -> None:
    model_file(folder, SLOW + LOSS, "slow.py")
    model_file(folder, HEAD + LOSS, "right.py")


@pytest.mark.slow
def test_a_job_of_a_worker_that_is_killed_is_done_by_the_other(tmp_path: Path, marks: Path):
    two_models(tmp_path)
    with cluster(tmp_path) as there, command(*campaign(address=there.address, marks=marks), cwd=tmp_path) as process:
        (drawing,) = begun(marks)
        there.worker_of(drawing).kill()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        eventually(lambda: gone(drawing), within_s=15)
    result = store.read(tmp_path / "out")
    assert result.ok
    assert [problem.place.again for problem in result.problems if problem.place] == [1, 0]


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_said_in_one_line_and_the_next_goes_on(tmp_path: Path, marks: Path):
    two_models(tmp_path)
    with cluster(tmp_path) as there, command(*campaign(address=there.address, marks=marks), cwd=tmp_path) as process:
        (drawing,) = begun(marks)
        eventually(lambda: "right.py" in (tmp_path / "out/results.json").read_text(), within_s=30)
        eventually(lambda: len(store.read(tmp_path / "out").problems) == 1, within_s=30)
        there.scheduler.kill()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 2
        assert said.splitlines()[-1] == (
            f"gradparity: --scheduler: got {there.address}, which has gone away, expected a scheduler that stays until "
            "all is measured. What has come back is saved: start one, then go on with --resume."
        )
        assert "Traceback" not in said
    eventually(lambda: gone(drawing), within_s=15)
    code, _, said = ended(*campaign("--resume", address="local:1", marks=marks), cwd=tmp_path)
    assert code == 0, said
    result = store.read(tmp_path / "out")
    assert [problem.name for problem in result.problems] == ["slow.py", "right.py"]
    assert len(result.sessions) == 2


@pytest.mark.slow
def test_ctrl_c_ends_what_is_under_way_on_the_cluster_and_keeps_the_rest(tmp_path: Path, marks: Path):
    two_models(tmp_path)
    with cluster(tmp_path) as there, command(*campaign(address=there.address, marks=marks), cwd=tmp_path) as process:
        (drawing,) = begun(marks)
        eventually(lambda: len(store.read(tmp_path / "out").problems) == 1, within_s=30)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=15)
        assert process.returncode == 130
        assert "results so far are in out/results.json: go on with --resume" in said.splitlines()[-1]
        eventually(lambda: gone(drawing), within_s=15)
        assert all(worker.poll() is None for worker in there.workers)  # they are the user's
        again, _, said = ended(*campaign("--resume", address=there.address, marks=marks), cwd=tmp_path)
        assert again == 0, said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.variation)])
def test_a_command_that_is_killed_leaves_nothing_of_its_own_cluster(
    tmp_path: Path, marks: Path, number: signal.Signals
):
    two_models(tmp_path)
    with command(*campaign(address="local:2", marks=marks), cwd=tmp_path) as process:
        (drawing,) = begun(marks)
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) > 3
        process.send_signal(number)
        _, said = process.communicate(timeout=15)
        assert "gradparity: interrupted; " in said or number == signal.SIGKILL
        eventually(lambda: all(gone(each.pid) for each in below), within_s=20)
    assert gone(drawing)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("import sys; sys.modules['gradparity'] = None", "expected gradparity on every worker"),
        ("from gradparity import version; version.__version__ = '0.0.1'", "got gradparity 0.0.1 on tcp://"),
    ],
    ids=["no gradparity", "another gradparity"],
)
def test_a_worker_that_has_not_what_is_here_is_refused_in_a_line(first: str, said: str, tmp_path: Path, marks: Path):
    two_models(tmp_path)
    with cluster(tmp_path, 1, first) as there:
        code, _, told = ended(*campaign(address=there.address, marks=marks), cwd=tmp_path)
    assert code == 2
    assert said in told.splitlines()[-1]
    assert [*marks.iterdir()] == []


@pytest.mark.slow
@pytest.mark.variation  # of a worker that is lost
def test_a_worker_whose_disk_is_full_gives_its_jobs_to_the_other(tmp_path: Path, marks: Path):
    two_models(tmp_path)
    (tmp_path / "first").mkdir()
    (marks / "0").touch()  # it is not slow
    with cluster(tmp_path, workers=1) as there:
        full = (
            "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
            "from distributed.cli.dask_worker import main; main()"
        )
        words = [there.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path)]
        other = subprocess.Popen([sys.executable, "-P", "-c", full, *words], stderr=subprocess.DEVNULL)
        try:
            time.sleep(3)
            code, _, said = ended(*campaign(address=there.address, marks=marks), cwd=tmp_path)
        finally:
            other.kill()
            other.wait()
    assert code == 0, said


#: Says when it was drawn, and takes its time.
STAYING = """
import os, time
from pathlib import Path
import numpy as np

def parameters(rng):
    return {"w": rng.standard_normal(3), "b": np.array(0.5)}

def data(rng):
    began = time.time()
    time.sleep(3)
    Path(os.environ["MARKS"], str(os.getpid())).write_text(f"{began} {time.time()}")
    return {"X": rng.standard_normal((6, 3)), "y": rng.standard_normal(6)}
"""


@pytest.mark.slow
def test_timed_jobs_have_their_machine_to_themselves(tmp_path: Path, marks: Path):
    """Of two workers of one machine one waits until the other is done; every backend of a job is timed in it."""
    paths = [model_file(tmp_path, STAYING + LOSS + GRADIENT, f"{name}.py") for name in "ab"]
    given = {"backends": "numpy,autograd", "profile": "brief", "out": tmp_path / "out", "scheduler": "local:2"}
    result = run(settings_from("bench", given | {"env": f"MARKS={marks}"}, paths), NullObserver())
    assert not result.troubles
    for problem in result.problems:
        assert {timing.backend for timing in problem.timings} == {"numpy", "autograd"}
        assert problem.control is not None
        assert problem.place is not None
        assert problem.place.machine in result.machines
    (_, first), (second, _) = sorted(tuple(map(float, each.read_text().split())) for each in marks.iterdir())
    assert second > first


def test_a_scheduler_behind_tls_is_not_asked_without_certificates(tmp_path: Path, command: Command):
    words = ("--scheduler", "tls://127.0.0.1:1", "--out", str(tmp_path / "out"), "--quiet")
    code, printed, said = command("check", model_file(tmp_path, HEAD + LOSS), *words)
    assert (code, printed) == (2, "")
    assert said.startswith(
        "gradparity: --scheduler: got tls://127.0.0.1:1 and no certificates, expected certificates in"
    )
    assert len(said.splitlines()) == 1


def test_a_scheduler_that_does_not_answer_is_said_in_a_line(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gradparity.runner.cluster.CONNECT_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    path = model_file(tmp_path, HEAD + LOSS)
    words = ("--scheduler", f"tcp://127.0.0.1:{port}", "--out", str(tmp_path / "out"), "--quiet")
    code, printed, said = command("check", path, *words)
    assert (code, printed) == (2, "")
    assert said == (
        f"gradparity: --scheduler: got tcp://127.0.0.1:{port}, and nobody answers there, expected a scheduler that "
        "answers within 0.5 s. dask scheduler starts one.\n"
    )


@pytest.mark.slow
def test_a_campaign_that_is_whole_is_left_as_it_is_by_the_same_command_here(tmp_path: Path):
    """What is measured there is of the same digests, and of the same versions."""
    given = {"backends": "autograd", "steps": 2, "out": tmp_path / "out"}
    path = in_parts(tmp_path)
    there = run(settings_from("check", given | {"scheduler": "local:1"}, path), NullObserver())
    here = run(settings_from("check", given, path), NullObserver(), resume=True)
    assert here.problems == there.problems
    assert here.machines == there.machines
    assert len(here.sessions) == 2
