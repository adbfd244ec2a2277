"""Systems that refuse: threads, memory, locks, renames; other users' folders; and a terminal that changes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import random
import re
import resource
import select
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

from gradparity import threads
from gradparity.__main__ import FAULT
from gradparity.backends import BACKENDS, lookup
from gradparity.cli import app as cli
from gradparity.cli.exits import ExitCode
from gradparity.model_spec.errors import InputError
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.environment import CACHE, compile_cache, is_private
from gradparity.processes.launch import Launch
from gradparity.processes.peer import WorkerFailed
from gradparity.report import files
from gradparity.results import store
from gradparity.results.folder import hold
from gradparity.runner import session
from gradparity.runner.observer import NullObserver
from gradparity.runner.settings import settings_from
from gradparity.truth.lockstep import in_lockstep
from tests.faults.harness import ended, forks

ROOT = Path(__file__).parents[2]
CHECK = ("check", "--backends", "numpy", "--data", "toy", "--steps", "2")


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSPC])
def test_a_rename_that_fails_in_the_middle_of_a_run_leaves_what_was_saved(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
):
    renamed, replace = list[str](), Path.replace

    def refusing(path: Path, target: Path) -> Path:
        renamed.append(target.name)
        if renamed.count(store.RESULTS_FILE) > 2:
            raise OSError(number, os.strerror(number))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refusing)
    settings = settings_from("check", {"backends": ["numpy"], "data": ["toy"], "steps": 2, "out": str(tmp_path)}, ())
    with pytest.raises(InputError, match=os.strerror(number)) as refused:
        session.run(settings, NullObserver())
    assert store.SAVED in refused.value.__notes__
    assert not store.read(tmp_path).complete
    assert [path for path in tmp_path.iterdir() if store.is_partial(path)] == []


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
def test_a_folder_that_goes_while_a_file_is_written_into_it_is_made_again(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
):
    replace, left = Path.replace, [number, number]

    def refusing(path: Path, target: Path) -> Path:
        if left:
            raise OSError(left.pop(), "gone")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refusing)
    store.replace_file(tmp_path / "made" / "file", b"there")
    assert (tmp_path / "made" / "file").read_bytes() == b"there"
    assert len(list((tmp_path / "made").iterdir())) == 1


def test_where_nothing_can_be_renamed_a_run_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refusing(path: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "replace", refusing)
    with pytest.raises(InputError, match="Invalid cross-device link"), hold(str(tmp_path), "check"):
        pass
    assert list(tmp_path.rglob("*.gradparity")) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EBADF])
def test_a_file_system_without_locks_takes_a_run(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch):
    def refusing(descriptor: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refusing)
    with hold(str(tmp_path), "check") as held:
        assert held.folder == tmp_path
        held.keep()


def test_a_cache_of_compiled_code_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(CACHE)
    place = Path(compile_cache())
    assert is_private(str(place), make=False)  # there is none
    assert is_private(str(place), make=True)
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o777)
    assert not is_private(str(place), make=True)
    place.chmod(0o775)  # a user's own group
    assert is_private(str(place), make=False)
    with monkeypatch.context() as another:
        another.setattr(os, "getuid", lambda: place.stat().st_uid + 1)
        assert not is_private(str(place), make=False)
    place.rmdir()
    place.symlink_to(tmp_path)
    assert not is_private(str(place), make=True)
    with WorkerProcess("torch", BACKENDS["torch"], Launch(tmp_path / "log", scratch=tmp_path / "scratch")) as worker:
        assert worker.launch.environment(sys.executable)[CACHE] == str(tmp_path / "scratch" / "inductor")
    monkeypatch.setenv(CACHE, str(place))  # who names it means it
    assert is_private(str(place), make=True)
    place.unlink()


def test_a_process_that_finds_no_thread_has_failed_and_does_not_live_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refusing(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refusing)
    with WorkerProcess("numpy", lookup("numpy"), Launch(tmp_path / "log")) as worker:
        with pytest.raises(WorkerFailed, match="it could not be started: can't start new thread"):
            worker.configured()
        assert worker.pid == 0


def test_a_thread_whose_first_lines_find_no_memory_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threading, "_start_new_thread", lambda *_: 1)  # as CPython leaves it then
    monkeypatch.setattr(threads, "BEGINS_S", 0.1)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threads.Thread(target=print).start()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        in_lockstep([lambda ask: ask(1)], dict)


def test_no_thread_of_ours_is_one_that_is_waited_for_without_an_end():
    ours = [path for folder in ("gradparity", "backends", "bench") for path in (ROOT / folder).rglob("*.py")]
    by_hand = re.compile(r"from threading import .*\bThread\b|threading\.Thread\b")
    assert [path for path in ours if by_hand.search(path.read_text())] == [ROOT / "gradparity" / "threads.py"]


def within(which: int, most: int, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A check by a process that has no more of something than that."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "gradparity", *CHECK, "--force"],
        preexec_fn=lambda: resource.setrlimit(which, (most, most)),
        capture_output=True, text=True, cwd=cwd, check=False, timeout=120,
    )  # fmt: skip


@forks
def test_want_of_memory_is_no_fault_of_gradparity_and_no_disagreement(tmp_path: Path):
    codes = []
    # Before and while NumPy is imported, before the run, in it: where it is refused differs from machine to machine.
    for mebibytes in (40, 70, 105, 120, 150, 200, 400):
        ran = within(resource.RLIMIT_AS, mebibytes << 20, tmp_path)
        codes.append(ran.returncode)
        assert ran.returncode in (0, 3, 4), f"{mebibytes} MiB: {ran.stderr}"
        assert "a fault of gradparity" not in ran.stderr
        assert "Traceback" not in ran.stderr
        assert ran.returncode != 4 or "no verdict was given" in ran.stderr
    assert codes[0] == codes[-3] == FAULT == ExitCode.FAULT


@forks
def test_want_of_processes_is_no_fault_of_gradparity(tmp_path: Path):
    if os.getuid() == 0:
        pytest.skip("root has no limit of processes")
    ran = within(resource.RLIMIT_NPROC, 1, tmp_path)
    assert "a fault of gradparity" not in ran.stderr
    assert ran.returncode in (3, 4)
    assert "the system refused" in ran.stderr or "could not be started" in ran.stdout


def test_an_interruption_while_reports_are_made_does_not_say_that_nothing_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*_: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_reports", interrupted)
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        cli.app([*CHECK, "--quiet"], standalone_mode=False)
    assert "interrupted; the results are in gradparity-report/results.json" in capsys.readouterr().err
    assert store.read(tmp_path / "gradparity-report").complete


def test_an_interruption_while_the_end_is_saved_is_said_to_leave_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save, durable = store.save, list[bool]()

    def interrupted(result: object, folder: Path, *, durably: bool = False) -> None:
        durable.append(durably)
        if durable.count(True) == 1 and durably:
            raise KeyboardInterrupt
        save(result, folder, durably=durably)

    monkeypatch.setattr(store, "save", interrupted)
    settings = settings_from("check", {"backends": ["numpy"], "data": ["toy"], "steps": 2, "out": str(tmp_path)}, ())
    with pytest.raises(KeyboardInterrupt) as ended_by:
        session.run(settings, NullObserver())
    assert store.SAVED in ended_by.value.__notes__
    assert store.read(tmp_path).problems[0].checked


SIZES = ((0, 0), (1, 1), (24, 80), (5, 3), (50, 400), (65535, 65535), (24, 0), (0, 80))


@forks
def test_a_terminal_may_change_its_size_at_any_time(tmp_path: Path):
    rng = random.Random(0)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(  # noqa: S606  # what a terminal starts
            sys.executable,
            [sys.executable, "-P", "-m", "gradparity", *CHECK],
            {**{k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}, "TERM": "xterm"},
        )
    shown = b""
    try:
        while True:
            if select.select([terminal], [], [], 0.01)[0]:
                try:
                    more = os.read(terminal, 1 << 16)
                except OSError:  # its other end is closed
                    break
                shown += more
            rows, columns = rng.choice(SIZES)
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    finally:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, shown[-2000:]
    assert b"Traceback" not in shown
    assert store.read(tmp_path / "gradparity-report").ok


@pytest.fixture
def nobody(tmp_path: Path):
    """What a user without any rights has of its own, and sees of root's; who is not root is nobody else."""
    if os.getuid() != 0:
        pytest.skip("it takes root to be another user")
    return 65534


def test_another_users_results_are_refused_in_words_and_stay(tmp_path: Path, nobody: int):
    """In a process of its own, which gives its rights away once all is imported: it may not read the interpreter."""
    assert ended(*CHECK, "--out", str(tmp_path / "roots"), "--quiet", cwd=tmp_path)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "roots").rglob("*") if path.is_file()}
    script = f"""
import os, sys
from gradparity.results.folder import hold
from gradparity.model_spec.errors import InputError
os.chdir({str(tmp_path)!r})
os.setgid({nobody}); os.setuid({nobody})
for out in ("roots", "new"):
    try:
        with hold(out, "check", force=True):
            sys.exit("taken")
    except InputError as error:
        assert "cannot be written" in str(error) or "Permission denied" in str(error), error
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert {path: path.read_bytes() for path in (tmp_path / "roots").rglob("*") if path.is_file()} == before
