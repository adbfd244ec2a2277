"""The files of an atlas: every answer as a table, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gradparity.report.atlas.page import page
from gradparity.report.atlas.summary import summary
from gradparity.results.atlas import PAGE_FILE, POINTS_FILE, ArrayEntry, Atlas, write_frame, write_summary
from gradparity.results.store import replace_file

if TYPE_CHECKING:
    import polars as pl


def write_atlas(frame: pl.DataFrame, versions: Mapping[str, str], out: str, arrays: Sequence[ArrayEntry] = ()) -> Atlas:
    """Write ``atlas.parquet``, ``atlas.json`` and ``atlas.html``.

    Raises:
        InputError: they cannot be written.
    """
    folder, found = Path(out), summary(frame, versions, arrays)
    write_frame(frame, folder / POINTS_FILE)
    write_summary(found, folder)
    replace_file(folder / PAGE_FILE, page(frame, found).encode())
    return found
