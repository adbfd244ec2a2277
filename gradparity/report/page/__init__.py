"""A result as one self-contained HTML page: no request to anywhere, all content without scripts too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradparity.results import RunResult


def document(result: RunResult) -> str:
    """The page; reads nothing but the files of this package and of Plotly's."""
    from gradparity.report.page.render import render

    return render(result)
