"""The files of a report beside ``results.json``: the page, the comment for a pull request, the raw blocks."""

from __future__ import annotations

from pathlib import Path

from gradparity.report.blocks import BLOCKS_FILE, write_blocks
from gradparity.results import RunResult
from gradparity.results.store import replace_file

PAGE, COMMENT = "report.html", "report.md"


def write_reports(result: RunResult, folder: Path) -> list[str]:
    """Write each whole or not at all; the names of those that are there now.

    Raises:
        InputError: there is no room, or the folder cannot be written.
    """
    from gradparity.report.markdown import markdown
    from gradparity.report.page import document

    replace_file(folder / PAGE, document(result).encode())
    replace_file(folder / COMMENT, markdown(result).encode())
    there = write_blocks(result, folder / BLOCKS_FILE)
    return [PAGE, COMMENT, *([BLOCKS_FILE] if there else [])]
