"""The buffer that OpenBLAS takes for itself: where it finds no memory for one, it ends the process, with code 1."""

from __future__ import annotations

import mmap

import numpy as np

#: Bytes that are to be there for it, which takes 32 MiB of them at its first call that needs a buffer, and keeps them.
ROOM_BYTES = 2**26


def take_buffer() -> None:
    """Have OpenBLAS take its buffer, if there is memory for it.

    Raises:
        OSError: there is none.
    """
    mmap.mmap(-1, ROOM_BYTES).close()
    np.linalg.solve(np.eye(1), np.ones(1))
