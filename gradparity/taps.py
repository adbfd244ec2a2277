"""``gradparity.tap``: a name for an intermediate value. Standard library only: a user's model imports this."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

Value = TypeVar("Value")

#: What stands in for a tapped value, under a name, while a recording runs.
Probe: TypeAlias = Callable[[str, Any], Any]

# One for the process, and not one per thread: XLA calls back from threads of its own, and a loss may use several.
_probe: Probe | None = None
_one_at_a_time = threading.Lock()


def tap(name: str, value: Value) -> Value:
    """The value unchanged: outside a check the very same object, at the price of one global read.

    In a check, the value and the cotangent that arrives at it are recorded under ``name``, so that the report can name
    the first intermediate where two backends diverge. Use what it returns: the cotangent is the one of that.

    Args:
        name: what the report calls it; a name may be tapped many times, as in a loop.
        value: an array or number, or dicts, lists and tuples of them.
    """
    probe = _probe
    return value if probe is None else probe(name, value)


@contextmanager
def probing(probe: Probe) -> Iterator[None]:
    """Every tap of the process goes through ``probe``, until the block ends, by an exception too.

    Raises:
        RuntimeError: another block is running, in this thread or another.
    """
    global _probe
    if not _one_at_a_time.acquire(blocking=False):
        raise RuntimeError("taps are being recorded already: one recording at a time in a process")
    try:
        _probe = probe
        yield
    finally:
        _probe = None
        _one_at_a_time.release()
