"""A run as a comment on a pull request: GitHub-flavoured Markdown, the first screen first, the rest folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from gradparity.formatting import duration, large, printable, ratio, shortened
from gradparity.report.facts.faults import alike
from gradparity.report.facts.overview import Choice, Failure, Note, Off, Overview, Standing, listed, overview
from gradparity.results import GOOD, Finding, ProblemResult, RunResult

#: By which a bot finds its own comment again.
MARKER = "<!-- gradparity -->"
#: Characters that GitHub takes as one comment.
MOST_CHARACTERS = 65_536
#: Rows of a table, and characters of somebody else's words, that are shown.
_MOST_ROWS, _MOST_WORDS = 40, 300
#: Problems of which it is told from how many steps on another backend is better.
_MOST_TOLD = 4
_SIGNS = {"agrees": "✅", "disagrees": "❌", "failed": "❌", "incomplete": "⏸️"}
#: What Markdown or HTML would take for its own, and what would notify a person or link an issue.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~@&$:-])")


def markdown(result: RunResult) -> str:
    """The comment; of a run with very many problems the folded tables are left out."""
    found = overview(result)
    parts = [*_first(found), *_details(result, found)]
    text = "\n\n".join(parts) + "\n"
    if len(text) <= MOST_CHARACTERS:
        return text
    more = "\n\n_The tables of each problem are in report.html: they are too long for a comment._\n"
    text = "\n\n".join(_first(found))
    room = MOST_CHARACTERS - len(more) - 1
    return (text if len(text) <= room else text[:room].rpartition("\n")[0]) + more


def escaped(words: str) -> str:
    """Somebody else's words as text that means nothing to Markdown, on one line."""
    return _harmless(_SPECIAL.sub(r"\\\1", _clean(words)))


def _clean(words: str) -> str:
    return shortened(printable(" ".join(words.split())), _MOST_WORDS)


def _harmless(text: str) -> str:
    """Nobody is notified and no issue is linked: GitHub looks for both after it has read the Markdown."""
    return text.replace("@", "@\u200b").replace("#", "#\u200b")


def _first(found: Overview) -> Iterable[str]:
    yield MARKER
    yield f"### {_SIGNS.get(found.state, '⚠️')} gradparity: {escaped(found.headline)}"
    faults = [*map(_off, alike(found.off)), *map(_failure, found.failures)]
    if faults:
        left = len(faults) - _MOST_ROWS
        yield "\n".join([*faults[:_MOST_ROWS], *([f"- and {left} more"] if left > 0 else [])])
    if found.standings:
        yield _standings(found.standings)
    if found.choices:
        yield _choices(found.choices)
    notes = [_note(note) for note in found.notes]
    if notes:
        left = len(notes) - _MOST_ROWS
        yield "\n".join([*notes[:_MOST_ROWS], *([f"- and {left} more"] if left > 0 else [])])


def _off(group: Sequence[Off]) -> str:
    fault, names = group[0], " and ".join(f"**{escaped(each.backend)}**" for each in group)
    how = ("differ", "are off") if len(group) > 1 else ("differs", "is off")
    figures = [*fault.figures, *([f"{escaped(fault.backend)} the most"] if len(group) > 1 else [])]
    size = f" ({', '.join(figures)})" if fault.figures else ""
    what = f"{', '.join(fault.verdicts)} in {escaped(fault.block)}{size}"
    line = f"- {names} {how[not fault.undecided]} on {listed([*map(escaped, fault.problems)])}: {what}"
    for said in fault.reasons:
        line += f"\n  - {escaped(said)}"
    return line


def _failure(failure: Failure) -> str:
    where = f"in {escaped(failure.stage)} on {listed([*map(escaped, failure.problems)])}"
    return f"- **{escaped(failure.backend)}** failed {where}: {escaped(failure.reason)}"


def _standings(standings: Sequence[Standing]) -> str:
    trained = any(each.training for each in standings)
    heads = ["backend", "verdict", "worst error", "floors", "in", *(["training"] if trained else [])]
    rows = [
        [
            escaped(each.backend),
            _verdict(each.verdict),
            "-" if each.error_ulps is None else f"{large(each.error_ulps)} ulp",
            "-" if each.floors is None else large(each.floors),
            escaped(each.worst_block) or "-",
            *([_verdict(each.training)] if trained else []),
        ]
        for each in standings
    ]
    return _table(heads, rows, figures=(2, 3))


def _choices(choices: Sequence[Choice]) -> str:
    heads = ["problem", f"for {choices[0].steps:,} steps in all", "quickest step", "quickest loop"]
    rows = []
    for each in choices:
        quickest = [
            "-" if found is None else f"{escaped(' or '.join(found.names))}, {duration(found.step_ns)}"
            for found in (each.quickest_step, each.quickest_loop)
        ]
        rows.append([escaped(each.problem), escaped(" or ".join(each.chosen)) or "-", *quickest])
    said = [
        f"- {escaped(f'{each.problem}, {sentence}')}"
        for each in choices[:_MOST_TOLD]
        for sentence in each.sentences[:1]
    ]
    return "\n\n".join([_table(heads, rows), *(["\n".join(said)] if said else [])])


def _note(note: Note) -> str:
    subject = {"left out": "left out: ", "idle": "nothing to run: "}.get(note.kind, "") + note.subject
    said = ": ".join(escaped(each) for each in (subject, note.text) if each)
    return f"- {said}{f' ({escaped(note.cure)})' if note.cure else ''}"


def _details(result: RunResult, found: Overview) -> Iterable[str]:
    for problem in result.problems:
        tables = [_errors(problem), *([_times(problem)] if any(t.step for t in problem.timings) else [])]
        yield _folded(problem.label, "\n\n".join(table for table in tables if table))
    environment = [f"- {escaped(name)}: {escaped(value)}" for name, value in result.environment.items()]
    lines = [f"- {escaped(found.receipt)}", f"- schema {result.schema_version}, {_command(result)}", *environment]
    yield _folded("Receipt", "\n".join(lines))


def _command(result: RunResult) -> str:
    return (
        f"gradparity {escaped(result.command)}, {len(result.sessions) or 1} session{'s' * (len(result.sessions) > 1)}"
    )


def _errors(problem: ProblemResult) -> str:
    """A row a backend, a column a block: the error in floors, or the verdict where it is not a good one."""
    blocks = list(dict.fromkeys((f.quantity, f.parameter) for f in problem.findings))[:_MOST_ROWS]
    known = {(f.backend, f.quantity, f.parameter): f for f in problem.findings}
    names = list(dict.fromkeys(f.backend for f in problem.findings))
    heads = ["errors in floors", *(escaped(f"{quantity} {parameter}".strip()) for quantity, parameter in blocks)]
    rows = [[escaped(name), *(_floors(known.get((name, *block))) for block in blocks)] for name in names]
    return _table(heads, rows, figures=range(1, len(heads))) if rows else ""


def _floors(found: Finding | None) -> str:
    if found is None:
        return "-"
    size = "-" if found.floors is None else large(found.floors)
    return size if found.verdict in GOOD else f"**{found.verdict}** {size}"


def _times(problem: ProblemResult) -> str:
    heads = ["times", "step", "loop", f"speed, {escaped(problem.reference)} = 1", "verdict", "start"]
    rows = []
    for timing in problem.timings:
        steps = [
            "-" if timed is None or timed.step_ns is None else duration(timed.step_ns.median)
            for timed in (timing.step, timing.loop)
        ]
        found = timing.step.ratio if timing.step is not None else None
        speed = "-" if found is None or found.ratio is None else ratio(found.ratio)
        if found is not None and found.low is not None and found.high is not None:
            speed += f" [{found.low:.3g}, {found.high:.3g}]"
        verdict = (timing.step.speed or "reference") if timing.step is not None else "-"
        start = duration(1e9 * timing.start_s) if timing.starts else "-"
        rows.append([escaped(timing.backend), *steps, speed, verdict, start])
    return _table(heads, rows, figures=range(1, len(heads)))


def _verdict(verdict: str) -> str:
    return "-" if not verdict else verdict if verdict == "agrees" else f"**{verdict}**"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], figures: Iterable[int] = ()) -> str:
    right = set(figures)
    rule = ["---:" if place in right else "---" for place in range(len(heads))]
    left = len(rows) - _MOST_ROWS
    shown = [*rows[:_MOST_ROWS], *([[f"and {left} more", *[""] * (len(heads) - 1)]] if left > 0 else [])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rule, *shown))


def _folded(title: str, body: str) -> str:
    """The title stands inside of HTML, where Markdown's escapes are none."""
    return f"<details><summary>{_harmless(escape(_clean(title), quote=False))}</summary>\n\n{body}\n\n</details>"
