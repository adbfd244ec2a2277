"""Environment variables that the user's code reads and its process does not have: a process gets stated ones only.

What is read and missing is remembered, so that it is said: a ``get`` with a default would go on without a word.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: What the user's code asked for in vain, and where, ``model.py, line 3``: of this process, in the order of reading.
missed: dict[str, str] = {}

#: Names of which a message has so many.
_NAMED = 3
#: Where a read of a variable goes through on its way.
_THROUGH = frozenset(
    code.co_filename for code in (os.getenv.__code__, Mapping.get.__code__, Mapping.__contains__.__code__)
)
_roots: set[Path] = set()


class _Noting(os._Environ):  # type: ignore[type-arg]
    """The environment, which notes what the user's code does not find in it."""

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            _note(key)
            raise


def note_reads(root: Path) -> None:
    """From now on remember what code below a folder reads in vain."""
    _roots.add(root)
    os.environ.__class__ = _Noting


def _note(key: Any) -> None:
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename in _THROUGH:
        frame = frame.f_back
    file = Path(frame.f_code.co_filename)
    root = next((each for each in _roots if file.is_relative_to(each)), None)
    if isinstance(key, str) and root is not None and "site-packages" not in file.relative_to(root).parts:
        missed.setdefault(key, f"{file.name}, line {frame.f_lineno}")


def cure_of_missed() -> str:
    """What to do where the user's code raises after it has asked for a variable in vain; ``""`` where it has not."""
    if not missed:
        return ""
    names, places = list(missed)[:_NAMED], list(missed.values())[:_NAMED]
    asked = ", ".join(f"{name} ({place})" for name, place in zip(names, places, strict=True))
    given = " ".join(f"--env {name}" for name in names)
    return f"It reads a variable that its process does not have, {asked}: {given} passes yours on."
