"""The files of a report beside ``results.json``: the page, the comment for a pull request, the raw blocks."""

from __future__ import annotations

from pathlib import Path

from gradparity.report.blocks import write_blocks
from gradparity.results import RunResult
from gradparity.results.folder import BLOCKS_FILE, COMMENT, PAGE, REPORTS, alone_in, require_of, require_own
from gradparity.results.store import replace_file


def write_reports(result: RunResult, folder: Path) -> list[str]:
    """Write each whole or not at all, alone in the folder; the names of those that are there now.

    Raises:
        InputError: there is no room, the folder cannot be written, a run is writing there, or a file there is not
            gradparity's or is the results of another run.
    """
    from gradparity.report.markdown import markdown
    from gradparity.report.page import document

    page, comment = document(result).encode(), markdown(result).encode()
    with alone_in(folder, str(folder)):
        require_own(folder, "--out", REPORTS)
        require_of(result, folder)
        replace_file(folder / PAGE, page, durably=True)
        replace_file(folder / COMMENT, comment, durably=True)
        there = write_blocks(result, folder / BLOCKS_FILE)
    return [PAGE, COMMENT, *([BLOCKS_FILE] if there else [])]
