"""``results.json`` and other files of a run: written whole or not at all, read with a clear word where it is none."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path
from typing import Any

import msgspec

from gradparity.model_spec.errors import InputError
from gradparity.results import SCHEMA_VERSION, RunResult
from gradparity.results.old_schemas import OLDEST, from_2
from gradparity.results.validation import require_sound

RESULTS_FILE = "results.json"
#: Note of an exception that ended a run whose results are on disk all the same.
SAVED = "what was measured is saved"
#: What a file is called while it is being written: nobody else has made one of that name.
_PARTIAL = re.compile(r"\..+\.[0-9a-f]{16}\.gradparity")

#: What a folder fails with that was taken away while something was written into it; and how often it is made again.
_GONE, _TRIES = (errno.ENOENT, errno.ESTALE), 3


class _Versioned(msgspec.Struct):
    """What results of all schemas have in common."""

    schema_version: int = SCHEMA_VERSION


class Head(msgspec.Struct):
    """What says of a file, without all of it being read, that it is results, and of which run."""

    gradparity_version: str
    command: str = ""
    complete: bool = False


def encode(result: RunResult) -> bytes:
    """The result as JSON, indented unless it is of many models; non-finite numbers are ``null``."""
    content = msgspec.json.encode(result)
    return content if result.many else msgspec.json.format(content, indent=1)


def save(result: RunResult, folder: Path, *, durably: bool = False) -> None:
    """Write ``results.json`` whole or not at all: a reader never sees half a file. A folder that is gone is made again.

    Args:
        result: what is written.
        folder: of the run.
        durably: whether it is on the disk itself before this returns, so that a power cut leaves it there.

    Raises:
        InputError: it cannot be written any more; what was saved before is still there.
    """
    replace_file(folder / RESULTS_FILE, encode(result), durably=durably)


def head(path: Path) -> Head | None:
    """Which run's results a file has; ``None`` if it has none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head) if path.is_file() else None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def partial_of(path: Path) -> Path:
    """A name, never to be guessed, under which a file is written before it takes its place."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.gradparity")


def is_partial(path: Path) -> bool:
    """Whether a path is a file that was being written when its run was killed."""
    return _PARTIAL.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def new_file(path: Path, content: bytes, *, durably: bool = False) -> None:
    """Write a file that nobody else has made, through no link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        file.write(content)
        if durably:
            file.flush()
            os.fsync(file.fileno())


#: An atlas goes on from what is in its folder, and has no ``--resume``.
GO_ON = (
    "What was saved before is still there: make room, then go on with --resume, or of a command that has none "
    "with the same command."
)


def replace_file(
    path: Path,
    content: bytes,
    option: str = "--out",
    cure: str = GO_ON,
    *,
    durably: bool = False,
) -> None:
    """Put a file in the place of another whole or not at all, and leave nothing else behind.

    Args:
        path: the file; its folder is made if it has gone.
        content: what is to be in it.
        option: what named it, for who is told that it cannot be written.
        cure: what helps then.
        durably: whether it outlasts a power cut from then on.

    Raises:
        InputError: there is no room, or the folder cannot be written.
    """
    for left in reversed(range(_TRIES)):
        try:
            _put(path, content, durably=durably)
            return
        except OSError as error:
            if left and error.errno in _GONE:
                continue
            got = f"{path} ({error.strerror})"
            raise InputError(option, got=got, expected="a file that can be written", cure=cure) from None


def _put(path: Path, content: bytes, *, durably: bool) -> None:
    partial = partial_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        new_file(partial, content, durably=durably)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if durably:
        _sync(path.parent)


def _sync(folder: Path) -> None:
    """Have the system write down which files a folder has, where it can be asked to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
