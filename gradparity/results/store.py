"""The output folder and its ``results.json``: written whole or not at all, read with a clear word where it is none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gradparity import results
from gradparity.model_spec.errors import InputError
from gradparity.results import SCHEMA_VERSION, RunResult
from gradparity.results.old_schemas import OLDEST, from_2
from gradparity.results.validation import require_sound

RESULTS_FILE = "results.json"
#: Note of an exception that ended a run whose results are on disk all the same.
SAVED = "what was measured is saved"
#: What the name of a file ends with while it is being written.
_PARTIAL = ".partial"
#: The JSON Schema of `RunResult`, which `gradparity.results.schema` makes.
SCHEMA_PATH = Path(results.__file__).with_name("results.schema.json")


class _Versioned(msgspec.Struct):
    """What results of all schemas have in common."""

    schema_version: int = SCHEMA_VERSION


@contextmanager
def hold(out: str) -> Iterator[Path]:
    """The output folder, made, tried, and this run's alone until it is left: no result is lost to it at the end.

    Raises:
        InputError: nothing can be written there, or another run is writing there now.
    """
    folder = Path(out)
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        trial = folder / ".writable"
        try:
            trial.write_bytes(b"on a full disk a file can be made, and nothing be put into it")
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError("--out", got=f"{out} ({error.strerror})", expected="a folder that can be written") from None
    if (folder / RESULTS_FILE).is_dir():
        raise InputError("--out", got=f"{out}, where {RESULTS_FILE} is a folder", expected="room for a file")
    with _locked(folder, out):
        for left in folder.glob(f"*{_PARTIAL}"):  # of a run that was killed while it wrote
            left.unlink(missing_ok=True)
        schema, there = SCHEMA_PATH.read_bytes(), folder / SCHEMA_PATH.name  # what documents the results, beside them
        if not there.is_file() or there.read_bytes() != schema:
            replace_file(there, schema)
        yield folder


@contextmanager
def _locked(folder: Path, out: str) -> Iterator[None]:
    """A lock on the folder itself, which the system takes back however this process ends; no file is left of it."""
    try:
        import fcntl
    except ImportError:  # Windows: two runs in one folder are the user's own look-out
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "--out",
                got=f"{out}, where another run is writing",
                expected="a folder of its own for each run",
                cure="Name another with --out, or wait for that run.",
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def encode(result: RunResult) -> bytes:
    """The result as indented JSON; non-finite numbers are ``null``."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1)


def save(result: RunResult, folder: Path) -> None:
    """Write ``results.json`` whole or not at all: a reader never sees half a file.

    Raises:
        InputError: it cannot be written any more; what was saved before is still there.
    """
    replace_file(folder / RESULTS_FILE, encode(result))


def partial_of(path: Path) -> Path:
    """Where a file is written before it takes its place."""
    return path.with_name(path.name + _PARTIAL)


def replace_file(
    path: Path,
    content: bytes,
    option: str = "--out",
    cure: str = "What was saved before is still there: make room, then go on with --resume.",
) -> None:
    """Put a file in the place of another whole or not at all, and leave nothing else behind.

    Args:
        path: the file.
        content: what is to be in it.
        option: what named it, for who is told that it cannot be written.
        cure: what helps then.

    Raises:
        InputError: there is no room, or the folder is no longer there or cannot be written.
    """
    partial = partial_of(path)
    try:
        try:
            partial.write_bytes(content)
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        got = f"{path} ({error.strerror})"
        raise InputError(option, got=got, expected="a file that can be written", cure=cure) from None


def remove_file(path: Path) -> None:
    """Take a file away, if it is there.

    Raises:
        InputError: it cannot be.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError("--out", got=f"{path} ({error.strerror})", expected="a file that can be taken away") from None


def read(name: str | Path) -> RunResult:
    """The ``results.json`` of that name, or the one in the folder of that name; of this schema or the one before.

    Raises:
        InputError: there is none, it is no result, or it is of another schema.
    """
    path, expected = Path(name), f"a {RESULTS_FILE} of gradparity"
    try:
        path = path / RESULTS_FILE if path.is_dir() else path
        if path.exists() and not path.is_file():  # to open a pipe waits for its writer, possibly for ever
            raise InputError(str(name), got="a special file", expected=expected)
        return _decoded(str(name), path.read_bytes())
    except OSError as error:
        raise InputError(str(name), got=error.strerror, expected=expected) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:  # text that is none; nested too deep
        raise InputError(str(name), got=f"a file that is none ({error})", expected=expected) from None


def _decoded(name: str, content: bytes) -> RunResult:
    version = msgspec.json.decode(content, type=_Versioned).schema_version
    if not OLDEST <= version <= SCHEMA_VERSION:
        raise InputError(
            name,
            got=f"schema version {version}",
            expected=f"{OLDEST} to {SCHEMA_VERSION}",
            cure="Read it with the gradparity that wrote it.",
        )
    if version == SCHEMA_VERSION:
        found = msgspec.json.decode(content, type=RunResult)
    else:
        found = msgspec.convert(from_2(msgspec.json.decode(content, type=dict[str, Any])), RunResult)
    require_sound(found)
    return found
