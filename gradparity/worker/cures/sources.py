"""A file of the user's as text and tree, and edits of it. Offsets count bytes of UTF-8, as the tree's columns do."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from gradparity.worker.cure_messages import Kind

#: What a number is behind changes of other kinds.
SOLVED = 3


class Edit(NamedTuple):
    """Bytes from ``start`` up to ``end`` become another text."""

    start: int
    end: int
    text: str


class Source:
    """One file as it was when it was read."""

    def __init__(self, file: Path, text: str) -> None:
        self.file, self.text = file, text
        self._bytes = text.encode()
        self.tree = ast.parse(text)
        self.parents: dict[ast.AST, ast.AST] = {
            child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self._bytes.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        return starts

    def span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        """Where a node's text lies."""
        assert node.end_lineno is not None and node.end_col_offset is not None  # noqa: PT018, S101  # it was parsed
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def of(self, node: ast.expr | ast.stmt | ast.keyword) -> str:
        """A node's text."""
        return self.between(*self.span(node))

    def between(self, start: int, end: int) -> str:
        """The text between two offsets."""
        return self._bytes[start:end].decode()

    def place(self, offset: int) -> tuple[int, int]:
        """Line, from 1, and column, from 0, of an offset."""
        line = next(i for i in range(len(self._starts) - 1, -1, -1) if self._starts[i] <= offset)
        return line + 1, offset - self._starts[line]

    def around(self, start: int, end: int) -> tuple[int, int]:
        """Where the smallest expression or statement lies that has some bytes in it, or those of whole lines."""
        spans = [self.span(node) for node in ast.walk(self.tree) if isinstance(node, ast.expr | ast.stmt)]
        within = [span for span in spans if span[0] <= start and end <= span[1]]
        smallest = min(within, key=lambda span: span[1] - span[0], default=(start, end))
        if self.place(smallest[0])[0] < self.place(start)[0]:  # a block: its lines are enough
            first, last = self.place(start)[0], self.place(end)[0]
            return self._starts[first - 1], self._starts[last] - 1
        return smallest

    def ambiguous(self, start: int, end: int) -> tuple[int, int] | None:
        """Where a text is on its line more than once, the next expression or statement around it that begins there."""
        spans = [self.span(node) for node in ast.walk(self.tree) if isinstance(node, ast.expr | ast.stmt)]
        line, text = self.place(start)[0], self._bytes[start:end]
        twins = {span for span in spans if self._bytes[slice(*span)] == text and self.place(span[0])[0] == line}
        if not twins - {(start, end)}:
            return None
        around = [span for span in spans if span[0] <= start and end <= span[1] and span != (start, end)]
        wider = min(around, key=lambda span: span[1] - span[0], default=None)
        return wider if wider is not None and self.place(wider[0])[0] == line else None

    def edited(self, edits: Iterable[Edit], start: int = 0, end: int | None = None) -> str:
        """The text between two offsets with some edits made, none of which overlap."""
        end = len(self._bytes) if end is None else end
        parts, at = [], start
        for edit in sorted(edits):
            parts += [self._bytes[at : edit.start], edit.text.encode()]
            at = edit.end
        return b"".join([*parts, self._bytes[at:end]]).decode()

    def enclosing(self, node: ast.AST, kinds: type[ast.AST] | tuple[type[ast.AST], ...]) -> ast.AST | None:
        """The innermost node of some kinds around another."""
        above = self.parents.get(node)
        while above is not None and not isinstance(above, kinds):
            above = self.parents.get(above)
        return above


@dataclass(frozen=True)
class Hypothesis:
    """What might be the matter: edits of one file, and how the change is told.

    ``shown`` is the piece of the text that is told before and after. ``level`` counts how far from the lines under
    suspicion it is, ``place`` which of those it is near. ``digits``: of a number that it puts in; ``cost`` of others.
    """

    source: Source
    edits: tuple[Edit, ...]
    kind: Kind
    phrase: str
    shown: tuple[int, int]
    level: int = 0
    place: int = 0
    digits: int = 1

    @property
    def text(self) -> str:
        """The whole file with the edits made."""
        return self.source.edited(self.edits)

    @property
    def old(self) -> str:
        """The piece as it is."""
        return self.source.between(*self.shown)

    @property
    def new(self) -> str:
        """The piece as it would have to be."""
        return self.source.edited(self.edits, *self.shown)

    def told_apart(self) -> Hypothesis:
        """The same, told by the smallest expression around it whose text is not twice on its line."""
        shown = self.shown
        while (wider := self.source.ambiguous(*shown)) is not None:
            shown = wider
        return replace(self, shown=shown)

    @property
    def size(self) -> int:
        """How many characters change."""
        return sum(changed(self.source.between(edit.start, edit.end), edit.text) for edit in self.edits)

    @property
    def order(self) -> tuple[int, int, int, int]:
        """The simplest comes first: at the lines, no number that was solved for, a round one, few characters.

        Where a term is off by a factor, many a number can be had to make up for it, and seldom anything else.
        """
        return self.level, self.place, self.digits + (SOLVED if self.kind == "number" else 0), self.size


def changed(old: str, new: str) -> int:
    """Characters that differ once a common beginning and end are left out."""
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return len(old) + len(new)
