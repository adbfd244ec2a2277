"""Frames between processes: whole ones under a deadline, whatever the sizes; and what is none is said to be none."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.backends import lookup
from gradparity.backends.protocol import Backend
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import Deadline
from gradparity.processes.launch import Launch
from gradparity.processes.limits import Allowance
from gradparity.processes.log import MOST, Log, opened, signal_name
from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.worker import channel
from gradparity.worker import messages as m
from gradparity.worker.channel import _LENGTH, MARK, Channel, Garbled
from gradparity.worker.wire import Part, dtype_name, encode


@contextmanager
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with theirs, closing(Channel(ours)) as channel:
        yield channel, theirs


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_frames_come_as_they_went(frames: list[bytes]):
    with ends() as (ours, theirs):
        for frame in frames:
            ours.send(frame)
        other = Channel(theirs)
        assert [other.receive(time.monotonic() + 5) for _ in frames] == frames


def test_a_frame_larger_than_the_sockets_buffer_is_taken_piece_by_piece():
    frame = os.urandom(1 << 23)
    with ends() as (ours, theirs):
        sending = threading.Thread(target=ours.send, args=(frame,))
        sending.start()
        assert Channel(theirs).receive(time.monotonic() + 20) == frame
        sending.join()


@given(st.binary(min_size=1, max_size=40).filter(lambda said: not said.startswith(MARK) and not MARK.startswith(said)))
def test_what_is_no_frame_is_never_waited_for(said: bytes):
    with ends() as (ours, theirs):
        theirs.sendall(said)
        with pytest.raises(Garbled):
            ours.receive(time.monotonic() + 5)


@pytest.mark.parametrize("said", [MARK + _LENGTH.pack(channel.MOST + 1), MARK[:3] + b"hello world"])
def test_a_length_that_is_none_is_no_frame(said: bytes):
    with ends() as (ours, theirs):
        theirs.sendall(said)
        with pytest.raises(Garbled):
            ours.receive(time.monotonic() + 5)


@pytest.mark.parametrize("said", [b"", MARK[:5], MARK + _LENGTH.pack(1 << 34) + b"some"])
def test_a_frame_that_does_not_end_is_waited_for_until_the_deadline_and_takes_no_memory(said: bytes):
    with ends() as (ours, theirs):
        theirs.sendall(said)
        began_s = time.monotonic()
        with pytest.raises(TimeoutError):
            ours.receive(began_s + 0.1)
        assert time.monotonic() - began_s < 2


@pytest.mark.parametrize("known", ["by a descriptor", "by a look"])
def test_of_a_process_whose_end_would_be_seen_an_answer_is_waited_for_until_the_deadline_and_no_longer(known: str):
    ours, theirs = socket.socketpair()
    life = os.pidfd_open(os.getpid()) if known == "by a descriptor" else None
    began_s = time.monotonic()
    with theirs, closing(Channel(ours, life, None if life is not None else lambda: False)) as channel:
        with pytest.raises(TimeoutError):
            channel.receive(began_s + 0.6)
        assert 0.6 <= time.monotonic() - began_s < 1.1
    if life is not None:
        os.close(life)


@pytest.mark.parametrize("known", ["by a descriptor", "by a look"])
@pytest.mark.parametrize("busy", ["sending", "receiving"])
def test_a_process_that_has_ended_is_not_waited_for_though_one_of_its_own_has_the_channel(known: str, busy: str):
    ours, theirs = socket.socketpair()
    with theirs, subprocess.Popen(["/bin/sh", "-c", "sleep 30 & echo $!"], stdout=subprocess.PIPE, pass_fds=[
        theirs.fileno()
    ]) as process:  # fmt: skip
        assert process.stdout is not None
        sleeping = int(process.stdout.readline())
        life = os.pidfd_open(process.pid) if known == "by a descriptor" else None
        channel = Channel(ours, life, None if life is not None else lambda: process.poll() is not None)
        began_s = time.monotonic()
        try:
            with closing(channel), pytest.raises(EOFError):
                channel.send(b"x" * (1 << 24), began_s + 20) if busy == "sending" else channel.receive(began_s + 20)
        finally:
            os.kill(sleeping, signal.SIGKILL)
            if life is not None:
                os.close(life)
        assert time.monotonic() - began_s < 5


def test_what_a_process_sent_before_its_end_is_read(tmp_path: Path):
    ours, theirs = socket.socketpair()
    with closing(Channel(ours, ended=lambda: True)) as channel, theirs:
        Channel(theirs).send(b"last words")
        assert channel.receive(time.monotonic() + 5) == b"last words"
        with pytest.raises(EOFError):
            channel.receive(time.monotonic() + 5)


def test_once_its_end_is_known_nobody_with_the_number_of_a_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    killed = list[int]()
    monkeypatch.setattr("gradparity.processes.peer.os.killpg", lambda pid, number: killed.append(pid))
    with WorkerProcess("numpy", lookup("numpy"), Launch(tmp_path / "log")) as worker:
        worker.configured()
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerFailed, match="killed by SIGKILL"):
            worker.ask(m.Evaluate())
        assert killed == [worker.pid]  # which was its own until then
        worker.kill()
    assert killed == [worker.pid]


@pytest.mark.parametrize("ended", ["its own limit", "the budget"])
def test_a_stopped_process_that_takes_nothing_is_given_up_by_the_same_limits(
    tmp_path: Path, ended: str, monkeypatch: pytest.MonkeyPatch
):
    own, left = (0.3, 60.0) if ended == "its own limit" else (60.0, 0.3)
    launch = Launch(tmp_path / "log", allowance=Allowance({"step": own}), deadline=Deadline(left, clock=lambda: 0.0))
    with WorkerProcess("numpy", lookup("numpy"), launch) as worker:
        monkeypatch.setattr(Deadline, "left_s", lambda deadline: 60.0)
        worker.configured()
        monkeypatch.undo()
        os.kill(worker.pid, signal.SIGSTOP)
        monkeypatch.setattr("gradparity.processes.peer.encode", lambda _: b"x" * (1 << 24))
        with pytest.raises(WorkerFailed, match="no answer after" if own < left else "budget ended") as failed:
            worker.send(m.Evaluate())
        assert isinstance(failed.value, OutOfTime) == (left < own)


def test_a_log_is_a_file_or_its_process_is_not_started(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "folder.log").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "link.log").symlink_to(tmp_path / "mine.txt")
    for name in ("pipe", "folder", "link"):
        with WorkerProcess("numpy", lookup("numpy"), Launch(tmp_path / f"{name}.log")) as worker:
            with pytest.raises(WorkerFailed, match="it could not be started"):
                worker.configured()
            worker.stop()
    assert (tmp_path / "mine.txt").read_text() == "mine"
    for words in (b"well and good", b"well"):
        with opened(tmp_path / "made" / "again.log") as log:
            log.write(words)
        assert (tmp_path / "made" / "again.log").read_bytes() == words


def test_a_log_has_its_beginning_and_says_where_it_was_cut_and_the_last_words_are_known(tmp_path: Path):
    reading, writing = os.pipe()
    log = Log(tmp_path / "log")
    log.of(os.fdopen(reading, "rb", 0))
    with os.fdopen(writing, "wb") as process:
        for number in range(MOST // 1000 + 900):
            process.write(b"%0999d\n" % number)
        process.write(b"\nand \x1b[1mso\n\n")
    assert log.last_line() == "and so"
    written = (tmp_path / "log").read_bytes()
    assert written.startswith(b"%0999d\n" % 0)
    assert written.endswith(b"[gradparity: cut here; the process printed more than 16 MiB]\n")
    assert MOST < len(written) < MOST + 100


@pytest.mark.parametrize("number", [9, 31, 32, 33, 34, 40, 64, 127])
def test_every_signal_has_a_name(number: int):
    assert signal_name(number)
    assert signal_name(40) == f"SIGRTMIN+{40 - signal.SIGRTMIN}"


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn"])
def test_numbers_of_a_dtype_that_numpy_alone_lacks_come_as_float32_and_keep_its_name(
    backend_of: Callable[[str], Backend], name: str
) -> None:
    torch, ml_dtypes = pytest.importorskip("torch"), pytest.importorskip("ml_dtypes")
    given = torch.tensor([1.5, -0.25], dtype=getattr(torch, name))
    for value in (backend_of("torch").get({"w": given})["w"], np.array([1.5, -0.25], getattr(ml_dtypes, name))):
        part = m.decode_reply(encode(Part({"loss": {"": value}}, "")))
        assert isinstance(part, Part)
        came = part.quantities["loss"][""]
        assert (came.dtype, dtype_name(came), came.tolist()) == (np.float32, name, [1.5, -0.25])
