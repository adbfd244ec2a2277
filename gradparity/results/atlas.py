"""What an atlas has found: a row for every answer, and what these come to, as records and as files."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gradparity.model_spec.errors import InputError
from gradparity.results.store import replace_file

if TYPE_CHECKING:
    import polars as pl

SUMMARY_FILE, POINTS_FILE, PAGE_FILE = "atlas.json", "atlas.parquet", "atlas.html"
PARTS, ARRAYS = "functions", "arrays"
#: Notes: of a function that is gradparity's in that backend, and the beginning of one on a process that died.
OURS, LOST = "formula of gradparity", "lost: "
#: Columns of the table by the names of Polars' types.
COLUMNS = {
    "function": "String", "backend": "String", "version": "String", "dtype": "String", "quantity": "String",
    "x": "Float64", "y": "Float64", "point": "String", "truth": "Float64", "left": "Float64", "got": "Float64",
    "ulps": "Float64", "relative": "Float64", "felt": "Float64", "floors": "Float64", "status": "String",
    "note": "String",
}  # fmt: skip


class Worst(msgspec.Struct, frozen=True):
    """The largest error of an entry by one measure: where, what is true there, and what was given.

    A number that is not finite is ``null``. ``relative`` and ``ulps`` are those of the same answer.
    """

    error: float | None
    x: float | None
    y: float | None
    truth: float | None
    got: float | None
    relative: float | None
    ulps: float | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of one function in one backend and dtype.

    Attributes:
        points: answers that were judged: those at points with a certified truth.
        off: answers beyond the limit of floors; those that the next four count, but the flushed, among them.
        zeros: answers of zero where the truth is not, at a size that the dtype has at full precision.
        flushed: zeros where the truth is smaller than that.
        nonfinite: answers that are no finite number where the truth is one of the dtype's range.
        overflow: answers that are neither infinite nor the largest number where the truth is beyond that.
        unknown: points at which some truth could not be certified.
        ulps: the worst answer in units in the last place, those apart that are flushed or not finite, as below.
        relative: the worst over the size of the truth, where that has the dtype's full precision.
        felt: the worst over the larger of that size and 1.
        ordinary: the same of answers that are off, at inputs of an ordinary size.
        nonfinite_at: such an answer at an input of an ordinary size.
        ours: the function, or its derivative rule, is made by gradparity of the framework's functions: it has none, or
            one without some derivative.
    """

    function: str
    backend: str
    dtype: str
    quantity: str
    points: int
    off: int
    zeros: int
    flushed: int
    nonfinite: int
    overflow: int
    unknown: int
    ulps: Worst | None
    relative: Worst | None
    felt: Worst | None
    ordinary: Worst | None
    nonfinite_at: Worst | None
    ours: bool = False


class ArrayEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of a function of a whole array, in float64, at one input: the finding of a check of its model.

    ``relative`` is the largest error over the largest true value; ``floors``, ``truth`` and ``got`` are of the element
    that is furthest beyond its noise floor. ``said``: the cause, or else the rule behind the verdict. ``ours``: as in
    `Entry`.
    """

    function: str
    inputs: str
    backend: str
    quantity: str
    verdict: str
    relative: float | None
    floors: float | None
    truth: float | None
    got: float | None
    said: str
    ours: bool = False


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered in float64 where there is no derivative: at a ``kink``, or at an ``edge`` without a finite one.

    ``slopes``: from the left and from the right. ``answers``: by backend the first derivative; the second.
    """

    function: str
    x: float
    y: float | None
    point: str
    slopes: str
    answers: dict[str, str]


class NotGiven(msgspec.Struct, frozen=True):
    """A quantity that a backend does not give, and why."""

    function: str
    backend: str
    quantity: str
    why: str


class Atlas(msgspec.Struct, frozen=True, kw_only=True):
    """What an atlas comes to."""

    gradparity_version: str
    versions: dict[str, str]
    functions: int
    points: int
    answers: int
    entries: list[Entry]
    conventions: list[Convention]
    not_given: list[NotGiven]
    arrays: list[ArrayEntry] = []


def require_folder(out: str) -> Path:
    """The folder of an atlas, which is new, empty, or one.

    Raises:
        InputError: it is something else, or cannot be made.
    """
    folder = Path(out)
    try:
        if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / PARTS).is_dir())):
            raise InputError("--out", got=out, expected="a new folder, or that of an atlas")
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("--out", got=f"{out}: {error.strerror}", expected="a folder that can be written") from None
    return folder


def frame_of(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows in the order of `COLUMNS` as a table."""
    import polars as pl

    schema = {name: getattr(pl, kind) for name, kind in COLUMNS.items()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def part_of(folder: Path, function: str) -> Path:
    """Where the answers for one function are kept."""
    return folder / PARTS / f"{re.sub(r'[^a-z0-9.-]+', '_', function.lower()).strip('_')}.parquet"


def read_part(path: Path, versions: dict[str, str]) -> pl.DataFrame | None:
    """The answers for one function by these backends in these versions; None unless all of them are there."""
    import polars as pl

    if not path.exists():
        return None
    try:
        found = pl.read_parquet(path)
        kept = found.filter(
            pl.struct("backend", "version").is_in([{"backend": b, "version": v} for b, v in versions.items()])
        )
        whole = set(kept["backend"].unique()) == set(versions) and found.columns == list(COLUMNS)
        return kept if whole and not kept["note"].str.starts_with(LOST).any() else None  # a process may live next time
    except (pl.exceptions.PolarsError, OSError):
        return None  # a file that was cut off


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a table whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd")
    replace_file(path, content.getvalue())


def write_summary(atlas: Atlas, folder: Path) -> None:
    """Write ``atlas.json``.

    Raises:
        InputError: it cannot be written.
    """
    replace_file(folder / SUMMARY_FILE, msgspec.json.format(msgspec.json.encode(atlas), indent=1))
