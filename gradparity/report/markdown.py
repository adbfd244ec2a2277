"""A run as a comment on a pull request: GitHub-flavoured Markdown, the first screen first, the rest folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from gradparity.formatting import printable, shortened
from gradparity.report.facts import words
from gradparity.report.facts.campaign import Campaign
from gradparity.report.facts.campaign_said import first_models
from gradparity.report.facts.initialisers import initialisers_table
from gradparity.report.facts.overview import Overview, overview
from gradparity.report.facts.own_training import own_training_table
from gradparity.report.facts.standings import problem_times
from gradparity.report.facts.verdicts import verdicts
from gradparity.report.facts.view import Cell, Note, Table
from gradparity.results import RunResult

#: By which a bot finds its own comment again.
MARKER = "<!-- gradparity -->"
#: Characters that GitHub takes as one comment.
MOST_CHARACTERS = 65_536
#: Models of a cause that are named, and characters that their names may have.
_MOST_MODELS, _MOST_LISTED = 200, 8000
#: Rows of a table, blocks that each have a column, and characters of somebody else's words that are shown.
_MOST_ROWS, _MOST_COLUMNS, _MOST_WORDS = 40, 12, 300
_SIGNS = {
    "agrees": "✅", "known": "✅", "disagrees": "❌", "unresolved": "⚠️", "failed": "❌", "incomplete": "⏸️",
    "nothing": "⚠️",
}  # fmt: skip
#: What would notify a person, or link an issue or an address, unless something invisible follows.
_LIVE = re.compile(r"[@#]|\bGH(?=\\?-\d)|\bwww(?=\.)", re.IGNORECASE)
#: What Markdown or HTML would take for its own.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~@&$:-])")


def markdown(result: RunResult) -> str:
    """The comment; of a run with very many problems the folded tables are left out."""
    found = overview(result)
    details = _details(result, found) if found.campaign is None else _of_many(result, found, found.campaign)
    text = "\n\n".join([*_first(found), *details]) + "\n"
    if len(text) <= MOST_CHARACTERS:
        return text
    more = "\n\n_The tables of each problem are in report.html: they are too long for a comment._\n"
    text = "\n\n".join(_first(found))
    room = MOST_CHARACTERS - len(more) - 1
    return (text if len(text) <= room else text[:room].rpartition("\n")[0]) + more


def escaped(text: str, most: int = _MOST_WORDS) -> str:
    """Somebody else's words as text that means nothing to Markdown, on one line."""
    return _harmless(_SPECIAL.sub(r"\\\1", _clean(text, most)))


def _clean(text: str, most: int = _MOST_WORDS) -> str:
    return shortened(printable(" ".join(text.split())), most)


def _harmless(text: str) -> str:
    """Nobody is notified, no issue and no address is linked: GitHub looks for all after it has read the Markdown."""
    return _LIVE.sub(lambda found: f"{found[0]}\u200b", text)


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
    return between.join([line, *(escaped(said, words.MOST_QUOTING) for said in note.more)])


def _details(result: RunResult, found: Overview) -> Iterable[str]:
    for problem in result.problems:
        errors = verdicts(problem, most=_MOST_COLUMNS)
        times = problem_times(problem) if any(timing.step for timing in problem.timings) else None
        own = own_training_table(problem.own_training) if problem.own_training is not None else None
        starts = initialisers_table(problem.initialisers, _MOST_ROWS) if problem.initialisers is not None else None
        yield _folded(problem.label, "\n\n".join(_titled(table) for table in (errors, own, starts, times) if table))
    yield _receipt(result, found)


def _of_many(result: RunResult, found: Overview, many: Campaign) -> Iterable[str]:
    """The models of each cause, as many of them as a comment may have; each model's figures are on the page."""
    receipt = _receipt(result, found)
    room = MOST_CHARACTERS - sum(len(part) + 2 for part in (*_first(found), receipt)) - _MOST_WORDS
    for place, cause in enumerate(many.causes):
        count = words.counted(len(cause.models), "model")
        part = _folded(f"{count}: {cause.title}", escaped(first_models(cause, _MOST_MODELS), _MOST_LISTED))
        room -= len(part) + 2
        if room < 0:
            yield f"_The models of {words.counted(len(many.causes) - place, 'more cause')} are in report.html._"
            break
        yield part
    yield receipt


def _receipt(result: RunResult, found: Overview) -> str:
    run = f"gradparity {result.command}, {words.counted(len(result.sessions) or 1, 'session')}"
    environment = [f"{name}: {value}" for name, value in result.environment.items()]
    lines = [found.receipt, f"schema {result.schema_version}, {run}", *environment]
    return _folded("Receipt", "\n".join(f"- {escaped(line)}" for line in lines))


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
