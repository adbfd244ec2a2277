"""What a report is made of before it has a form: cells, tables and notes. Every form renders these and adds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

#: How something looks: a colour in a terminal, a class in ``page.css``. Nothing rests on it alone.
Kind: TypeAlias = Literal["", "good", "bad", "warn", "muted", "exact", "low", "mid", "high"]
_Record = TypeVar("_Record")


@dataclass(frozen=True)
class Cell:
    """One cell: what it says, the number it sorts by, a second smaller text, and a word for who points at it."""

    text: str
    value: float | None = None
    note: str = ""
    title: str = ""
    kind: Kind = ""
    mark: str = ""  #: a symbol before the text, for who does not see its colour
    link: str = ""  #: the id on the page that the text leads to

    def __str__(self) -> str:
        """Text and note on one line: ``2.00x [1.97, 2.03]``, ``jax, 2.00 us``."""
        return self.text + (" " if self.note[:1] == "[" else ", ") * bool(self.note) + self.note

    @property
    def sort_key(self) -> str:
        """The number for ``data-value``; empty where the text itself sorts."""
        return "" if self.value is None else f"{self.value:.9g}"


@dataclass(frozen=True)
class Head:
    """One column. Where there is little room, one that is ``extra`` is left out, and the notes of one that is ``bare``.

    ``figures``: its cells are numbers.
    """

    text: str
    _: KW_ONLY
    figures: bool = False
    title: str = ""
    extra: bool = False
    bare: bool = False


@dataclass(frozen=True)
class Column(Head, Generic[_Record]):
    """A column with the cell that it has for each record; one that is not ``shown`` is left out of its table."""

    cell: Callable[[_Record], Cell]
    _: KW_ONLY
    shown: bool = True


@dataclass(frozen=True)
class Figures(Column[_Record]):
    """A column of numbers."""

    _: KW_ONLY
    figures: bool = True


@dataclass(frozen=True)
class Table:
    """Rows under heads; the first cell of a row names it. ``notes`` stand below.

    ``tags`` are a number and words by which each row is found, where a page filters them.
    """

    caption: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    fixed: bool = False  #: a list of pairs: nothing to sort, and no heads to see
    tags: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True)
class Note:
    """Something to know, read as one text: a ``name`` that stands out, ``text``, and ``more``: reasons, or what to do.

    ``short`` is the text for who has little room, where that is another.
    """

    name: str
    text: str = ""
    more: Sequence[str] = ()
    kind: Kind = ""
    mark: str = ""
    short: str = ""


def tabulated(
    caption: str, records: Iterable[_Record], columns: Sequence[Column[_Record]], notes: Sequence[str] = ()
) -> Table:
    """A row for each record.

    Args:
        caption: what the table is of.
        records: what its rows show, in order.
        columns: the cells of each row.
        notes: what stands below.

    Returns:
        The table.
    """
    shown = [column for column in columns if column.shown]
    return Table(caption, shown, [[column.cell(record) for column in shown] for record in records], notes)


def number_heads(first: str, *figures: str) -> list[Head]:
    """A column that names each row, and columns of numbers."""
    return [Head(first), *(Head(name, figures=True) for name in figures)]


def missing() -> Cell:
    """A figure that is not there."""
    return Cell("-", kind="muted")


def pairs(caption: str, rows: Iterable[tuple[str, str]]) -> Table:
    """A list of names with what each is."""
    return Table(
        caption, [Head("what"), Head("value")], [[Cell(name), Cell(value)] for name, value in rows], fixed=True
    )
