"""What the tests of faults share: faulty backends, the command at work, and a count of what is left behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gradparity.results import RunResult, store
from gradparity.runner import session as engine
from gradparity.runner.observer import NullObserver
from gradparity.runner.settings import Settings

#: For a test that forks its own process, of which JAX says so where another test has imported it.
forks = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
#: Backends of third parties, installed by nothing but this folder on PYTHONPATH.
PLUGINS = Path(__file__).parent / "plugins"


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


def check(out: Path, *backends: str) -> RunResult:
    """A check of some backends on the toy data, with no command line around it; as it reads from disk."""
    asked = Settings(
        command="check", out=str(out), backends=list(backends), data=("toy",), steps=3, profile="brief", threads=1
    )
    result = engine.run(asked, NullObserver())
    loaded = store.read(out / "results.json")
    assert store.encode(loaded) == store.encode(result)
    return loaded


#: Runs a command in whose processes no file grows beyond a size: the system says so as it says that a disk is full.
_WITHIN = "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)); "
_WITHIN += "os.execv(sys.argv[2], sys.argv[2:])"


@contextlib.contextmanager
def command(*arguments: str, cwd: Path, file_bytes: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command, at work; ended at the latest when the test is done with it."""
    words, pipe = [sys.executable, "-P", "-m", "gradparity", *arguments], subprocess.PIPE
    if file_bytes is not None:
        words = [sys.executable, "-P", "-c", _WITHIN, str(file_bytes), *words]
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, cwd=cwd) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(*arguments: str, cwd: Path, file_bytes: int | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command; nothing is ever a traceback."""
    with command(*arguments, cwd=cwd, file_bytes=file_bytes) as process:
        out, err = process.communicate(timeout=120)
    assert "Traceback" not in out + err
    return process.returncode, out, err


def saved(cwd: Path) -> RunResult:
    """The results in the default folder, which are valid whatever happened."""
    return store.read(str(cwd / "gradparity-report"))


def wait_for_a_hanging_worker(home: Path) -> int:
    """The process id of the worker that hangs, as soon as it does."""
    eventually(lambda: list(home.glob("hanging.*")), within_s=60)
    (trace,) = home.glob("hanging.*")
    return int(trace.suffix[1:])


def environment_of(tmp_path: Path) -> dict[str, str]:
    """Where a test's processes have their home, their temporary files, and the mark by which they are known."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    path = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH")]))
    return {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
        "PYTHONPATH": path,
    }
