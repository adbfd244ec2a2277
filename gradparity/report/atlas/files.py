"""The files of an atlas: every answer as a table, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gradparity.report.atlas.summary import summary
from gradparity.results.atlas import POINTS_FILE, Atlas, write_frame, write_summary

if TYPE_CHECKING:
    import polars as pl


def write_atlas(frame: pl.DataFrame, versions: Mapping[str, str], out: str) -> Atlas:
    """Write ``atlas.parquet`` and ``atlas.json``.

    Raises:
        InputError: they cannot be written.
    """
    folder, found = Path(out), summary(frame, versions)
    write_frame(frame, folder / POINTS_FILE)
    write_summary(found, folder)
    return found
