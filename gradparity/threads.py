"""Threads whose start does not wait for ever."""

from __future__ import annotations

import threading
from typing import Any

#: Seconds within which a thread begins on any machine that is not out of memory.
BEGINS_S = 30.0


class _Begun(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        if not super().wait(BEGINS_S if timeout is None else timeout):
            raise RuntimeError("can't start new thread")
        return True


class Thread(threading.Thread):
    """A thread that begins, or raises as one that the system refuses.

    ``threading.Thread.start`` waits without an end for the thread's first lines, which never run where there is no
    memory for its first frame: seen in CPython 3.11 under a limit of the address space.

    Raises:
        RuntimeError: of ``start``, that it has not begun.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._started = _Begun()  # what `start` waits for
