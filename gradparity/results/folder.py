"""A run's output folder: one run's alone while it writes, and nothing in it touched that is not gradparity's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gradparity import results
from gradparity.model_spec.errors import InputError
from gradparity.results import RunResult
from gradparity.results.store import (
    RESULTS_FILE,
    encode,
    head,
    is_partial,
    new_file,
    partial_of,
    read,
    remove_file,
    replace_file,
)

PAGE, COMMENT, BLOCKS_FILE, LOGS = "report.html", "report.md", "blocks.parquet", "logs"
#: The JSON Schema of `RunResult`, which `gradparity.results.schema` makes.
SCHEMA_PATH = Path(results.__file__).with_name("results.schema.json")
#: What is made of results, and says nothing true once these are others.
REPORTS = (PAGE, COMMENT, BLOCKS_FILE)
#: By which a file of ours is known: in its first, or last, so many bytes.
MARKS = {
    RESULTS_FILE: b'"gradparity_version"',
    PAGE: b'name="generator" content="gradparity',
    COMMENT: b"<!-- gradparity -->",
    SCHEMA_PATH.name: b'"urn:gradparity:results:',
}
_NEAR = 4096


@contextmanager
def hold(out: str, command: str, *, force: bool = False) -> Iterator[Alone]:
    """The output folder, made, tried, and this run's alone until it is left: no result is lost to it at the end.

    Whoever writes there asks its lock to `Alone.keep` first: the folder may have been taken away, and be another's now.

    Args:
        out: the folder.
        command: of the run.
        force: whether a complete run of another command may be replaced.

    Raises:
        InputError: nothing can be written there, another run is writing there now, a file there is not gradparity's,
            or it has a complete run of another command.
    """
    folder = Path(out)
    if not out:  # a variable that is not set; it would be the working directory
        raise InputError("--out", got="''", expected="the name of a folder")
    with alone_in(folder, out) as lock:
        require_own(folder, "--out")
        _require_room(folder, command, force=force)
        try:
            (folder / LOGS).mkdir(exist_ok=True)
            for place in (folder, folder / LOGS):
                trial, moved = partial_of(place / "trial"), partial_of(place / "trial")
                try:
                    new_file(trial, b"on a full disk a file can be made, and nothing be put into it")
                    trial.replace(moved)  # which not every file system can
                finally:
                    for each in (trial, moved):
                        each.unlink(missing_ok=True)
            for left in folder.iterdir():  # of a run that was killed while it wrote
                if is_partial(left):
                    left.unlink(missing_ok=True)
        except OSError as error:
            got = f"{out} ({error.strerror})"
            raise InputError("--out", got=got, expected="a folder that can be written") from None
        write_schema(folder)
        yield lock


@contextmanager
def without_reports(folder: Path) -> Iterator[None]:
    """While results change, and after: no reports of earlier ones, which would be read as of these.

    Raises:
        InputError: what the caller meets. It has refused to begin, and the reports are there again, if no others are.
    """
    aside = {path: path.read_bytes() for path in map(folder.joinpath, REPORTS) if path.is_file()}
    try:
        for path in aside:
            remove_file(path)
        yield
    except InputError:
        with contextlib.suppress(InputError):  # it may be that nothing can be written here any more
            for path, content in aside.items():
                if not path.exists():
                    replace_file(path, content)
        raise


def write_schema(folder: Path) -> None:
    """Put what documents the results beside them, unless it is there."""
    schema, there = SCHEMA_PATH.read_bytes(), folder / SCHEMA_PATH.name
    if not there.is_file() or there.read_bytes() != schema:
        replace_file(there, schema)


def require_own(folder: Path, option: str, names: Sequence[str] = ()) -> None:
    """See that what a run or a report would write over in a folder is an earlier one's.

    What bears no mark, logs and the table of blocks, is ours beside a file that shows that it is.

    Args:
        folder: where it would write.
        option: that named it.
        names: of the files; all that a run writes, if not given.

    Raises:
        InputError: a file there is not gradparity's.
    """
    ours = any(_ours(folder / name) for name in MARKS if (folder / name).is_file())
    for name in names or (RESULTS_FILE, SCHEMA_PATH.name, *REPORTS):
        path = folder / name
        special = os.path.lexists(path) and not path.is_file()
        if special or (path.exists() and not _ours(path) and not (ours and name == BLOCKS_FILE)):
            what = "is no file" if special else "is not gradparity's"
            raise InputError(
                option,
                got=f"{folder}, where {name} {what}",
                expected="a folder of its own",
                cure="Name another, or move that file away.",
            )
    if not names:
        _require_own_logs(folder / LOGS, option, ours=ours)


def require_of(result: RunResult, folder: Path) -> None:
    """See that the results in a folder, if it has any, are these: its reports are read as of them.

    Raises:
        InputError: they are others.
    """
    file, content = folder / RESULTS_FILE, encode(result)
    with contextlib.suppress(InputError, OSError):
        if not file.exists() or file.read_bytes() == content or encode(read(file)) == content:
            return
    raise InputError(
        "--out",
        got=f"{folder}, which has the results of another run",
        expected="the folder of these results, or one without any",
        cure="Name another with --out.",
    )


def _require_own_logs(logs: Path, option: str, *, ours: bool) -> None:
    """See that processes can print into a folder of logs, and write over nobody's.

    Raises:
        InputError: it is no folder, or a log there is no file, is not gradparity's or cannot be written.
    """
    odd = [f"{logs}, which is no folder"] if os.path.lexists(logs) and not logs.is_dir() else []
    for each in sorted(logs.glob("*.log")) if logs.is_dir() else ():
        if each.is_symlink() or not each.is_file():
            odd.append(f"{each}, which is no file")
        elif not ours and each.stat().st_size:
            odd.append(f"{each}, which is not gradparity's")
        elif not os.access(each, os.W_OK):
            odd.append(f"{each}, which cannot be written")
    if odd:
        raise InputError(option, got=odd[0], expected="a folder of its own", cure="Name another, or take that away.")


def _ours(path: Path) -> bool:
    """Whether a file shows that gradparity has written it, or has nothing in it."""
    mark = MARKS.get(path.name)
    try:
        with path.open("rb") as file:
            first = file.read(_NEAR)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _NEAR))
            return not first or (mark is not None and mark in first + file.read())
    except OSError:
        return False


def _require_room(folder: Path, command: str, *, force: bool) -> None:
    """See that no complete run of another command is there.

    Raises:
        InputError: there is one.
    """
    there = head(folder / RESULTS_FILE)
    if there is not None and there.complete and there.command != command and not force:
        raise InputError(
            "--out",
            got=f"{folder}, which has a complete `gradparity {there.command}`",
            expected=f"a folder without one for `gradparity {command}`",
            cure="Name another with --out, or replace that with --force.",
        )


class Alone:
    """A lock on a folder itself, which the system takes back however this process ends.

    Args:
        folder: made if need be.
        out: as the user names it.

    Raises:
        InputError: another run has it, or it cannot be made.
    """

    def __init__(self, folder: Path, out: str) -> None:
        self.folder, self.out = folder, out
        self._descriptor: int | None = None
        self._take()

    def keep(self) -> None:
        """See that the folder is the one that is locked; one that was made anew since is locked in its place.

        Raises:
            InputError: another run has that.
        """
        with contextlib.suppress(FileNotFoundError):
            if self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), self.folder.stat()):
                return
        self.release()
        self._take()

    def release(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # which a process that was forked meanwhile would have
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            got = f"{self.out} ({error.strerror})"
            raise InputError("--out", got=got, expected="a folder that can be made") from None
        try:
            import fcntl
        except ImportError:  # Windows: two runs in one folder are the user's own look-out
            return
        try:
            self._descriptor = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            got = f"{self.out} ({error.strerror})"
            raise InputError("--out", got=got, expected="a folder that can be read") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise InputError(
                "--out",
                got=f"{self.out}, where another run is writing",
                expected="a folder of its own for each run",
                cure="Name another with --out, or wait for that run.",
            ) from None
        except OSError:  # a file system without locks
            pass


@contextmanager
def alone_in(folder: Path, out: str) -> Iterator[Alone]:
    """The lock on a folder until it is left; raises as `Alone` does."""
    lock = Alone(folder, out)
    try:
        yield lock
    finally:
        lock.release()
