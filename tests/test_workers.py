"""Real worker processes and their faults: each is a failed row with its reason, and nothing is left running."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backends import BACKENDS, Registration
from gradparity import engine, launch, results, store
from gradparity import messages as m
from gradparity.budget import Deadline
from gradparity.launch import OutOfTime, WorkerFailed, WorkerProcess
from gradparity.results import RunResult
from gradparity.settings import Settings
from model_spec.problem import make_problem
from model_spec.spec import ProjectedLogistic

# Third parties' backends, installed by nothing but a folder on PYTHONPATH. They are NumPy's but for one fault each.

MODULE = """
import ctypes, os, signal, sys, time
from backends.numpy_backend import ClosedForm, NumpyBackend


class Faulty(NumpyBackend):
    def __init__(self, fault):
        self.fault = fault

    def program(self, loss):
        return Program(loss.spec, self.fault)


class Program(ClosedForm):
    def __init__(self, spec, fault):
        super().__init__(spec)
        object.__setattr__(self, "fault", fault)

    def hvp(self, params, data, tangents):
        self.fault()
        return super().hvp(params, data, tangents)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def crash():
    print("about to crash", flush=True)
    ctypes.string_at(0)


def fail():
    raise ValueError("\\x1b[31mno [/red] derivative\\x1b[0m of this\\nand a second line")


def chatter():
    for stream in (sys.stdout, sys.stderr):
        for _ in range(4 * 1024):
            stream.write("x" * 1023 + "\\n")


def leave():
    sys.exit("goodbye \\x1b[1mand \\x07thanks\\x1b[0m")


def hang():
    # Busy, in Python: no message is read, and no signal is waited for.
    with open(os.environ["HOME"] + "/hanging." + str(os.getpid()), "w"):
        pass
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


def garble():
    # A message that is none, on the private pipe.
    import gc
    from multiprocessing.connection import Connection
    (pipe,) = [found for found in gc.get_objects() if isinstance(found, Connection)]
    pipe.send_bytes(b"not msgpack")
    time.sleep(60)


def truncate():
    # The first half of a message, then the end.
    import gc
    from multiprocessing.connection import Connection
    (pipe,) = [found for found in gc.get_objects() if isinstance(found, Connection)]
    os.write(pipe.fileno(), b"\\x00\\x00\\x01\\x00half")
    os._exit(5)


def orphan():
    # A process of its own outlives it, and does not hold up what is said about it.
    import subprocess
    with open(os.environ["HOME"] + "/orphan", "w") as file:
        file.write(str(subprocess.Popen(["sleep", "60"], close_fds=False).pid))
    os._exit(6)


sound, killed, crashing = Faulty(lambda: None), Faulty(die), Faulty(crash)
raising, chatty, leaving, hanging = Faulty(fail), Faulty(chatter), Faulty(leave), Faulty(hang)
garbling, truncating, orphaning = Faulty(garble), Faulty(truncate), Faulty(orphan)
"""

EXITING = "import os\nprint('no licence found', flush=True)\nos._exit(7)\n"

ENTRY_POINTS = """[gradparity.backends]
sound = faulty:sound
killed = faulty:killed
crashing = faulty:crashing
raising = faulty:raising
chatty = faulty:chatty
leaving = faulty:leaving
hanging = faulty:hanging
garbling = faulty:garbling
truncating = faulty:truncating
orphaning = faulty:orphaning
exiting = exits_at_import:backend
absent = not_installed_at_all:backend
a/b [red] = faulty:sound
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The faulty backends on the path of this process and its children; HOME is where they leave their traces."""
    folder, home = tmp_path / "plugins", tmp_path / "home"
    metadata = folder / "faulty_backends-1.0.dist-info"
    metadata.mkdir(parents=True)
    home.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-backends\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "faulty.py").write_text(MODULE)
    (folder / "exits_at_import.py").write_text(EXITING)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.syspath_prepend(folder)
    return home


@pytest.fixture(autouse=True)
def no_process_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that a test started, at first or at second hand, outlives it. They are known by their environment."""
    mark = str(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", mark)  # one of the variables that workers inherit
    yield
    try:
        eventually(lambda: not running_with(mark), within_s=5)
    finally:
        for process in running_with(mark):
            process.kill()


def running_with(mark: str) -> list[psutil.Process]:
    """Processes whose environment bears the mark, whoever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("XDG_CACHE_HOME") == mark:
                found.append(process)
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended, be it mourned by its parent or not."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def eventually(condition: Callable[[], Any], *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.02)


class Silent:
    """Nobody watches."""

    def begin(self, problem: str, stage: str, backend: str) -> None:
        pass

    def finished(self, result: results.ProblemResult) -> None:
        pass


def check(out: Path, *backends: str) -> RunResult:
    """A check of some backends on the toy data, with no command line around it; as it reads from disk."""
    asked = Settings(
        command="check", out=str(out), backends=list(backends), data=("toy",), steps=3, profile="brief", threads=1
    )
    result = engine.run(asked, Silent())
    loaded = store.load(out / "results.json")
    assert store.encode(loaded) == store.encode(result)
    return loaded


@contextlib.contextmanager
def command(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, at work; ended at the latest when the test is done with it."""
    words, pipe = [sys.executable, "-P", "-m", "gradparity", *arguments], subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, cwd=cwd) as process:
        try:
            yield process
        finally:
            process.kill()


# Faults.


def test_every_fault_is_a_failed_row_with_its_reason_and_the_others_still_report(plugins: Path, tmp_path: Path):
    faults = {
        "killed": ("evaluation", r"killed by SIGKILL, by hand or by the system for want of memory"),
        "crashing": ("evaluation", r"killed by SIGSEGV; it last said: about to crash"),
        "raising": ("evaluation", r"ValueError: no \[/red\] derivative of this"),
        "leaving": ("evaluation", r"exited with code 1; it last said: goodbye and \\x07thanks"),
        "exiting": ("import", r"exited with code 7; it last said: no licence found"),
        "absent": ("import", r"ModuleNotFoundError: No module named 'not_installed_at_all'"),
        "garbling": ("evaluation", r"answered what is no message: .+; killed"),
        "truncating": ("evaluation", r"exited with code 5"),
    }
    names = ["numpy", *faults, "chatty", "sound"]
    with command("check", "--backends", ",".join(names), "--data", "toy", "--steps", "3", cwd=tmp_path) as process:
        out, err = process.communicate(timeout=100)
    assert process.returncode == 3
    assert "Traceback" not in out + err
    assert not set("\x1b\x07") & set(out + err)

    result = store.load(tmp_path / "gradparity-report" / "results.json")
    assert result.complete
    (problem,) = result.problems
    assert {trouble.backend for trouble in problem.troubles} == set(faults)
    for trouble in problem.troubles:
        stage, reason = faults[trouble.backend]
        assert trouble.stage == stage
        assert re.fullmatch(reason, trouble.reason)
        assert f"{trouble.backend} failed in {stage}: " in out
        assert re.search(rf"^{trouble.backend} +failed", out, re.MULTILINE)
    verdicts = {name: {found.verdict for found in problem.findings if found.backend == name} for name in names}
    assert verdicts == {name: {"failed"} if name in faults else {"agrees"} for name in names}
    assert {trained.backend for trained in problem.training} == {"numpy", "chatty", "sound"}
    (raised,) = [trouble for trouble in problem.troubles if trouble.backend == "raising"]
    assert raised.detail.startswith("Traceback")

    # hvp is called twice: 4 MiB to each stream, each time, and none of it anywhere but in the log.
    log = tmp_path / "gradparity-report" / "logs" / "toy.chatty.log"
    assert log.stat().st_size == 2 * 2 * 4 * 1024 * 1024
    assert "xxxx" not in out + err


def test_a_worker_that_hangs_is_killed_and_said_to_have_given_no_answer(
    plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(launch, "TIMEOUTS_S", {**launch.TIMEOUTS_S, m.Evaluate: 1})
    (problem,) = check(tmp_path / "out", "hanging", "sound").problems
    assert [(t.backend, t.stage, t.reason) for t in problem.troubles] == [
        ("hanging", "evaluation", "no answer after 1 s; killed (--timeout step=SECONDS allows more)")
    ]
    assert {(found.backend, found.verdict) for found in problem.findings} == {
        ("hanging", "failed"),
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
    assert "a/b [red]" in listed
    result = check(tmp_path / "out", "a/b [red]")
    assert {(found.backend, found.verdict) for found in result.problems[0].findings} == {("a/b [red]", "agrees")}


def test_the_log_of_an_earlier_run_is_not_taken_for_the_last_words_of_this_one(plugins: Path, tmp_path: Path):
    log = tmp_path / "out" / "logs" / "toy.killed.log"
    log.parent.mkdir(parents=True)
    log.write_text("all is well\n")
    (problem,) = check(tmp_path / "out", "killed").problems
    assert [trouble.reason for trouble in problem.troubles] == [
        "killed by SIGKILL, by hand or by the system for want of memory"
    ]


# Interruption.


def wait_for_a_hanging_worker(home: Path) -> int:
    """The process id of the worker that hangs, as soon as it does."""
    eventually(lambda: list(home.glob("hanging.*")), within_s=60)
    (trace,) = home.glob("hanging.*")
    return int(trace.suffix[1:])


def test_ctrl_c_ends_the_run_and_its_workers_at_once_and_keeps_the_results_so_far(plugins: Path, tmp_path: Path):
    out = tmp_path / "gradparity-report"
    with command("check", "--backends", "sound,hanging", "--data", "toy", "--steps", "3", cwd=tmp_path) as process:
        worker = wait_for_a_hanging_worker(plugins)
        eventually(lambda: any(p.training for p in store.load(out / "results.json").problems), within_s=30)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=2)
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        "gradparity: interrupted; results so far are in gradparity-report/results.json: go on with --resume"
    )
    assert "Traceback" not in printed + said
    assert gone(worker)
    result = store.load(out / "results.json")
    assert not result.complete
    assert {(found.backend, found.verdict) for found in result.problems[0].findings} == {("sound", "agrees")}
    assert result.problems[0].troubles == []  # the workers were ended, and did not fail


def test_workers_end_when_their_parent_is_killed_even_while_they_compute(plugins: Path, tmp_path: Path):
    with command("check", "--backends", "hanging,sound", "--data", "toy", "--steps", "3", cwd=tmp_path) as process:
        worker = wait_for_a_hanging_worker(plugins)
        process.kill()
        process.communicate(timeout=5)
    eventually(lambda: gone(worker), within_s=5)


# Messages.

DTYPES = st.sampled_from(["<f8", "<f4", ">f8", "<f2", "<c16", "<i8", "<u1", "|b1", np.dtype(np.longdouble).str])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@given(
    tree=st.dictionaries(st.text(max_size=8), hnp.arrays(DTYPES.map(np.dtype), SHAPES), max_size=3),
    order=st.sampled_from(["C", "F", "reversed", "every second"]),
)
@settings(max_examples=100, deadline=None)
def test_arrays_survive_the_wire_bit_for_bit(tree: dict[str, np.ndarray], order: str):
    layouts: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "C": np.ascontiguousarray,
        "F": np.asfortranarray,
        "reversed": lambda a: a.T,
        "every second": lambda a: a[::2] if a.ndim else a,
    }
    sent = {name: layouts[order](array) for name, array in tree.items()}
    reply = m.decode_reply(m.encode(m.Evaluation({"gradient": m.pack(sent)})))
    assert isinstance(reply, m.Evaluation)
    received = m.unpack(reply.quantities["gradient"])
    assert list(received) == list(sent)
    for name, array in sent.items():
        assert received[name].dtype == array.dtype
        assert received[name].shape == array.shape
        assert received[name].tobytes() == array.tobytes()


def test_an_array_of_python_objects_is_not_read_from_a_message():
    with pytest.raises(ValueError, match="OBJECT"):
        m.unpack({"w": m.Tensor("|O", (1,), b"\x00" * 8)})


def test_bytes_that_do_not_fill_the_shape_are_refused():
    with pytest.raises(ValueError, match="reshape"):
        m.unpack({"w": m.Tensor("<f8", (3,), b"\x00" * 16)})


def test_a_reply_is_not_taken_for_a_request():
    with pytest.raises(msgspec.ValidationError):
        m.decode_request(m.encode(m.Stopped()))


@pytest.fixture
def numpy_worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess("numpy", BACKENDS["numpy"], threads=1, log=tmp_path / "numpy.log") as worker:
        worker.receive(m.Configured)
        yield worker


def test_a_message_of_another_protocol_version_is_refused(numpy_worker: WorkerProcess):
    other = m.Configure(BACKENDS["numpy"].target, 1, protocol=m.PROTOCOL + 1)
    with pytest.raises(WorkerFailed) as refused:
        numpy_worker.ask(other, m.Configured)
    assert refused.value.stage == "import"
    assert re.search(rf"protocol: got {m.PROTOCOL + 1}, expected {m.PROTOCOL}$", refused.value.reason)


def test_a_worker_asked_to_stop_says_so_and_is_gone(numpy_worker: WorkerProcess):
    assert numpy_worker.stop() == m.Stopped()
    assert gone(numpy_worker.pid)


def load_of(rows: int, features: int) -> m.Load:
    """A problem of so many rows and features, as a message."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((rows, features)), (np.arange(rows) % 2).astype(float)
    return m.load_request(make_problem("made", ProjectedLogistic(features=features, projection=2), X, y))


def test_a_worker_says_how_large_loading_and_stepping_made_it(tmp_path: Path):
    grown = []
    for rows in (4, 400_000):  # X of 96 bytes and of 64 MB
        with WorkerProcess("numpy", BACKENDS["numpy"], threads=1, log=tmp_path / "log") as worker:
            imported = worker.receive(m.Configured).resident_bytes
            assert 2**20 < imported < 2**34
            worker.ask(load_of(rows, 20), m.Loaded)
            grown.append(worker.ask(m.Footprint(2), m.Resident).peak_bytes - imported)
    assert grown[1] - grown[0] >= 400_000 * 20 * 8


def test_a_worker_whose_time_is_up_is_killed_and_has_not_failed(tmp_path: Path):
    now = [0.0]
    deadline = Deadline(at=10.0, clock=lambda: now[0])
    with WorkerProcess("numpy", BACKENDS["numpy"], threads=1, log=tmp_path / "log", deadline=deadline) as worker:
        worker.receive(m.Configured)
        worker.ask(load_of(4, 3), m.Loaded)
        now[0] = 10.0
        with pytest.raises(OutOfTime, match="numpy failed in counting threads: the time budget ended"):
            worker.ask(m.ThreadsUsed(60), m.Used)
        assert gone(worker.pid)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system ties no process to a core")
def test_a_worker_can_be_tied_to_one_core(tmp_path: Path):
    with WorkerProcess("numpy", BACKENDS["numpy"], threads=1, log=tmp_path / "log", one_core=True) as worker:
        worker.receive(m.Configured)
        assert psutil.Process(worker.pid).cpu_affinity() == [min(os.sched_getaffinity(0))]


def test_compiled_code_goes_to_the_folder_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "the user's own")
    with WorkerProcess("numpy", BACKENDS["numpy"], threads=1, log=tmp_path / "log", compile_cache=tmp_path) as worker:
        worker.receive(m.Configured)
        assert psutil.Process(worker.pid).environ()["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)


def test_a_worker_that_raised_answers_the_next_request(numpy_worker: WorkerProcess):
    with pytest.raises(WorkerFailed, match="AttributeError") as raised:
        numpy_worker.ask(m.Evaluate(), m.Evaluation)  # nothing is loaded
    assert raised.value.alive
    assert numpy_worker.stop() is not None


def test_a_worker_gets_the_listed_variables_and_its_threads_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with WorkerProcess("numpy", BACKENDS["numpy"], threads=2, log=tmp_path / "log") as worker:
        worker.receive(m.Configured)
        environment = psutil.Process(worker.pid).environ()
    assert "PYTHONWARNINGS" not in environment
    assert {environment[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")} == {"2"}


def test_a_module_in_the_working_directory_does_not_shadow_a_framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "numpy.py").write_text("raise ImportError('the wrong numpy')\n")
    monkeypatch.chdir(tmp_path)
    with WorkerProcess("numpy", BACKENDS["numpy"], threads=1, log=tmp_path / "log") as worker:
        assert worker.receive(m.Configured).versions == {"numpy": np.__version__}


def test_an_interpreter_that_ends_at_once_is_a_failure_and_not_a_crash(tmp_path: Path):
    registration = Registration("backends.numpy_backend:backend")
    with WorkerProcess(
        "old", registration, threads=1, log=tmp_path / "log", python=shutil.which("false") or "false"
    ) as worker:
        time.sleep(0.2)
        with pytest.raises(WorkerFailed, match="exited with code 1"):
            worker.receive(m.Configured)
