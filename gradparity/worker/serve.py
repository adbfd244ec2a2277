"""The loop of a process that answers requests on an inherited channel, until it is told to stop or the parent is gone.

The channel is private. Whatever else the process prints goes to its own output, which the parent keeps as a log.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

from gradparity.progress import heard_by
from gradparity.threads import Thread
from gradparity.worker.channel import Channel
from gradparity.worker.parts import sent_by
from gradparity.worker.wire import Progress, Reply, Request, Stop, Stopped, encode


def serve(
    descriptor: int,
    lifeline: int,
    decode: Callable[[bytes], Request[Any]],
    answer: Callable[[Request[Any]], bytes],
) -> None:
    """Answer each request with one frame, until `Stop`.

    Args:
        descriptor: of the channel.
        lifeline: descriptor of a pipe that closes when the parent ends.
        decode: of a request.
        answer: to a request, as a frame.
    """
    for each in (descriptor, lifeline):
        os.set_inheritable(each, False)  # a process started here would keep it open beyond this one's end
    _die_with(lifeline)
    _adopt()
    Thread(target=_end_with_parent, args=(descriptor,), daemon=True).start()
    own = os.getpid()
    with closing(Channel(socket.socket(fileno=descriptor))) as channel:

        def send(ahead: Reply) -> None:
            if os.getpid() == own:
                channel.send(encode(ahead))

        def tell(what: str, done: int, of: int) -> None:
            send(Progress(what, done, of))

        while True:
            try:
                request = decode(channel.receive())
            except (EOFError, ConnectionResetError):
                return
            try:
                with heard_by(tell), sent_by(send):
                    found = encode(Stopped()) if isinstance(request, Stop) else answer(request)
                if os.getpid() != own:  # a copy of this process, which the user's code has made: it answers nothing
                    os._exit(0)
                channel.send(found)
            except BrokenPipeError:
                return
            if isinstance(request, Stop):
                return


def _die_with(lifeline: int) -> None:
    """Have the system kill this process and all it started when the lifeline closes, even in C code that holds the GIL.

    Reference: fcntl(2), F_SETSIG. Only Linux has it; elsewhere the thread below does what it can.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        own_group = os.getpgrp() == os.getpid()
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid() if own_group else os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | fcntl.FASYNC)


def _adopt() -> None:
    """Have what leaves its parent, as a daemon does, be a child of this process: it is found when this one is ended.

    Reference: prctl(2), PR_SET_CHILD_SUBREAPER. Only Linux has it.
    """
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def _end_with_parent(descriptor: int) -> None:
    """Wait until the parent's end of the pipe closes; then end this process and what it started, busy or not."""
    hang_up = select.poll()
    hang_up.register(descriptor, 0)  # no event but the hang-up, so that no message wakes this thread
    hang_up.poll()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
