"""What a process is allowed: seconds for its import, its compilation and each further request, and memory."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import get_args

import msgspec

from gradparity.model_spec.errors import InputError
from gradparity.worker.wire import Wait

#: No process of a framework gets by with less; the system takes no more for a limit.
_LEAST_GIB, _MOST_GIB = 0.05, 2.0**32


class Allowance(msgspec.Struct, frozen=True):
    """Limits that the user sets for every process of a run; without them there are defaults, and all the memory.

    Raises:
        InputError: a number is out of its range.
    """

    timeouts_s: dict[Wait, float] = {}
    memory_gib: float | None = None

    def __post_init__(self) -> None:
        for wait, seconds in self.timeouts_s.items():
            if not (math.isfinite(seconds) and seconds > 0):
                raise InputError(f"--timeout {wait}", got=seconds, expected="a finite number of seconds over 0")
        if self.memory_gib is not None and not _LEAST_GIB <= self.memory_gib <= _MOST_GIB:
            expected = f"{_LEAST_GIB} to {_MOST_GIB:.0f}, in GiB a process"
            raise InputError("--memory-limit", got=self.memory_gib, expected=expected)

    def wait_s(self, wait: Wait | None, default_s: float) -> tuple[float, str]:
        """Seconds to wait for an answer, and in what words to say that none came."""
        seconds = self.timeouts_s.get(wait) if wait is not None else None
        if seconds is not None:
            return seconds, f"no answer after {seconds:g} s (--timeout {wait}={seconds:g}); killed"
        said = f"no answer after {default_s:.0f} s; killed"
        return default_s, f"{said} (--timeout {wait}=SECONDS allows more)" if wait is not None else said

    @property
    def memory_bytes(self) -> int | None:
        """The limit of a process, in bytes."""
        return None if self.memory_gib is None else int(self.memory_gib * 2**30)


def timeouts_from(words: Iterable[str]) -> dict[Wait, float]:
    """Limits from the command line's words, such as ``compile=300``; of several for one kind of wait the last counts.

    Raises:
        InputError: a word is not of that form.
    """
    found: dict[Wait, float] = {}
    for word in words:
        wait, _, seconds = word.partition("=")
        if wait not in get_args(Wait):
            raise InputError("--timeout", got=repr(word), expected="import=, compile= or step=SECONDS")
        try:
            found[wait] = float(seconds)  # type: ignore[index]
        except ValueError:
            raise InputError("--timeout", got=repr(word), expected=f"{wait}=SECONDS, such as {wait}=60") from None
    return found


#: How allocation fails in NumPy, PyTorch, XLA and C++.
_OUT_OF_MEMORY = re.compile(
    r"MemoryError|can't allocate memory|Cannot allocate memory|RESOURCE_EXHAUSTED|[Oo]ut of memory|bad_alloc"
)


def out_of_memory(said: str) -> bool:
    """Whether the words of a failure are those of a lack of memory."""
    return _OUT_OF_MEMORY.search(said) is not None


#: How a thread that cannot be started fails, and a library that finds no memory.
_REFUSED = re.compile("can't start new thread|failed to map segment|[Cc]annot allocate memory|cannot map zero-fill")


def refused(error: BaseException) -> bool:
    """Whether it is the system that has refused something: memory, a thread, a descriptor, room."""
    refusal = isinstance(error, RuntimeError | ImportError) and _REFUSED.search(str(error)) is not None
    return refusal or isinstance(error, MemoryError) or (isinstance(error, OSError) and bool(error.strerror))
