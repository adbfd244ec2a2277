"""What all tables in a terminal share."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

STYLES = {
    **dict.fromkeys(("agrees", "kink", "faster"), "green"),
    **dict.fromkeys(("slower", "unstable"), "yellow"),
    **dict.fromkeys(("equivalent", "undecided"), ""),
    "reference": "dim",
}

#: Columns from which on the tables have their less needed columns too; every table fits in 80 without them.
WIDE = 112


def table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without rules; the first of the named columns is bold, those in ``right`` hold figures."""
    made = Table(title=title, title_justify="left", title_style="", header_style="dim", pad_edge=False, box=None)
    for index, name in enumerate(columns):
        made.add_column(
            name,
            style=None if index else "bold",
            no_wrap=not index or name in right,
            justify="right" if name in right else "left",
        )
    return made


def styled(words: str) -> Text:
    """A verdict in its colour."""
    return Text(words, style=STYLES.get(words, "red"))
