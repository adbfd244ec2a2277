"""How a report's tables and notes look in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from gradparity.formatting import printable, shortened
from gradparity.report.facts.view import Cell, Head, Kind, Table

STYLES: dict[Kind, str] = {
    **dict.fromkeys(("good", "exact", "low", "mid", "high"), "green"), "bad": "red", "warn": "yellow", "muted": "dim",
}  # fmt: skip
#: Columns beyond which a text is wrapped, and does not make a table too wide.
_WRAPPED = 40
#: Characters of somebody else's words that are shown, and of a single one in a table.
_MOST_WORDS, _MOST_WORD = 240, 36


def clean(text: str, most: int = _MOST_WORDS) -> str:
    """Somebody else's words on one line, without what a terminal would obey."""
    return shortened(printable(" ".join(text.split())), most)


@dataclass(frozen=True)
class Shown:
    """A table without rules, as wide as the terminal allows: with all of its columns, or without those that are extra.

    If ``brief``, it has no title, and of a word that is as long as a path is one only the beginning and the end.
    """

    table: Table
    brief: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [[_shortened(cell) if self.brief else cell for cell in row] for row in self.table.rows]
        table = replace(self.table, rows=rows, caption="" if self.brief else self.table.caption)
        yield Group(*_parts(table if _width(table) <= options.max_width else _narrow(table)))


def _parts(table: Table) -> list[RenderableType]:
    """The table, and the notes below it."""
    title = table.caption or None
    made = RichTable(title=title, title_justify="left", title_style="", header_style="dim", pad_edge=False, box=None)
    for index, head in enumerate(table.heads):
        made.add_column(
            head.text,
            style=None if index else "bold",
            no_wrap=not index or head.figures,
            justify="right" if head.figures else "left",
        )
    for row in table.rows:
        made.add_row(*(Text(str(cell), style=STYLES.get(cell.kind, "")) for cell in row))
    return [made, *(Text(note, style="dim") for note in table.notes)]


def _shortened(cell: Cell) -> Cell:
    half = (_MOST_WORD - 3) // 2
    said = (word if len(word) <= _MOST_WORD else f"{word[:half]}...{word[-half:]}" for word in clean(cell.text).split())
    return replace(cell, text=" ".join(said), note=clean(cell.note))


def _width(table: Table) -> int:
    """Columns that it takes, with texts wrapped and no figure cut."""
    columns = zip(*([Cell(head.text) for head in table.heads], *table.rows), strict=True)
    return sum(min(_WRAPPED, max(cell_len(str(cell)) for cell in column)) + 2 for column in columns) - 2


def _narrow(table: Table) -> Table:
    """Without what is extra, and each head broken to the width of its column's cells."""
    kept = [place for place, head in enumerate(table.heads) if not head.extra]
    rows = [
        [replace(row[place], note="") if table.heads[place].bare else row[place] for place in kept]
        for row in table.rows
    ]
    heads = [
        replace(head, text=_broken(head, [row[place] for row in rows]))
        for place, head in enumerate(table.heads[place] for place in kept)
    ]
    return replace(table, heads=heads, rows=rows)


def _broken(head: Head, cells: Sequence[Cell]) -> str:
    longest = max((len(str(cell)) for cell in cells), default=0)
    return textwrap.fill(head.text, max(6, longest), break_long_words=False)
