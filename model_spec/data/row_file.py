"""A matrix of rows in a ``.npy`` file, read in pieces: what does not fit into memory, or need not be there.

The file is read into a ring of buffers by a thread that goes ahead, so that a disk or a second core works while the
rows of another are computed with. Mapped pages would count as resident until they are reclaimed. The ring is small
enough to stay in a shared cache; one twice as large was no faster. Telling the system
what comes next (``POSIX_FADV_WILLNEED``) made reading from disk two to three times slower.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.space import DType

Array = npt.NDArray[Any]

#: Bytes read by one call: small enough to be still in the cache when the labels are taken out of them.
PIECE_BYTES = 2**19
#: Bytes of rows in a chunk, and chunks in the ring: one is computed with, and the others are read ahead.
CHUNK_BYTES = 2**22
RING = 3
#: Where a buffer starts: frameworks take memory so aligned as it is, and copy any other.
ALIGNMENT = 64


@dataclass(frozen=True)
class RowFile:
    """Where the rows of a C-ordered 2-D ``.npy`` file lie, and which of its columns holds the labels.

    ``low`` and ``high`` are the two labels, 0 and 1 of the model, and ``largest`` is the largest size of a feature, all
    as `gradparity.model_spec.data.npy.scan` finds them. Rows count from 0. ``said`` is the user's own file, if this one
    was written from that. ``stamp`` is what `stamp_of` gave when it was first opened: the truth and every backend read
    it for themselves, and are not to be compared over different rows.
    """

    path: str
    dtype: DType
    rows: int
    columns: int
    offset: int
    target: int
    low: float = 0.0
    high: float = 1.0
    largest: float = 0.0
    said: str = ""
    stamp: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The file's for people."""
        return self.said or self.path

    @property
    def features(self) -> int:
        """F: every column but the labels'."""
        return self.columns - 1

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in the file."""
        return self.columns * np.dtype(self.dtype).itemsize

    def part(self, rows: slice) -> RowFile:
        """Some rows of it, which follow each other, as a file of their own."""
        return replace(self, rows=rows.stop - rows.start, offset=self.offset + rows.start * self.row_bytes)

    def chunk_rows(self, dtype: DType) -> int:
        """Rows of a chunk, so that none are left over if that takes no less than half of `CHUNK_BYTES`.

        A compiler compiles once more for a last chunk of another length.
        """
        most = min(self.rows, max(1, CHUNK_BYTES // (self.columns * np.dtype(dtype).itemsize)))
        return next((size for size in range(most, most // 2, -1) if self.rows % size == 0), most)

    def chunks(self, dtype: DType, buffers: Buffers) -> Iterator[tuple[Array, Array]]:
        """All rows in order, as `Buffers.fill` has them; a chunk holds until the next one is asked for.

        Raises:
            InputError: the file has become shorter, or can no longer be read.
        """
        size = self.chunk_rows(dtype)
        free: SimpleQueue[int | None] = SimpleQueue()
        filled: SimpleQueue[tuple[int, tuple[Array, Array]] | Exception] = SimpleQueue()

        def read_ahead() -> None:
            try:
                with self.opened() as stream:
                    for begin in range(0, self.rows, size):
                        which = free.get()
                        if which is None:
                            return
                        end = min(begin + size, self.rows)
                        filled.put((which, buffers.fill(self, stream, begin, end, which)))
                    self._require_unchanged()
            except Exception as error:
                filled.put(error)

        for which in range(RING):
            free.put(which)
        ahead = Thread(target=read_ahead, daemon=True)
        ahead.start()
        try:
            for _ in range(0, self.rows, size):
                found = filled.get()
                if isinstance(found, Exception):
                    raise found
                which, chunk = found
                yield chunk
                free.put(which)
            ahead.join()
            if not filled.empty():
                raise filled.get()  # type: ignore[misc]  # it has changed meanwhile
        finally:
            free.put(None)
            ahead.join()

    def read(self, begin: int, end: int) -> Array:
        """Rows ``begin`` to ``end`` as they are in the file, labels included.

        Raises:
            InputError: as `chunks`.
        """
        rows = np.empty((end - begin, self.columns), self.dtype)
        with self.opened() as stream:
            stream.seek(self.offset + begin * self.row_bytes)
            self.read_into(stream, rows)
        return rows

    def read_into(self, stream: FileIO, rows: Array) -> None:
        """Fill an array from where the stream stands.

        Raises:
            InputError: the file ends before.
        """
        wanted = memoryview(rows.data).cast("B")
        while wanted:
            got = stream.readinto(wanted)
            if not got:
                raise InputError(
                    self.path,
                    got="a file that has become shorter",
                    expected=f"{self.rows} rows, as before",
                    cure="Leave the file as it is while it is read.",
                )
            wanted = wanted[got:]

    def opened(self) -> FileIO:
        """The file, at its beginning.

        Raises:
            InputError: it can no longer be read, or has changed since it was first opened.
        """
        self._require_unchanged()
        try:
            return Path(self.path).open("rb", buffering=0)
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> InputError:
        return InputError(self.path, got=str(error.strerror), expected="a file that can be read")

    def _require_unchanged(self) -> None:
        try:
            changed = bool(self.stamp) and stamp_of(self.path) != self.stamp
        except OSError as error:
            raise self._unreadable(error) from None
        if changed:
            raise InputError(
                self.path,
                got="a file that has been written to since it was opened",
                expected="the same rows as before",
                cure="Leave the file as it is until the run has ended.",
            )


class Buffers:
    """A ring of chunks' worth of memory, allocated once."""

    def __init__(self, file: RowFile, dtype: DType) -> None:
        rows = file.chunk_rows(dtype)
        self.X = [aligned((rows, file.columns), dtype) for _ in range(RING)]
        self.y = [aligned((rows,), dtype) for _ in range(RING)]
        self.piece_rows = max(1, PIECE_BYTES // file.row_bytes)
        self.raw = None if dtype == file.dtype else aligned((self.piece_rows, file.columns), file.dtype)

    def fill(self, file: RowFile, stream: FileIO, begin: int, end: int, which: int) -> tuple[Array, Array]:
        """Rows ``begin`` to ``end`` read into one of the buffers.

        Returns:
            ``X (n, F + 1)`` with zeros in the labels' column, which then weighs nothing, and ``y (n,)`` in {0, 1}.
            To move the other columns together would cost a copy.
        """
        X, y = self.X[which][: end - begin], self.y[which][: end - begin]
        stream.seek(file.offset + begin * file.row_bytes)
        # A chunk of the file's own dtype in one call: after each, this thread waits for the interpreter's lock.
        step = len(X) if self.raw is None else self.piece_rows
        for first in range(0, len(X), step):
            rows = X[first : first + step]
            raw = rows if self.raw is None else self.raw[: len(rows)]
            file.read_into(stream, raw)
            np.equal(raw[:, file.target], file.high, out=y[first : first + step], casting="unsafe")
            if raw is not rows:
                np.copyto(rows, raw, casting="same_kind")
        X[:, file.target] = 0
        return X, y


def stamp_of(path: str | Path) -> tuple[int, ...]:
    """What changes with a file: which it is, its size, and when it was last written to.

    Raises:
        OSError: there is none.
    """
    found = Path(path).stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def aligned(shape: tuple[int, ...], dtype: DType) -> Array:
    """An array, not initialised, that starts at a multiple of `ALIGNMENT`."""
    count_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(count_bytes + ALIGNMENT, np.uint8)
    begin = -raw.ctypes.data % ALIGNMENT
    array: Array = raw[begin : begin + count_bytes].view(dtype).reshape(shape)
    return array


class OnDisk:
    """X or y of a `RowFile`: shaped like an array and indexed by rows like one, but read anew each time.

    ``X[rows]`` is an array ``(n, F)``, ``y[rows]`` one ``(n,)`` in {0, 1}, both of ``dtype``; ``rows`` is a slice or
    an array of numbers.
    """

    def __init__(self, file: RowFile, name: str, dtype: DType) -> None:
        self.file, self.name, self.dtype = file, name, np.dtype(dtype)
        self.shape: tuple[int, ...] = (file.rows, file.features) if name == "X" else (file.rows,)
        self.ndim, self.size = len(self.shape), math.prod(self.shape)
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.file.rows

    def __getitem__(self, rows: slice | Array) -> Array:
        if isinstance(rows, slice):
            begin, end, step = rows.indices(self.file.rows)
            if step != 1:
                raise IndexError(f"rows of a file are read in order, got a step of {step}")
            found = self.file.read(begin, max(begin, end))
        else:
            found = np.concatenate([self.file.read(int(row), int(row) + 1) for row in rows])
        if self.name == "y":
            labels: Array = (found[:, self.file.target] == self.file.high).astype(self.dtype)
            return labels
        features: Array = np.delete(found, self.file.target, axis=1).astype(self.dtype, copy=False)
        return features

    def astype(self, dtype: DType) -> OnDisk:
        """The same rows, rounded to another dtype as they are read."""
        return OnDisk(self.file, self.name, dtype)

    def __array__(self, *_: object, **__: object) -> Array:
        raise TypeError(f"{self.file.path} is read by rows: it may not fit into memory as a whole")
