"""One worker process and its messages: what it gets, what it answers, and how it ends."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradparity.backends import BACKENDS, Registration, lookup
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import Deadline
from gradparity.processes.launch import Launch
from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.worker import messages as m
from gradparity.worker.wire import Progress, Stop, Stopped, encode
from tests.faults.harness import gone

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
    reply = m.decode_reply(encode(m.Evaluated({"gradient": sent})))
    assert isinstance(reply, m.Evaluated)
    received = reply.quantities["gradient"]
    assert list(received) == list(sent)
    for name, array in sent.items():
        assert received[name].dtype == array.dtype
        assert received[name].shape == array.shape
        assert received[name].tobytes() == array.tobytes()
        assert not received[name].flags.writeable


@pytest.mark.parametrize("value", [np.array([None]), object(), "words"], ids=["objects", "an object", "words"])
def test_what_is_no_array_is_not_written_as_one(value: object):
    with pytest.raises((NotImplementedError, msgspec.ValidationError)):
        m.decode_reply(encode(m.Evaluated({"gradient": {"w": value}})))


def test_a_reply_is_not_taken_for_a_request():
    with pytest.raises(msgspec.ValidationError):
        m.decode_request(encode(Stopped()))


@contextmanager
def working(folder: Path, *, one_core: bool = False, **launch: Any) -> Iterator[WorkerProcess]:
    """A process of NumPy's that has imported it."""
    with WorkerProcess("numpy", BACKENDS["numpy"], Launch(folder / "log", **launch), one_core=one_core) as worker:
        worker.configured()
        yield worker


@pytest.fixture
def numpy_worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    with working(tmp_path) as worker:
        yield worker


def test_a_message_of_another_protocol_version_is_refused(numpy_worker: WorkerProcess):
    other = m.Configure(BACKENDS["numpy"].target, 1, protocol=m.PROTOCOL + 1)
    with pytest.raises(WorkerFailed) as refused:
        numpy_worker.ask(other)
    assert refused.value.stage == "import"
    assert re.search(rf"protocol: got {m.PROTOCOL + 1}, expected {m.PROTOCOL}$", refused.value.reason)


def test_a_worker_asked_to_stop_says_so_and_is_gone(numpy_worker: WorkerProcess):
    assert numpy_worker.ask(Stop()) == Stopped()
    numpy_worker.stop()  # that it has gone already is no failure
    assert gone(numpy_worker.pid)


def load_of(rows: int, features: int) -> m.Load:
    """A problem of so many rows and features, as a message."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((rows, features)), (np.arange(rows) % 2).astype(float)
    return m.load_request(make_problem("made", ProjectedLogistic(features=features, projection=2), X, y))


def test_a_worker_says_how_large_loading_and_stepping_made_it(tmp_path: Path):
    grown = []
    for rows in (4, 400_000):  # X of 96 bytes and of 64 MB
        with WorkerProcess("numpy", BACKENDS["numpy"], Launch(tmp_path / "log")) as worker:
            imported = worker.configured().resident_bytes
            assert 2**20 < imported < 2**34
            worker.ask(load_of(rows, 20))
            grown.append(worker.ask(m.MeasureMemory(2)).peak_bytes - imported)
    assert grown[1] - grown[0] >= 400_000 * 20 * 8


def test_a_worker_whose_time_is_up_is_killed_and_has_not_failed(tmp_path: Path):
    now = [0.0]
    deadline = Deadline(at=10.0, clock=lambda: now[0])
    with working(tmp_path, deadline=deadline) as worker:
        worker.ask(load_of(4, 3))
        now[0] = 10.0
        with pytest.raises(OutOfTime, match="numpy failed in counting threads: the time budget ended"):
            worker.ask(m.CountThreads(60))
        assert gone(worker.pid)


def test_a_worker_that_was_cut_off_is_cut_off_at_the_same_whatever_is_asked_of_it_later(tmp_path: Path):
    with working(tmp_path) as worker:
        worker.ask(load_of(4, 3))
        with pytest.raises(OutOfTime) as first:
            worker.ask(m.CountThreads(60), share_s=0.1)
        for close in (lambda: None, worker.close):  # whether its pipe is open or not
            close()
            with pytest.raises(OutOfTime) as again:
                worker.ask(m.Evaluate())
            assert (again.value.stage, again.value.share_s) == (first.value.stage, 0.1)


@pytest.mark.parametrize("end", ["stop", "close"])
def test_a_worker_that_was_closed_is_a_failure_to_who_asks_it_and_not_a_crash(tmp_path: Path, end: str):
    with working(tmp_path) as worker:
        getattr(worker, end)()
        with pytest.raises(WorkerFailed, match="numpy failed in evaluation: its process had been ended"):
            worker.ask(m.Evaluate())
        with pytest.raises(WorkerFailed):
            worker.receive()


def test_threads_that_close_a_worker_at_once_close_its_descriptors_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    both = Barrier(2)
    with working(tmp_path) as worker, ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(worker, "kill", both.wait)  # neither goes on before both have begun
        closing = [pool.submit(worker.close) for _ in range(2)]
        assert [each.result(timeout=30) for each in closing] == [None, None]
        monkeypatch.undo()
        worker.kill()


def test_a_worker_that_raised_answers_the_next_request(numpy_worker: WorkerProcess):
    with pytest.raises(WorkerFailed, match="AttributeError") as raised:
        numpy_worker.ask(m.Evaluate())  # nothing is loaded
    assert raised.value.alive
    assert numpy_worker.ask(m.Configure(BACKENDS["numpy"].target, 1)).versions


def test_a_worker_gets_the_listed_variables_its_threads_its_folders_and_its_core_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "the user's own")
    with working(tmp_path, threads=2, one_core=True, compile_cache=tmp_path) as worker:
        process = psutil.Process(worker.pid)
        environment = process.environ()
        if hasattr(os, "sched_getaffinity"):  # elsewhere no process is tied to a core
            assert process.cpu_affinity() == [min(os.sched_getaffinity(0))]
    assert "PYTHONWARNINGS" not in environment
    assert environment["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
    assert {environment[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")} == {"2"}


def test_a_module_in_the_working_directory_does_not_shadow_a_framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "numpy.py").write_text("raise ImportError('the wrong numpy')\n")
    monkeypatch.chdir(tmp_path)
    with WorkerProcess("numpy", BACKENDS["numpy"], Launch(tmp_path / "log")) as worker:
        assert worker.configured().versions == {"numpy": np.__version__}


def test_an_interpreter_that_ends_at_once_is_a_failure_and_not_a_crash(tmp_path: Path):
    registration = Registration("gradparity.backends.numpy_backend:backend", python=shutil.which("false") or "false")
    with WorkerProcess("old", registration, Launch(tmp_path / "log")) as worker:
        time.sleep(0.2)
        with pytest.raises(WorkerFailed, match="exited with code 1"):
            worker.configured()


def test_how_far_an_answer_is_is_heard_before_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, Progress]] = []
    launch = Launch(tmp_path / "log", listener=lambda name, far: heard.append((name, far)))
    with WorkerProcess("numpy", lookup("numpy"), launch) as worker:
        worker.configured()
        frames = [Progress("steps", 3, 9), m.MeasuredMemory(5)]
        monkeypatch.setattr(worker, "_decode", lambda _: frames.pop(0))
        worker.send(m.MeasureMemory(0))  # so that there are two answers
        assert worker.ask(m.MeasureMemory(0)) == m.MeasuredMemory(5)
    assert heard == [("numpy", Progress("steps", 3, 9))]


def test_reports_of_progress_do_not_make_a_limit_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WorkerProcess("numpy", lookup("numpy"), Launch(tmp_path / "log")) as worker:
        worker.configured()
        monkeypatch.setattr(worker._channel, "receive", lambda _ends_s: time.sleep(0.01))
        monkeypatch.setattr(worker, "_decode", lambda _: Progress("steps", 3, 9))
        with pytest.raises(OutOfTime, match=r"no answer in its share of the budget, 0\.1 s"):
            worker.ask(m.MeasureMemory(0), share_s=0.1)
