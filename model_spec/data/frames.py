"""Readers of CSV and Parquet files, by Polars.

Polars is imported inside the functions: it takes longer to import than most commands take to run.
"""

from __future__ import annotations

import csv
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gradparity.model_spec.data.memory import COPIES, gigabytes, require_memory
from gradparity.model_spec.data.npy import open_rows
from gradparity.model_spec.data.row_file import PIECE_BYTES, RowFile
from gradparity.model_spec.data.tables import (
    Table,
    check_features,
    finite_labels,
    line_place,
    refusing,
    require_target,
    row_place,
)
from gradparity.model_spec.errors import InputError

if TYPE_CHECKING:
    import polars as pl

#: A third of what a cell takes at the worst moment: its place as text (16 bytes), and as a number in a column and in X.
CELL_BYTES = 16
#: How files begin that Polars unpacks, whatever they are called.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x78\x01": "zlib",
    b"\x78\x9c": "zlib",
    b"\x78\xda": "zlib",
    b"\x28\xb5\x2f\xfd": "zstd",
}
#: Bytes of rows that are held at once where a file is written as rows.
BATCH_BYTES = 2**26


def read_csv(path: Path, target: str | None) -> Table:
    """Cells as text first, so that the first one that is no number can be shown as it stands."""
    import polars as pl

    file = str(path)
    # A panic inside Polars is not an Exception.
    with refusing(path, "CSV", pl.exceptions.PanicException):
        _require_text(path)
        require_memory(file, (_cells(path),), item_bytes=CELL_BYTES, beside=COPIES * path.stat().st_size)
        _require_header(path)
        try:
            # The header is read as a row: Polars would rename a column that comes twice.
            frame = pl.read_csv(path.resolve(), has_header=False, infer_schema=False, glob=False)
        except pl.exceptions.ComputeError:
            _refuse_long_record(path)
            raise
    names = [(name or "").strip() for name in frame.row(0)]
    _require_names(file, names, target)
    frame.columns = names
    frame = frame[1:]
    # A blank line at the end is no row; one between rows is, and is reported as missing cells.
    while frame.height and all(cell is None for cell in frame.row(-1)):
        frame = frame[:-1]
    place = partial(line_place, lambda: islice(_csv_records(path), 1, None))  # below the header
    return _from_frame(file, frame, require_target(file, names, target), place, text=True)


def _require_text(path: Path) -> None:
    """Refuse what Polars would unpack: the file's size says nothing of the memory it takes, nor its lines of rows."""
    with path.open("rb") as stream:
        start = stream.read(4)
    kind = next((kind for mark, kind in _COMPRESSED.items() if start.startswith(mark)), None)
    if kind is not None:
        cure = "Decompress it, or save it as Parquet, which is compressed by columns."
        raise InputError(str(path), got=f"a file that is compressed ({kind})", expected="text", cure=cure)


def _cells(path: Path) -> int:
    """How many cells a CSV file has, or more: commas in quotes are counted too. To read it takes much longer."""
    with path.open("rb") as stream:
        return sum(piece.count(b",") + piece.count(b"\n") for piece in iter(partial(stream.read, PIECE_BYTES), b""))


def _require_header(path: Path) -> None:
    """Refuse blank lines above the header, which some versions of Polars skip: lines would be misnumbered."""
    if not next(_csv_records(path), (1, []))[1]:
        expected, cure = "the names of the columns", "Remove the blank lines above the header."
        raise InputError(f"{path}, header (line 1)", got="a blank line", expected=expected, cure=cure)


def _require_names(file: str, names: list[str], target: str | None) -> None:
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        place = f"{file}, header (line 1), column {number}"
        if not name:
            cure = "Name it, or leave it out if it is only a row index."
            raise InputError(place, got="no name", expected="a name for every column", cure=cure)
        if name in seen:
            raise InputError(
                place,
                got=f"the name {name!r} a second time",
                expected="a different name for every column",
                cure="Rename or remove one of the two; a file without a header needs one.",
            )
        seen.add(name)
    if len(names) == 1 and target != names[0] and (found := next((mark for mark in ";\t|" if mark in names[0]), None)):
        raise InputError(
            f"{file}, header (line 1)",
            got=f"one column, whose name contains {found!r}",
            expected="columns separated by commas",
            cure="Save the file with commas between cells.",
        )


def _csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line on which each record begins, and its cells; records span lines where a quoted cell does."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        records, line = csv.reader(stream), 1
        for cells in records:
            yield line, cells
            line = records.line_num + 1


def _refuse_long_record(path: Path) -> None:
    """Name the first record that has more cells than the header, if that is what ails the file."""
    records = _csv_records(path)
    width = len(next(records)[1])
    for row, (line, cells) in enumerate(records, start=1):
        if len(cells) > width:
            raise InputError(
                f"{path}, row {row} (line {line})",
                got=f"{len(cells)} cells",
                expected=f"{width}, as in the header",
                cure="Put quotes around a cell that contains a comma.",
            )


@dataclass(frozen=True)
class ParquetRows:
    """A Parquet file of which nothing but the metadata has been read: how large it is, and which column has labels.

    A damaged file is refused, but for the rare footer whose false sizes make Polars abort the process.
    """

    path: Path
    target: str
    rows: int
    columns: int

    @classmethod
    def of(cls, path: Path, target: str | None) -> ParquetRows:
        """That of a file.

        Raises:
            InputError: it is none, or has no such column.
        """
        import polars as pl

        with refusing(path, "Parquet", pl.exceptions.PanicException):
            scan = pl.scan_parquet(path.resolve(), glob=False)
            names = scan.collect_schema().names()
            rows = int(scan.select(pl.len()).collect().item())
            return cls(path, require_target(str(path), names, target), rows, len(names))

    @property
    def features(self) -> int:
        """F: every column but the labels'."""
        return self.columns - 1

    def table(self, begin: int = 0, rows: int | None = None) -> Table:
        """Some rows of it, or all, by columns of numbers or booleans.

        Raises:
            InputError: they cannot be read.
        """
        import polars as pl

        with refusing(self.path, "Parquet", pl.exceptions.PanicException):
            frame = pl.scan_parquet(self.path.resolve(), glob=False).slice(begin, rows).collect()
        return _from_frame(str(self.path), frame, self.target, lambda row: row_place(begin + row), text=False)

    def on_disk(self, folder: Path) -> RowFile:
        """The same rows in a file of that folder, where they can be read in pieces; in float64, the labels last.

        Raises:
            InputError: a cell is missing, is no finite number, or the disk has no room for them.
        """
        file, needed = str(self.path), 8 * self.rows * self.columns
        free = shutil.disk_usage(folder).free
        if needed > free:
            rule = f"{file}, written as rows to be read in pieces"
            cure = "Set TMPDIR to a larger disk, or save it as a .npy file, which is read where it is."
            raise InputError(
                rule, got=gigabytes(needed), expected=f"at most the {gigabytes(free)} of {folder.parent}", cure=cure
            )
        found = folder / f"{secrets.token_hex(8)}.npy"
        with found.open("xb") as stream:
            header = {"descr": "<f8", "fortran_order": False, "shape": (self.rows, self.columns)}
            np.lib.format.write_array_header_1_0(stream, header)
            step = max(1, BATCH_BYTES // (8 * self.columns))
            for begin in range(0, self.rows, step):
                table = self.table(begin, step)
                check_features(table)
                finite_labels(table)
                stream.write(np.column_stack([table.X, table.y]).astype("<f8", copy=False).data)
        return replace(open_rows(str(found), None), said=file)


def read_parquet(path: Path, target: str | None) -> Table:
    """Columns of numbers or booleans; the file's metadata says how large it is before it is read."""
    rows = ParquetRows.of(path, target)
    require_memory(str(path), (rows.rows, rows.columns))
    return rows.table()


def _from_frame(file: str, frame: pl.DataFrame, target: str, place: Callable[[int], str], *, text: bool) -> Table:
    """A table from columns; strings are read as numbers only where all the file has is ``text``."""
    features = frame.drop(target)
    numbers = _numbers(features, text=text)
    labels = frame[target]

    def content(row: int, column: int | None) -> str | None:
        series = labels if column is None else features.to_series(column)
        value = series[row]
        if isinstance(value, str) and text:
            return repr(value.strip()) if value.strip() else None
        kind = "" if series.dtype.is_numeric() else f" ({series.dtype})"
        return None if value is None else f"{value!r}{kind}"

    return Table(
        file=file,
        X=np.ascontiguousarray(numbers.to_numpy(order="c")) if numbers.width else np.empty((frame.height, 0)),
        y=_numbers(labels.to_frame(), text=text).to_series().to_numpy(),
        feature_names=tuple(features.columns),
        target=target,
        content=content,
        place=place,
        boolean_target=_is_boolean(labels, text=text),
        words=_words(labels),
    )


def _words(labels: pl.Series) -> list[str | None] | None:
    """Labels in words, where all are: strings of which none is a number. None in place of empty cells."""
    import polars as pl

    if labels.dtype not in (pl.String, pl.Categorical, pl.Enum) or _is_boolean(labels.cast(pl.String), text=True):
        return None
    stripped = labels.cast(pl.String).str.strip_chars()
    words = [word or None for word in stripped]
    numbers = stripped.cast(pl.Float64, strict=False)
    return words if any(words) and numbers.null_count() == len(words) else None


def _numbers(columns: pl.DataFrame, *, text: bool) -> pl.DataFrame:
    """The columns as float64, null where a cell is no number; true and false are 1 and 0.

    Of a hundred thousand columns each expression would take a while, so that there is one for all that are of a kind.
    """
    import polars as pl

    # The first row spares columns of numbers the pass over their text.
    first = columns.row(0) if columns.height else (None,) * columns.width
    maybe = [
        name
        for (name, kind), cell in zip(columns.schema.items(), first, strict=True)
        if kind == pl.Boolean or (isinstance(cell, str) and cell.strip().lower() in ("true", "false"))
    ]
    booleans = {name: None for name in maybe if _is_boolean(columns[name], text=text)}
    others = {name: kind for name, kind in columns.schema.items() if name not in booleans}
    numeric = [name for name, kind in others.items() if text or kind.is_numeric()]
    none = others.keys() - set(numeric)
    numbers, truth = pl.col(numeric), pl.col(list(booleans))
    if text:
        numbers, truth = numbers.str.strip_chars(), truth.str.strip_chars().str.to_lowercase() == "true"
    found = [numbers.cast(pl.Float64, strict=not text)] if numeric else []
    found += [truth.cast(pl.Float64)] if booleans else []
    return columns.with_columns(*found, *(pl.lit(None, pl.Float64).alias(name) for name in none))


def _is_boolean(column: pl.Series, *, text: bool) -> bool:
    import polars as pl

    if not text:
        return column.dtype == pl.Boolean
    first = column.first()
    if not isinstance(first, str) or first.strip().lower() not in ("true", "false"):
        return False
    return bool(column.drop_nulls().str.strip_chars().str.to_lowercase().is_in(["true", "false"]).all())
