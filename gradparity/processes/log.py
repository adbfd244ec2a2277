"""What a process prints: in a file of a bounded size, which says where it was cut; its last words are kept apart."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from pathlib import Path
from typing import IO

from gradparity.formatting import printable, shortened
from gradparity.threads import Thread

#: Bytes that a log has at most, and of the last words that are kept.
MOST, LAST = 2**24, 4096
_CUT = f"\n[gradparity: cut here; the process printed more than {MOST >> 20} MiB]\n".encode()
#: Seconds for what a process printed before its end to arrive.
_ARRIVES_S = 1.0


class Log:
    """Everything that comes out of a pipe, written as it comes, up to `MOST` bytes.

    Args:
        path: the file, which is made anew in a folder that is made if it is not there.

    Raises:
        OSError: it cannot be made, or what is there is no file.
    """

    def __init__(self, path: Path) -> None:
        self._file = opened(path)
        self._tail, self._size = b"", 0
        self._thread: Thread | None = None

    def of(self, pipe: IO[bytes]) -> None:
        """Take what comes out of this pipe, until it ends: a process of the process may keep it open."""
        self._thread = Thread(target=self._copy, args=(pipe,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Nothing will come."""
        self._file.close()

    def last_line(self) -> str:
        """The last line that is not empty, fit for a table; ``""`` where there is none."""
        if self._thread is not None:
            self._thread.join(_ARRIVES_S)
        lines = self._tail.decode(errors="replace").strip().splitlines()
        return said(lines[-1]) if lines else ""

    def _copy(self, pipe: IO[bytes]) -> None:
        with pipe, self._file:
            while more := os.read(pipe.fileno(), 1 << 16):
                self._tail = (self._tail + more)[-LAST:]
                room = MOST - self._size
                if room > 0:
                    with contextlib.suppress(OSError):  # a full disk: the process is to go on
                        self._file.write(more[:room] + (_CUT if len(more) > room else b""))
                        self._file.flush()
                self._size += len(more)


def opened(path: Path) -> IO[bytes]:
    """A file to write from its beginning; through no link, into no pipe.

    Raises:
        OSError: it cannot be made, or what is there is no file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
    os.truncate(descriptor, 0)
    return os.fdopen(descriptor, "wb")


def said(line: str) -> str:
    """A line of a worker's own words, fit for a table: no control sequences, and not too long."""
    return shortened(printable(line), 300)


def signal_name(number: int) -> str:
    """``SIGTERM``; a real-time signal has no name but by its distance from the first."""
    try:
        return signal.Signals(number).name
    except ValueError:
        first = getattr(signal, "SIGRTMIN", None)
        return f"signal {number}" if first is None or number < first else f"SIGRTMIN+{number - first}"
