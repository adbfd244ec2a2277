"""Readers of NPZ files, by NumPy, and of svmlight files, by scikit-learn (imported where it is used)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.data.memory import require_memory
from gradparity.model_spec.data.npy import npy_header
from gradparity.model_spec.data.tables import Floats, Table, line_place, numbered, refusing, require_target
from gradparity.model_spec.errors import InputError


def read_npz(path: Path, target: str | None) -> Table:
    """Either a 2-D member ``X`` beside the target, or every other member as one column."""
    file = str(path)
    with refusing(path, "NPZ"), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        found = require_target(file, names, "y" if target is None else target)
        # Headers first: an array's size and kind are known before any of it is read.
        headers = {name: _npy_header(archive, name) for name in names}
        matrix = found != "X" and "X" in headers and len(headers["X"][0]) != 1
        members = ["X"] if matrix else [name for name in names if name != found]
        for name in (found, *members):
            shape, dtype = headers[name]
            _require_array(f"{file}, member {name!r}", shape, dtype, dimensions=2 if matrix and name == "X" else 1)
            if shape[0] != headers[found][0][0]:
                raise InputError(
                    f"{file}, member {name!r}",
                    got=f"{shape[0]} rows (shape {shape})",
                    expected=f"{headers[found][0][0]}, as in the target {found!r}",
                    cure="Save arrays with one entry for each row.",
                )
        arrays = {name: _npy_array(archive, name) for name in (found, *members)}

    def content(row: int, column: int | None) -> str:
        if column is None:
            value = arrays[found][row]
        else:
            value = arrays["X"][row, column] if matrix else arrays[members[column]][row]
        return repr(str(value)) if isinstance(value, str | bytes) else str(value)

    columns = {name: _real(arrays[name]) for name in members}
    stacked = np.column_stack(list(columns.values())) if columns else np.empty((len(arrays[found]), 0))
    return Table(
        file=file,
        X=np.ascontiguousarray(columns["X"] if matrix else stacked),
        y=_real(arrays[found]),
        feature_names=numbered(columns["X"].shape[1]) if matrix else tuple(members),
        target=found,
        content=content,
        boolean_target=arrays[found].dtype.kind == "b",
        words=[str(word).strip() or None for word in arrays[found]] if arrays[found].dtype.kind == "U" else None,
    )


def _npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(f"{name}.npy") as member:
        shape, _, dtype = npy_header(member)
    return shape, dtype


def _npy_array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(f"{name}.npy") as member:
        array: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


def _require_array(rule: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, dimensions: int) -> None:
    # Text is let through to the checks of cells, which can say what stands where.
    if dtype.kind not in "biufUS":
        raise InputError(
            rule, got=f"{dtype} values", expected="real numbers", cure="Save it as float64: array.astype(float)."
        )
    if len(shape) != dimensions:
        expected = "shape (rows, features)" if dimensions == 2 else "one dimension, shape (rows,)"
        raise InputError(rule, got=f"shape {shape}", expected=expected, cure="Reshape it before it is saved.")
    require_memory(rule, shape, item_bytes=max(8, dtype.itemsize))


def _real(array: npt.NDArray[Any]) -> Floats:
    if array.dtype.kind in "US":
        return np.full(array.shape, np.nan)
    # A long double too large becomes inf and a signalling NaN a quiet one: the check of cells refuses both.
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float64)


def read_svmlight(path: Path, target: str | None) -> Table:
    """Rows of ``label index:value ...`` made dense; indices from 0 or from 1, as the file has them."""
    from sklearn.datasets import load_svmlight_file

    file = str(path)
    if target is not None:
        raise InputError(
            f"{file}, target",
            got=repr(target),
            expected="none: the label is the first number on each line of a svmlight file",
            cure="Leave --target out.",
        )
    with refusing(path, "svmlight"), path.open("rb") as stream:
        try:
            sparse, y = load_svmlight_file(stream, dtype=np.float64, zero_based=True)
        except (ValueError, OverflowError):
            _refuse_svmlight_line(path)
            raise
        first = min(1, int(sparse.indices.min(initial=1)))
        rows, features = sparse.shape[0], sparse.shape[1] - first
        require_memory(file, (rows, features), names=features)
        X = np.ascontiguousarray(sparse[:, first:].toarray())

    names = tuple(map(str, range(first, first + features)))
    return Table(file, X, y, names, "label", place=partial(line_place, partial(_svmlight_records, path)))


def _svmlight_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and tokens of each row; lines that are blank or all comment are none."""
    with path.open("rb") as stream:
        for line, content in enumerate(stream, start=1):
            if tokens := content.split(b"#", 1)[0].decode(errors="replace").split():
                yield line, tokens


def _refuse_svmlight_line(path: Path) -> None:
    """Name the first row, and the first token in it, that is not of the format."""
    for row, (line, (label, *tokens)) in enumerate(_svmlight_records(path), start=1):
        place, last = f"row {row} (line {line})", -1
        if not _parses(float, label):
            raise InputError(f"{path}, label, {place}", got=repr(label), expected="a number, such as 0 or 1")
        for token in tokens:
            index, _, value = token.partition(":")
            if index == "qid":
                continue
            if not _parses(int, index) or not last < int(index) < 2**31:
                expected = "index:value, the indices whole numbers from 0 that rise along the line"
                raise InputError(f"{path}, {place}", got=repr(token), expected=expected)
            if not _parses(float, value):
                raise InputError(f"{path}, column {index!r}, {place}", got=repr(value), expected="a finite number")
            last = int(index)


def _parses(kind: type[int] | type[float], token: str) -> bool:
    try:
        kind(token)
    except ValueError:
        return False
    return True
