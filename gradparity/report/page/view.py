"""What a page is made of, before it is HTML: cells, tables, plots, and the blocks of a problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

#: How a cell looks; every kind has a class of its own in ``page.css``, and none rests on colour alone.
Kind: TypeAlias = Literal["", "good", "bad", "warn", "muted", "exact", "low", "mid", "high"]


@dataclass(frozen=True)
class Cell:
    """One cell: what it says, the number it sorts by, a second smaller line, and a word for who points at it."""

    text: str
    value: float | None = None
    note: str = ""
    title: str = ""
    kind: Kind = ""
    mark: str = ""  #: a symbol before the text, for who does not see its colour
    link: str = ""  #: the id on the page that the text leads to

    @property
    def sort_key(self) -> str:
        """The number for ``data-value``; empty where the text itself sorts."""
        return "" if self.value is None else f"{self.value:.9g}"


@dataclass(frozen=True)
class Head:
    """One column: its name, whether it holds figures, and what it means."""

    text: str
    figures: bool = False
    title: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under heads; the first cell of a row names it. ``notes`` stand below."""

    caption: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    fixed: bool = False  #: a list of pairs: nothing to sort, and no heads to see


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
class Note:
    """A sentence that stands out: what it is about, what was found, what to do about it."""

    name: str
    text: str
    cure: str = ""
    kind: Kind = ""
    mark: str = ""


@dataclass(frozen=True)
class Block:
    """One section of a problem: notes, tables and plots under a heading."""

    key: str
    title: str
    about: str = ""
    notes: Sequence[Note] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    folded: Sequence[Table] = ()  #: tables that are there for who opens them

    def __bool__(self) -> bool:
        return bool(self.notes or self.tables or self.plots or self.folded)


@dataclass(frozen=True)
class Section:
    """A problem, or what compares all of them: a heading, lines about it, and blocks."""

    key: str
    title: str
    lines: Sequence[str] = ()
    status: str = ""
    kind: Kind = ""
    mark: str = ""
    opened: bool = True
    blocks: Sequence[Block] = field(default_factory=tuple)


def heads(*names: str, figures: Iterable[str] = ()) -> list[Head]:
    """Columns by name; those in ``figures`` hold numbers."""
    numbers = set(figures)
    return [Head(name, name in numbers) for name in names]


def missing() -> Cell:
    """A figure that is not there."""
    return Cell("-", kind="muted")
