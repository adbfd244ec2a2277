"""What a page has beside tables and notes: plots, and the panels and sections that all of it stands in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradparity.report.facts.view import Kind, Note, Table


@dataclass(frozen=True)
class Plot:
    """A figure for Plotly (``data`` and ``layout``), and a table with what it shows.

    ``about`` says how to read it. ``key`` is unique on the page.
    """

    key: str
    title: str
    about: str
    figure: dict[str, Any]
    table: Table
    height: int = 380


@dataclass(frozen=True)
class Line:
    """A line of source with its number, and how it is marked."""

    number: int
    text: str
    kind: Kind = ""
    mark: str = ""


@dataclass(frozen=True)
class Listing:
    """Lines of one file under its name."""

    title: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class SideBySide:
    """Two listings; ``joins`` are rows of the first and second that belong together."""

    key: str
    title: str
    one: Listing
    two: Listing
    joins: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Panel:
    """Notes, sources, tables and plots under a heading. The ``folded`` tables are there for who opens them."""

    key: str
    title: str
    about: str = ""
    notes: Sequence[Note] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    folded: Sequence[Table] = ()
    sources: Sequence[SideBySide] = ()

    def __bool__(self) -> bool:
        return bool(self.notes or self.tables or self.plots or self.folded or self.sources)


@dataclass(frozen=True)
class Section:
    """A problem, or what compares all of them: a heading, lines about it, and panels.

    ``status`` is it in a word, and ``gist`` in a few more: they stand beside the heading, folded or not. ``tag`` is that
    of its row, where a page filters it.
    """

    key: str
    title: str
    panels: Sequence[Panel]
    lines: Sequence[str] = ()
    status: tuple[str, Kind, str] = ("", "", "")
    opened: bool = True
    gist: str = ""
    tag: tuple[int, str] | None = None
