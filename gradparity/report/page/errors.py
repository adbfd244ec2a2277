"""Every error against its noise floor, as a plot and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from gradparity.formatting import large
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.report.facts import words
from gradparity.report.facts.verdicts import every
from gradparity.report.page.figures import Figure, Looks, decades, label, layout, line, log_axis, points, rounded
from gradparity.report.page.view import Panel, Plot
from gradparity.results import Finding, ProblemResult


def errors(problem: ProblemResult, looks: Looks) -> Panel | None:
    """Every error over its floor, both in ulps."""
    if not problem.findings:
        return None
    table, figure = every(problem), _scatter(problem.findings, looks)
    if figure is None:
        return Panel("errors", "Every finding", folded=[table])
    about = (
        "A point is one block of one backend, in ulps. On the solid line its error is its noise floor; above the dashed one, "
        f"{AGREES_FLOORS:g} floors, it does not agree. Hollow: exact."
    )
    title = "Errors against the floor"
    return Panel("errors", title, plots=[Plot("errors", title, about, figure, table, height=310)])


def _scatter(findings: Sequence[Finding], looks: Looks) -> Figure | None:
    shown = [f for f in findings if words.ulps(f) is not None and f.floor_ulps is not None and f.floor_ulps > 0]
    if not shown:
        return None
    floors = [f.floor_ulps or 0.0 for f in shown]
    positive = [f.error_ulps for f in shown if f.error_ulps]
    low, high = decades(floors)
    ends = [10.0 ** max(low, -307), 10.0 ** min(high, 307)]  # beside a truth of 0 a floor is any number of ulps
    bottom = min([*positive, ends[0]]) / 3
    names = dict.fromkeys(f.backend for f in shown)
    limits = [
        line(ends, ends, "1 floor", "solid"),
        line(ends, [AGREES_FLOORS * end for end in ends], f"{AGREES_FLOORS:g} floors"),
    ]
    reach = [*positive, *([bottom] if len(positive) < len(shown) else []), ends[0], AGREES_FLOORS * ends[1]]
    return {
        "data": [*limits, *(_points(name, [f for f in shown if f.backend == name], looks, bottom) for name in names)],
        "layout": layout(x=log_axis("noise floor, ulp", floors), y=log_axis("error, ulp", reach)),
    }


def _points(name: str, found: Sequence[Finding], looks: Looks, bottom: float) -> Figure:
    x, y = rounded(f.floor_ulps for f in found), rounded(f.error_ulps or bottom for f in found)
    marker = looks.marker(name) | {
        "opacity": 0.9,
        "symbol": [looks.symbol(name, hollow=not f.error_ulps) for f in found],
        "line": {"width": 1, "color": "theme:surface"},
    }
    return points(x, y, [_hover(f) for f in found], marker, name=label(name))


def _hover(found: Finding) -> str:
    floors = "" if found.floors is None else f"<br>{large(found.floors)} floors"
    return (
        f"<b>{label(found.backend)}</b> {words.mark(found.verdict)} {label(found.verdict)}<br>{label(words.entry(found))}"
        f"<br>error {large(found.error_ulps or 0)} ulp<br>floor {large(found.floor_ulps or 0)} ulp{floors}"
    )
