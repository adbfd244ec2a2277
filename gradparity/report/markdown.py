"""A run as a comment on a pull request: GitHub-flavoured Markdown, the first screen first, the rest folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from gradparity.formatting import printable, shortened
from gradparity.report.facts import words
from gradparity.report.facts.overview import Overview, overview
from gradparity.report.facts.standings import problem_times
from gradparity.report.facts.verdicts import verdicts
from gradparity.report.facts.view import Cell, Note, Table
from gradparity.results import RunResult

#: By which a bot finds its own comment again.
MARKER = "<!-- gradparity -->"
#: Characters that GitHub takes as one comment.
MOST_CHARACTERS = 65_536
#: Rows of a table, blocks that each have a column, and characters of somebody else's words that are shown.
_MOST_ROWS, _MOST_COLUMNS, _MOST_WORDS = 40, 12, 300
_SIGNS = {"agrees": "✅", "disagrees": "❌", "unresolved": "⚠️", "failed": "❌", "incomplete": "⏸️", "nothing": "⚠️"}
#: What Markdown or HTML would take for its own, and what would notify a person or link an issue.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~@&$:-])")


def markdown(result: RunResult) -> str:
    """The comment; of a run with very many problems the folded tables are left out."""
    found = overview(result)
    text = "\n\n".join([*_first(found), *_details(result, found)]) + "\n"
    if len(text) <= MOST_CHARACTERS:
        return text
    more = "\n\n_The tables of each problem are in report.html: they are too long for a comment._\n"
    text = "\n\n".join(_first(found))
    room = MOST_CHARACTERS - len(more) - 1
    return (text if len(text) <= room else text[:room].rpartition("\n")[0]) + more


def escaped(text: str) -> str:
    """Somebody else's words as text that means nothing to Markdown, on one line."""
    return _harmless(_SPECIAL.sub(r"\\\1", _clean(text)))


def _clean(text: str) -> str:
    return shortened(printable(" ".join(text.split())), _MOST_WORDS)


def _harmless(text: str) -> str:
    """Nobody is notified and no issue is linked: GitHub looks for both after it has read the Markdown."""
    return text.replace("@", "@\u200b").replace("#", "#\u200b")


def _first(found: Overview) -> Iterable[str]:
    yield MARKER
    yield f"### {_SIGNS[found.state]} gradparity: {escaped(found.headline)}"
    yield from _list([_said(note, "\n  - ") for note in found.faults])
    yield from map(_table, found.tables)
    yield from _list([_said(note, " ") for note in found.notes])


def _list(items: Sequence[str]) -> Iterable[str]:
    left = len(items) - _MOST_ROWS
    if items:
        yield "\n".join([*items[:_MOST_ROWS], *([f"- and {left} more"] if left > 0 else [])])


def _said(note: Note, between: str) -> str:
    line = " ".join(filter(None, [f"- **{escaped(note.name)}**", escaped(note.text)]))
    return between.join([line, *map(escaped, note.more)])


def _details(result: RunResult, found: Overview) -> Iterable[str]:
    for problem in result.problems:
        errors = verdicts(problem, most=_MOST_COLUMNS)
        times = problem_times(problem) if any(timing.step for timing in problem.timings) else None
        yield _folded(problem.label, "\n\n".join(_titled(table) for table in (errors, times) if table))
    run = f"gradparity {result.command}, {words.counted(len(result.sessions) or 1, 'session')}"
    environment = [f"{name}: {value}" for name, value in result.environment.items()]
    lines = [found.receipt, f"schema {result.schema_version}, {run}", *environment]
    yield _folded("Receipt", "\n".join(f"- {escaped(line)}" for line in lines))


def _titled(table: Table) -> str:
    return f"{escaped(table.caption)}\n\n{_table(table)}"


def _table(table: Table) -> str:
    rule = ["---:" if head.figures else "---" for head in table.heads]
    rows = [[_cell(cell) for cell in row] for row in table.rows[:_MOST_ROWS]]
    left = len(table.rows) - _MOST_ROWS
    if left > 0:
        rows.append([f"and {left} more", *[""] * (len(table.heads) - 1)])
    lines = ["| " + " | ".join(row) + " |" for row in ([escaped(head.text) for head in table.heads], rule, *rows)]
    return "\n".join([*lines, *(f"\n_{escaped(note)}_" for note in table.notes)])


def _cell(cell: Cell) -> str:
    text = escaped(str(cell)) or "-"
    return f"**{text}**" if cell.kind in ("bad", "warn") else text


def _folded(title: str, body: str) -> str:
    """The title stands inside of HTML, where Markdown's escapes are none."""
    return f"<details><summary>{_harmless(escape(_clean(title), quote=False))}</summary>\n\n{body}\n\n</details>"
