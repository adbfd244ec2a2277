"""Verdicts: the table of all blocks, errors against the floor, what does not agree and why."""

from __future__ import annotations

from collections.abc import Sequence

from gradparity.formatting import large
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.report.page import words
from gradparity.report.page.figures import Figure, Looks, decades, label, layout, line, log_axis, rounded
from gradparity.report.page.view import Block, Cell, Head, Kind, Plot, Table, heads, missing
from gradparity.results import Finding, ProblemResult, worst

#: Blocks up to which each is a column; more are a row each.
MOST_COLUMNS = 8


def verdicts(problem: ProblemResult) -> Block:
    """A cell for each block of each backend."""
    if not problem.findings:
        return Block("verdicts", "Verdicts")
    about = (
        "Each cell is the error of the entry that is furthest beyond its noise floor, in ulps of the true value, and below "
        f"it the same in noise floors. Up to {AGREES_FLOORS:g} floors agrees."
    )
    return Block("verdicts", "Verdicts", about, tables=[_matrix(problem)])


def disagreements(problem: ProblemResult) -> Block:
    """A row for every block that does not agree."""
    bad = [found for found in problem.findings if not words.good(found.verdict)]
    if not bad:
        return Block("disagreements", "What does not agree")
    figures = ("error, ulp", "floor, ulp", "floors", "relative error", "got", "truth")
    table = Table(
        "Blocks that do not agree",
        heads("backend", "block", "verdict", "why", *figures, figures=figures),
        [
            [
                Cell(found.backend),
                Cell(words.entry(found)),
                words.verdict_cell(found.verdict),
                Cell(found.cause or found.rule),
                words.figure(found.error_ulps),
                words.figure(found.floor_ulps),
                words.sized(found.floors),
                words.figure(found.relative_error),
                words.figure(found.got),
                words.figure(found.truth),
            ]
            for found in bad
        ],
    )
    about = f"This problem is there to show it: {problem.expected}" if problem.expected else ""
    return Block("disagreements", "What does not agree", about, tables=[table])


def errors(problem: ProblemResult, key: str, looks: Looks) -> Block:
    """Every error over its floor, both in ulps."""
    if not problem.findings:
        return Block("errors", "Errors against the floor")
    table = _every(problem.findings)
    figure = _scatter(problem.findings, looks)
    if figure is None:
        return Block("errors", "Every finding", folded=[table])
    about = (
        "A point is one block of one backend: its error over its noise floor, both in ulps. On the solid line the error is "
        f"the floor; above the dashed one, {AGREES_FLOORS:g} floors, it does not agree. Hollow points on the lower edge "
        "are exact."
    )
    plot = Plot(f"{key}-errors", "Errors against the floor", about, figure, table, height=440)
    return Block("errors", "Errors against the floor", plots=[plot])


def _matrix(problem: ProblemResult) -> Table:
    findings = problem.findings
    blocks = list(dict.fromkeys(words.block(found) for found in findings))
    names = list(dict.fromkeys(found.backend for found in findings))
    cells = {(found.backend, words.block(found)): _cell(found) for found in findings}
    caption = "Errors in ulps, by backend and block"
    if len(blocks) > MOST_COLUMNS:
        rows = [[Cell(block), *(cells.get((name, block), missing()) for name in names)] for block in blocks]
        return Table(caption, [Head("block"), *(Head(name, figures=True) for name in names)], rows)
    rows = []
    for name in names:
        bad = words.bad_verdicts(problem, name)
        verdict = words.verdict_cell(bad[0] if bad else "agrees")
        shown = worst([found for found in findings if found.backend == name])
        note = words.block(shown) if bad else ""
        verdict = Cell(", ".join(bad) or "agrees", note=note, kind=verdict.kind, mark=verdict.mark)
        rows.append([Cell(name), verdict, *(cells.get((name, block), missing()) for block in blocks)])
    return Table(caption, [Head("backend"), Head("verdict"), *(Head(block, figures=True) for block in blocks)], rows)


def _cell(found: Finding) -> Cell:
    floors = "" if found.floors is None else f"{large(found.floors)} floors"
    if not words.good(found.verdict):
        text = found.verdict if found.error_ulps is None else f"{large(found.error_ulps)} ulp"
        note = found.verdict if found.error_ulps is not None else found.cause
        mark, kind = words.mark(found.verdict), words.kind(found.verdict)
        title = "; ".join(filter(None, [floors, found.cause or found.rule]))
        return Cell(text, found.error_ulps, note, title, kind, mark)
    if found.error_ulps is None:
        return Cell(found.verdict, None, found.rule, kind="good", mark=words.mark(found.verdict))
    return Cell(f"{large(found.error_ulps)} ulp", found.error_ulps, floors, found.rule, _heat(found.floors))


def _heat(floors: float | None) -> Kind:
    """Shades up to the limit: exact, within a floor, within half the limit, up to it."""
    if not floors:
        return "exact"
    return "low" if floors <= 1 else "mid" if floors <= AGREES_FLOORS / 2 else "high"


def _every(findings: Sequence[Finding]) -> Table:
    figures = ("error, ulp", "floor, ulp", "floors", "relative error", "absolute error", "got", "truth")
    return Table(
        f"Every finding ({len(findings)})",
        heads("backend", "block", "verdict", *figures, "rule", figures=figures),
        [
            [
                Cell(found.backend),
                Cell(words.entry(found)),
                words.verdict_cell(found.verdict),
                words.figure(found.error_ulps),
                words.figure(found.floor_ulps),
                words.sized(found.floors),
                words.figure(found.relative_error),
                words.figure(found.absolute_error),
                words.figure(found.got),
                words.figure(found.truth),
                Cell(found.rule, note=found.cause),
            ]
            for found in findings
        ],
    )


def _scatter(findings: Sequence[Finding], looks: Looks) -> Figure | None:
    shown = [f for f in findings if f.error_ulps is not None and f.floor_ulps is not None and f.floor_ulps > 0]
    if not shown:
        return None
    floors = [f.floor_ulps or 0.0 for f in shown]
    positive = [f.error_ulps for f in shown if f.error_ulps]
    low, high = decades(floors)
    ends = [10**low, 10**high]
    bottom = min([*positive, ends[0]]) / 3
    data = [
        _points(name, [f for f in shown if f.backend == name], looks, bottom)
        for name in dict.fromkeys(f.backend for f in shown)
    ]
    limits = [
        line(ends, ends, "1 floor", "solid"),
        line(ends, [AGREES_FLOORS * end for end in ends], f"{AGREES_FLOORS:g} floors"),
    ]
    reach = [*positive, *([bottom] if len(positive) < len(shown) else []), ends[0], AGREES_FLOORS * ends[1]]
    return {
        "data": [*limits, *data],
        "layout": layout(x=log_axis("noise floor, ulp", floors), y=log_axis("error, ulp", reach)),
    }


def _points(name: str, found: Sequence[Finding], looks: Looks, bottom: float) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(name),
        "x": rounded(f.floor_ulps for f in found),
        "y": rounded(f.error_ulps or bottom for f in found),
        "hoverinfo": "text",
        "hovertext": [_hover(f) for f in found],
        "marker": {
            "color": looks.colour(name),
            "size": looks.size(name),
            "opacity": 0.9,
            "symbol": [looks.symbol(name, hollow=not f.error_ulps) for f in found],
            "line": {"width": 1, "color": "theme:surface"},
        },
    }


def _hover(found: Finding) -> str:
    floors = "" if found.floors is None else f"<br>{large(found.floors)} floors"
    return (
        f"<b>{label(found.backend)}</b> {words.mark(found.verdict)} {label(found.verdict)}<br>{label(words.entry(found))}"
        f"<br>error {large(found.error_ulps or 0)} ulp<br>floor {large(found.floor_ulps or 0)} ulp{floors}"
    )
