"""The output folder and its ``results.json``: written whole or not at all, read with a clear word where it is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gradparity import results
from gradparity.old_schemas import UPGRADES, upgraded
from gradparity.results import SCHEMA_VERSION, RunResult
from model_spec.errors import InputError

RESULTS_FILE = "results.json"
#: The JSON Schema of `RunResult`, which `gradparity.results.schema` makes.
SCHEMA_PATH = Path(results.__file__).with_name("results.schema.json")


class _Versioned(msgspec.Struct):
    """What results of all schemas have in common."""

    schema_version: int = SCHEMA_VERSION


def output_folder(out: str) -> Path:
    """The output folder, made and tried, so that no result is lost to it at the end.

    Raises:
        InputError: nothing can be written there.
    """
    folder = Path(out)
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        trial = folder / ".writable"
        trial.touch()
        trial.unlink()
        write_schema(folder)
    except OSError as error:
        raise InputError("--out", got=f"{out} ({error.strerror})", expected="a folder that can be written") from None
    if (folder / RESULTS_FILE).is_dir():
        raise InputError("--out", got=f"{out}, where {RESULTS_FILE} is a folder", expected="room for a file")
    return folder


def write_schema(folder: Path) -> None:
    """Put what documents ``results.json`` beside it: the JSON Schema, a copy of the package's.

    Raises:
        OSError: it cannot be written.
    """
    content, there = SCHEMA_PATH.read_bytes(), folder / SCHEMA_PATH.name
    if there.is_file() and there.read_bytes() == content:
        return
    partial = there.with_suffix(".json.partial")
    partial.write_bytes(content)
    try:
        partial.replace(there)
    finally:
        partial.unlink(missing_ok=True)


def encode(result: RunResult) -> bytes:
    """The result as indented JSON; non-finite numbers are ``null``."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1)


def save(result: RunResult, folder: Path) -> None:
    """Write ``results.json`` whole or not at all: a reader never sees half a file."""
    path = folder / RESULTS_FILE
    partial = path.with_suffix(".json.partial")
    partial.write_bytes(encode(result))
    partial.replace(path)


def load(path: Path) -> RunResult:
    """Read a ``results.json`` of this schema or an earlier one.

    Raises:
        msgspec.MsgspecError: the file is no result.
    """
    content = path.read_bytes()
    return _decoded(content, _version(content))


def read(name: str) -> RunResult:
    """The ``results.json`` of that name, or the one in the folder of that name; of this schema or an earlier one.

    Raises:
        InputError: there is none, it is no result, or it is of a newer schema.
    """
    path = Path(name)
    expected = f"a {RESULTS_FILE} of gradparity"
    try:
        path = path / RESULTS_FILE if path.is_dir() else path
        if path.exists() and not path.is_file():  # to open a pipe waits for its writer, possibly for ever
            raise InputError(name, got="a special file", expected=expected)
        content = path.read_bytes()
        version = _version(content)
        if version not in (*UPGRADES, SCHEMA_VERSION):
            raise InputError(
                name,
                got=f"schema version {version}",
                expected=f"{min(UPGRADES)} to {SCHEMA_VERSION}",
                cure="Read it with the gradparity that wrote it, or a newer one.",
            )
        return _decoded(content, version)
    except OSError as error:
        raise InputError(name, got=error.strerror, expected=expected) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(name, got=f"a file that is none ({error})", expected=expected) from None


def _version(content: bytes) -> int:
    return msgspec.json.decode(content, type=_Versioned).schema_version


def _decoded(content: bytes, version: int) -> RunResult:
    if version not in UPGRADES:
        return msgspec.json.decode(content, type=RunResult)
    document = msgspec.json.decode(content, type=dict[str, Any])
    return msgspec.convert(upgraded(document, version), RunResult)
