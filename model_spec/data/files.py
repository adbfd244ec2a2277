"""The user's own files: which reader takes which, and what is checked before any of them opens one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gradparity.model_spec.data.arrays import read_npz, read_svmlight
from gradparity.model_spec.data.frames import ParquetRows, read_csv, read_parquet
from gradparity.model_spec.data.npy import open_rows, read_npy
from gradparity.model_spec.data.row_file import RowFile
from gradparity.model_spec.data.tables import Table
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.extras import require

#: What some kinds of files are read by.
_PACKAGES = {".csv": "polars", ".parquet": "polars", **dict.fromkeys((".svmlight", ".svm", ".libsvm"), "sklearn")}
#: Readers by file extension.
READERS: dict[str, Callable[[Path, str | None], Table]] = {
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".npy": read_npy,
    ".npz": read_npz,
    ".svmlight": read_svmlight,
    ".svm": read_svmlight,
    ".libsvm": read_svmlight,
}


def read(source: str, target: str | None) -> Table:
    """The table in a file, by the file's extension.

    Raises:
        InputError: the file cannot be opened, is empty, is not of its kind, has no such target, or
            would not fit in memory.
    """
    return _reader(source)(Path(source), target)


def read_rows(source: str, target: str | None) -> RowFile | ParquetRows | None:
    """How many rows a file has that can be read in pieces, none of them read yet; None for other kinds of source.

    Raises:
        InputError: as `read`.
    """
    kind = Path(source).suffix.lower()
    if kind not in (".npy", ".parquet"):
        return None
    _reader(source)
    return open_rows(source, target) if kind == ".npy" else ParquetRows.of(Path(source), target)


def _reader(source: str) -> Callable[[Path, str | None], Table]:
    path = Path(source)
    try:
        # Before opening: to open a pipe waits for its writer, possibly for ever.
        if path.exists() and not path.is_file():
            kind = "a directory" if path.is_dir() else "a special file"
            raise InputError(source, got=kind, expected="a file", cure="Name the file of data itself.")
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise InputError(
                f"{source}, file extension",
                got=repr(path.suffix),
                expected=f"one of {', '.join(READERS)}",
                cure="Convert the file, or rename it if it is one of these.",
            )
        with path.open("rb") as stream:
            start = stream.read(1)
        if path.suffix.lower() in _PACKAGES:
            require(_PACKAGES[path.suffix.lower()], source)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(source, got=reason, expected="a file that can be read", cure="Check the path.") from None
    if not start:
        raise InputError(source, got="an empty file", expected="rows of data")
    return reader
