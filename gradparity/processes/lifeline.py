"""A process that ends with the one that started it: it holds the other end of its standard input, however it ends."""

from __future__ import annotations

import os
import signal
import sys
import time

from gradparity.threads import Thread

#: Seconds that it has to leave nothing behind, once nobody waits for it any more.
GRACE_S = 10.0


def end_with_parent() -> None:
    """From now on an end of standard input is a Ctrl-C for this process; and `GRACE_S` later its end."""
    Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    signal.raise_signal(signal.SIGINT)
    time.sleep(GRACE_S)
    os._exit(1)
