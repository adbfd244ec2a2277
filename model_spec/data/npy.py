"""``.npy`` files: the header checked, the matrix read whole, or read through once in pieces and left where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.data.memory import require_memory
from gradparity.model_spec.data.row_file import PIECE_BYTES, OnDisk, RowFile, stamp_of
from gradparity.model_spec.data.tables import Table, numbered, refusing, row_place, two_classes
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.space import DType

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StreamedDataset:
    """The rows of a file that has been read through once, as a `Dataset` is data in memory; of the same ``digest``."""

    name: str
    X: OnDisk
    y: OnDisk
    labels: tuple[str, str]
    source: str
    digest: str


def open_rows(source: str, target: str | None) -> RowFile:
    """The header of a ``.npy`` file, checked; nothing else is read.

    ``target`` is the number of the label column, from 0 or, negative, from the end; the last one if not given.

    Raises:
        InputError: it is no C-ordered 2-D matrix of float64 or float32, has no such column, or is cut off.
    """
    path = Path(source)
    with refusing(path, "NPY"), path.open("rb") as stream:
        shape, fortran, dtype = npy_header(stream)
        offset = stream.tell()
        there = stream.seek(0, 2) - offset
        stamp = stamp_of(path)
    if dtype not in (np.dtype("float64"), np.dtype("float32")):
        cure = "Save it as one of these: np.save(file, array.astype(float))."
        raise InputError(
            f"{source}, dtype", got=dtype, expected="float64 or float32 in this machine's order", cure=cure
        )
    if len(shape) != 2 or shape[1] < 2:
        expected = "shape (rows, columns), the labels in one column beside the features"
        raise InputError(source, got=f"shape {shape}", expected=expected, cure="Reshape it before it is saved.")
    if not shape[0]:
        raise InputError(f"{source}, rows", got="none", expected="1 or more", cure="Add rows of data to the file.")
    if fortran and 1 not in shape:
        cure = "Save it by rows: np.save(file, np.ascontiguousarray(array))."
        raise InputError(f"{source}, order", got="Fortran order (by columns)", expected="C order", cure=cure)
    rows, columns = map(int, shape)
    name: DType = "float64" if dtype == np.float64 else "float32"
    file = RowFile(source, name, rows, columns, offset, _column(source, target, columns), stamp=stamp)
    if there < file.rows * file.row_bytes:
        raise InputError(
            source,
            got=f"{there} bytes of values, a file that is cut off",
            expected=f"{file.rows * file.row_bytes} for shape {shape}",
            cure="Write or copy it again.",
        )
    return file


def npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether by columns, and dtype of an array, whose values come next.

    Version 3 differs from 2 in the encoding of field names only, and arrays with fields are refused anyway.

    Raises:
        ValueError: it is none, or has a negative length.
    """
    old = np.lib.format.read_magic(stream) == (1, 0)
    header = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if any(length < 0 for length in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran, dtype


def read_npy(path: Path, target: str | None) -> Table:
    """A ``.npy`` matrix, whole, with its labels in one column; see `open_rows`."""
    file = open_rows(str(path), target)
    require_memory(file.path, (file.rows, file.columns), names=file.features)
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes one that is quiet, which the check of cells refuses
        values = file.read(0, file.rows).astype(np.float64, copy=False)
    X, y = np.ascontiguousarray(np.delete(values, file.target, axis=1)), values[:, file.target].copy()
    return Table(file.path, X, y, numbered(file.features), str(file.target))


def _column(source: str, target: str | None, columns: int) -> int:
    try:
        column = -1 if target is None else int(target)
    except ValueError:
        column = columns
    if not -columns <= column < columns:
        expected = f"the number of the label column, 0 to {columns - 1}, or -1 for the last"
        raise InputError(f"{source}, target", got=repr(target), expected=expected)
    return column % columns


def scan(file: RowFile) -> StreamedDataset:
    """Read a file through once: are all values finite, and which two labels are there?

    Raises:
        InputError: a value is not finite (the message names its row and column), or there are not two labels.
    """
    import hashlib

    rule = f"{file.name}, target column {file.target}"
    values: list[float] = []
    sha, rows_per_piece, largest = hashlib.sha256(), max(1, PIECE_BYTES // file.row_bytes), 0.0
    sha.update(repr((file.rows, file.features)).encode())
    piece = np.empty((min(rows_per_piece, file.rows), file.columns), file.dtype)
    bits = []  # which labels are the first one's: hashed after the features, and an eighth of a byte each until then
    with file.opened() as stream:
        stream.seek(file.offset)
        for begin in range(0, file.rows, rows_per_piece):
            rows = piece[: file.rows - begin]
            file.read_into(stream, rows)
            _require_finite(file, rows, begin)
            labels = rows[:, file.target]
            new = ~np.isin(labels, values)
            while new.any():
                row = int(new.argmax())
                values.append(float(labels[row]))
                newest = partial(row_place, begin + row)
                if len(values) > 2:
                    two_classes(rule, values, f", after {values[0]:g} and {values[1]:g}", newest)
                new &= labels != values[-1]
            bits.append(np.packbits(labels == values[0]))
            features = np.delete(rows, file.target, axis=1)
            largest = max(largest, float(features.max()), -float(features.min()))
            sha.update(np.ascontiguousarray(features, "<f8").data)
    low, high = two_classes(rule, values, "", newest)
    sha.update(repr((file.rows,)).encode())
    for number, packed in enumerate(bits):
        first = np.unpackbits(packed, count=min(rows_per_piece, file.rows - number * rows_per_piece)) == 1
        sha.update(np.ascontiguousarray(first if values[0] == high else ~first, "<f8").data)
    file = replace(file, low=low, high=high, largest=largest)
    return StreamedDataset(
        name=Path(file.name).name,
        X=OnDisk(file, "X", "float64"),
        y=OnDisk(file, "y", "float64"),
        labels=(f"{low:g}", f"{high:g}"),
        source=f"file {rule}; read in pieces",
        digest=sha.hexdigest(),
    )


def _require_finite(file: RowFile, rows: Array, begin: int) -> None:
    finite = np.isfinite(rows)
    if finite.all():
        return
    row, column = divmod(int(finite.argmin()), file.columns)
    raise InputError(
        f"{file.name}, column {column}, {row_place(begin + row)}",
        got=str(rows[row, column]),
        expected="a finite number",
        cure="Correct the value, or leave its row or column out of the file.",
    )
