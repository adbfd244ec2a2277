"""Total time over the number of steps, with the numbers from which another backend is the cheapest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from gradparity.benchmark.break_even import Cost, total_s
from gradparity.formatting import duration, shortened
from gradparity.judge.speed.choice import cost_of
from gradparity.report.facts import words
from gradparity.report.facts.clock import LOOP, STEP, ClockedCall, imported
from gradparity.report.facts.view import Cell, Note, Table, number_heads
from gradparity.report.page.figures import (
    Figure,
    Looks,
    band,
    label,
    labelled,
    layout,
    log_axis,
    points,
    scatter,
    time_axis,
    upright,
)
from gradparity.report.page.view import Panel, Plot
from gradparity.results import ProblemResult, Span

#: Curves and tables end at so many times the steps that were timed or asked for: beyond it a line says nothing new.
_BEYOND = 10


def totals(problem: ProblemResult, looks: Looks) -> Panel:
    """A plot for loops and one for steps from Python; what to choose, and why."""
    chosen = problem.recommendation
    notes = []
    if chosen is not None and not chosen.choice:
        notes = [Note("None to choose", "; ".join(chosen.reasons), kind="warn", mark="·")]
    elif chosen is not None:
        name = f"Choose {' or '.join(chosen.choice)} for {words.counted(chosen.steps, 'step')}"
        notes = [Note(name, kind="good", mark="→")]
    plots = []
    for call, how, spans in (
        (LOOP, "in the backend's own loop", chosen.spans if chosen else ()),
        (STEP, "called from Python", chosen.step_spans if chosen else ()),
    ):
        costs = _costs(problem, call)
        if costs:
            most = _BEYOND * max(_timed(problem, call), chosen.steps if chosen else 1)
            plots.append(_plot(costs, spans, how, f"total-{call.key}", looks, most))
    return Panel("choice", "Which to choose", notes=notes, plots=plots)


def _costs(problem: ProblemResult, call: ClockedCall) -> dict[str, Cost]:
    return {
        timing.backend: cost_of(timing, timed)
        for timing in problem.timings
        if imported(timing) and (timed := call.timed(timing)) and timed.step_ns
    }


def _timed(problem: ProblemResult, call: ClockedCall) -> int:
    """The most steps of this kind that any backend took under the clock."""
    blocks = [
        [*timed.blocks, *(block for each in timed.rounds for block in each.challenger)]
        for timing in problem.timings
        if (timed := call.timed(timing)) is not None
    ]
    return max((sum(block.inner for block in own) for own in blocks), default=1)


def _plot(costs: Mapping[str, Cost], spans: Sequence[Span], how: str, key: str, looks: Looks, most: int) -> Plot:
    changes = [span for span in spans[1:] if span.first <= most]
    counts = _counts(most)
    data = [_line(name, cost, counts, looks) for name, cost in costs.items()]
    values = [value for trace in data for value in trace["y"]]
    rings = [
        _ring(before, span, costs[span.backend])
        for before, span in pairwise(spans)
        if 0 < span.first <= most and span.backend in costs
    ]
    figure = {
        "data": [*data, *rings],
        "layout": layout(
            x=log_axis("steps", [1, most]),
            y=time_axis("total time", values),
            shapes=[
                shape
                for span in changes
                for shape in (band(span.low or 1, min(span.high or most, most)), upright(span.first))
            ],
            annotations=[
                labelled(f"{label(shortened(span.backend, 16))} from {span.first:,} steps", span.first, row, log=True)
                | {"xanchor": "left" if span.first**2 < most else "right"}
                for row, span in enumerate(changes)
            ],
            margin={"l": 8, "r": 16, "t": 12 + 20 * len(changes), "b": 8},
        ),
    }
    about = f"Import, build, first call and every further step, {how}."
    if changes:
        about += " The rings mark where another backend becomes the cheapest; the band around is its interval."
    return Plot(key, f"Total time over steps, {how}", about, figure, _table(costs, spans, how, counts[-1]), 380)


def _counts(most: int) -> list[int]:
    """About eight a decade."""
    points = max(1, round(8 * math.log10(most)))
    return sorted({round(10 ** (index * math.log10(most) / points)) for index in range(points + 1)})


def _line(name: str, cost: Cost, counts: Sequence[int], looks: Looks) -> Figure:
    y_ns = [1e9 * total_s(cost, count) for count in counts]
    sizes = [looks.size(name) if _decade(count) else 0 for count in counts]
    return scatter(
        "lines+markers",
        counts,
        [float(f"{value:.6g}") for value in y_ns],
        name=label(name),
        line=looks.curve(name),
        marker=looks.marker(name) | {"size": sizes, "opacity": 1},
        # The words that all points share are there once: a run of thirty problems has 20,000 of them.
        customdata=[duration(value) for value in y_ns],
        hovertemplate=f"<b>{label(name)}</b><br>up to step %{{x:,}}: %{{customdata}}<extra></extra>",
    )


def _decade(count: int) -> bool:
    return bool(10 ** round(math.log10(count)) == count)


def _ring(before: Span, span: Span, cost: Cost) -> Figure:
    y = 1e9 * total_s(cost, span.first)
    marker = {"symbol": "circle-open", "size": 15, "color": "theme:ink", "line": {"width": 2}}
    hover = (
        f"<b>{label(span.backend)}</b> is cheaper than {label(before.backend)}<br>from {span.first:,} steps on, "
        f"{_interval(span)}"
    )
    return points([span.first], [float(f"{y:.6g}")], [hover], marker, showlegend=False)


def _interval(span: Span) -> str:
    low = "0" if span.low is None else f"{span.low:,}"
    return f"[{low}, {'never' if span.high is None else f'{span.high:,}'}]"


def _table(costs: Mapping[str, Cost], spans: Sequence[Span], how: str, most: int) -> Table:
    decades = {10**power for power in range(20) if 10**power <= most}
    counts = sorted({*decades, most, *(span.first for span in spans if 0 < span.first <= most)})
    names = [words.counted(count, "step") for count in counts]
    rows = [[Cell(name), *(words.seconds(total_s(cost, count)) for count in counts)] for name, cost in costs.items()]
    notes = [
        f"{after.backend} is the cheapest from {after.first:,} steps on {_interval(after)}; before, {before.backend}."
        for before, after in pairwise(spans)
    ]
    if len(spans) == 1:
        notes = [f"{spans[0].backend} is the cheapest for up to {counts[-1]:,} steps."]
    return Table(f"Total time, {how}", number_heads("backend", *names), rows, notes)
