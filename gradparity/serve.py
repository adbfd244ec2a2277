"""The loop of a process that answers requests on an inherited pipe, until it is told to stop or the parent is gone.

The pipe is private. Whatever else the process prints goes to its own output, which the parent keeps as a log.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

_Request = TypeVar("_Request")


def serve(
    descriptor: int,
    decode: Callable[[bytes], _Request],
    answer: Callable[[_Request], bytes],
    last: Callable[[_Request], bool],
) -> None:
    """Answer each request with one frame; after one for which ``last`` holds, return."""
    os.set_inheritable(descriptor, False)  # a process started here would keep the pipe open beyond this one's end
    threading.Thread(target=_end_with_parent, args=(descriptor,), daemon=True).start()
    with Connection(descriptor) as pipe:
        while True:
            try:
                request = decode(pipe.recv_bytes())
            except EOFError:
                return
            try:
                pipe.send_bytes(answer(request))
            except BrokenPipeError:
                return
            if last(request):
                return


def _end_with_parent(descriptor: int) -> None:
    """Wait until the parent's end of the pipe closes; then end this process and what it started, busy or not."""
    hang_up = select.poll()
    hang_up.register(descriptor, 0)  # no event but the hang-up, so that no message wakes this thread
    hang_up.poll()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
