"""The private channel between a process and its parent: whole frames under a deadline, and nothing else on it.

A frame begins with a mark and its length in 8 bytes, little-endian. Whatever has no mark was written by something in
the process to a descriptor that it did not open: it is never taken for a length.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import struct
import time
from collections.abc import Callable

MARK = b"\xffgradparity\x00"
_LENGTH = struct.Struct("<Q")
#: Bytes of a frame at most; and that are read at once, so that a length is nothing that memory is taken for.
MOST, AT_ONCE = 2**38, 2**20
#: What a socket takes as its limit at most; an end that has passed is that of an answer which is there already.
_LONGEST_S, _SHORTEST_S = 10.0**6, 1e-4
#: How often a process is looked after that does not tell of its end.
_LOOKS_S = 0.25


class Garbled(Exception):
    """What came is no frame."""


class Channel:
    """One end. Not for several threads at a time, but that a process may tell of its progress from any.

    A process of the process at the other end may have that end still, and never answer: it is not waited for.

    Args:
        end: a connected stream socket, which is this object's from now on.
        life: a descriptor that can be read once the process at the other end has ended, if there is one.
        ended: whether that process has ended, for a system without such descriptors.
    """

    def __init__(self, end: socket.socket, life: int | None = None, ended: Callable[[], bool] | None = None) -> None:
        self._socket, self._life, self._ended = end, life, ended

    def fileno(self) -> int:
        """The descriptor; -1 where it is closed."""
        return self._socket.fileno()

    @property
    def closed(self) -> bool:
        """Whether this end has been let go of."""
        return self._socket.fileno() < 0

    def close(self) -> None:
        """Let go of it; the other end reads its end."""
        self._socket.close()

    def send(self, frame: bytes, ends_s: float = math.inf) -> None:
        """Send a frame by a reading of the monotonic clock.

        Raises:
            TimeoutError: the other end did not take all of it until then. Nothing can be sent any more.
            EOFError: the process at the other end has ended.
            OSError: the other end is closed, or this one.
        """
        for part in (MARK + _LENGTH.pack(len(frame)), frame):
            left = memoryview(part)
            while left:
                self._await(select.POLLOUT, ends_s)
                left = left[self._socket.send(left) :]

    def receive(self, ends_s: float = math.inf) -> bytes:
        """The next frame, if all of it is there by a reading of the monotonic clock.

        Raises:
            TimeoutError: it is not. Nothing can be received any more.
            EOFError: the other end is closed, and nothing is left to read.
            Garbled: what came is no frame.
            OSError: the channel is broken, or this end is closed.
        """
        mark = b""
        while mark != MARK:  # byte by byte, so that less than a mark is known as well
            mark += self._read(1, ends_s)
            if not MARK.startswith(mark):
                raise Garbled
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, ends_s))
        if length > MOST:
            raise Garbled
        return self._read(length, ends_s)

    def _read(self, count: int, ends_s: float) -> bytes:
        found = bytearray()
        while len(found) < count:
            self._await(select.POLLIN, ends_s)
            more = self._socket.recv(min(count - len(found), AT_ONCE))
            if not more:
                raise EOFError
            found += more
        return bytes(found)

    def _await(self, what: int, ends_s: float) -> None:
        """Wait until the socket can be read, or written, at once.

        Raises:
            TimeoutError, EOFError, OSError: as `receive` does.
        """
        watching, left_s = self._life is not None or self._ended is not None, ends_s - time.monotonic()
        unlimited = math.isinf(left_s) and not watching
        self._socket.settimeout(None if unlimited else min(max(left_s, _SHORTEST_S), _LONGEST_S))
        if not watching:
            return  # the socket waits by itself
        watched = select.poll()
        for descriptor, event in ((self._socket.fileno(), what), (self._life, select.POLLIN)):
            if descriptor is not None and descriptor < 0:  # let go of meanwhile
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            if descriptor is not None:
                watched.register(descriptor, event)
        while True:
            left_s = max(ends_s - time.monotonic(), _SHORTEST_S)
            came = dict(watched.poll(1000 * min(left_s, _LONGEST_S if self._life is not None else _LOOKS_S)))
            if came.keys() - {self._life}:
                return
            if came or (self._ended is not None and self._ended()):
                if dict(watched.poll(0)).keys() - {self._life}:  # what it sent before its end
                    return
                raise EOFError
            if time.monotonic() >= ends_s:
                raise TimeoutError
