"""Standard output and standard error as they are found: closed, full, gone, or of an encoding without our marks."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import tempfile
import traceback
from pathlib import Path

#: What stands for a mark of ours where an encoding has none.
_PLAIN = {"✓": "+", "✗": "x", "·": "-", "→": "->", "…": "...", "\u00d7": "x", "±": "+-", "≤": "<=", "≥": ">=", "µ": "u"}


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """An error handler of encoding: marks by what is next to them, the rest by its escape."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101
    text = error.object[error.start : error.end]
    plain = (_PLAIN.get(mark) or mark.encode("ascii", "backslashreplace").decode() for mark in text)
    return "".join(plain), error.end


class _Heedless(io.TextIOWrapper):
    """Standard error that takes whatever it is given: what it cannot show is lost, and never ends a run."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().flush()


def prepare() -> None:
    """Make both streams able to take every character of ours; the words about a run cannot end it."""
    codecs.register_error("gradparity", _plainly)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:  # closed by who started this
            nowhere(number)
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="gradparity")
    if isinstance(sys.stderr, io.TextIOWrapper) and not isinstance(sys.stderr, _Heedless):
        sys.stderr.flush()
        encoding = sys.stderr.encoding
        sys.stderr = _Heedless(
            open(2, "wb", 0, closefd=False),  # noqa: SIM115
            encoding, "gradparity", line_buffering=True, write_through=True,
        )  # fmt: skip


def flushed() -> OSError | None:
    """Have all that was printed on standard output arrive; what it failed with, unless nobody reads it any more."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere(1)
    except OSError as error:
        nowhere(1)
        return error
    return None


def nowhere(number: int) -> None:
    """Let a descriptor take everything, so that nothing fails any more when the interpreter ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    if nothing != number:
        os.dup2(nothing, number)
        os.close(nothing)


def reported(error: BaseException) -> str:
    """Where the traceback of a fault of gradparity's own is written; ``""`` where it cannot be."""
    try:
        number, name = tempfile.mkstemp(prefix="gradparity-fault-", suffix=".txt")
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return ""
    return str(Path(name))
