"""Total time over the number of steps, with the numbers from which another backend is the cheapest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from gradparity.benchmark.break_even import Cost, total_s
from gradparity.formatting import duration
from gradparity.report.page import words
from gradparity.report.page.figures import Figure, Looks, band, label, labelled, layout, log_axis, time_axis, upright
from gradparity.report.page.view import Block, Cell, Head, Note, Plot, Table
from gradparity.results import ProblemResult, Recommendation, Span, Timed, Timing

#: Steps of a table, and of the plot if no break-even point is further.
_COUNTED = (1, 10, 100, 1_000, 10_000, 100_000)


def totals(problem: ProblemResult, key: str, looks: Looks) -> Block:
    """A plot for loops and one for steps from Python; what to choose, and why."""
    title = "Which to choose"
    chosen = problem.recommendation
    notes = []
    if chosen is not None:
        name = f"Choose {' or '.join(chosen.choice)} for {chosen.steps:,} step{'s' * (chosen.steps != 1)}"
        notes = [Note(name, "", kind="good", mark="→")]
    plots = []
    kinds: list[tuple[str, str, Callable[[Timing], Timed | None], Sequence[Span]]] = [
        ("loop", "in the backend's own loop", lambda t: t.loop, chosen.spans if chosen else ()),
        ("call", "called from Python", lambda t: t.step, chosen.step_spans if chosen else ()),
    ]
    for name, how, timed_of, spans in kinds:
        costs = _costs(problem, timed_of)
        if costs:
            plots.append(_plot(costs, spans, how, f"{key}-total-{name}", looks, chosen))
    return Block("choice", title, notes=notes, plots=plots)


def _costs(problem: ProblemResult, timed_of: Callable[[Timing], Timed | None]) -> dict[str, Cost]:
    return {
        timing.backend: Cost(
            import_s=timing.import_s,
            build_s=timing.build_s,
            first_call_s=timing.first_call_s,
            step_s=timed.step_ns.median / 1e9,
        )
        for timing in problem.timings
        if any(start.pair is not None for start in timing.starts) and (timed := timed_of(timing)) and timed.step_ns
    }


def _plot(
    costs: Mapping[str, Cost], spans: Sequence[Span], how: str, key: str, looks: Looks, chosen: Recommendation | None
) -> Plot:
    changes = spans[1:]
    most = max([_COUNTED[-1], *(10 * (span.high or span.first) for span in changes)])
    counts = _counts(most)
    data = [_line(name, cost, counts, looks) for name, cost in costs.items()]
    values = [1e9 * value for trace in data for value in trace["y_s"]]
    for trace in data:
        trace["y"] = [float(f"{1e9 * value:.6g}") for value in trace.pop("y_s")]
    marks = [_mark(before, span, costs) for before, span in zip(spans, changes, strict=False)]
    figure = {
        "data": [*data, *(mark for mark in marks if mark)],
        "layout": layout(
            x=log_axis("steps", [1, most]),
            y=time_axis("total time", values),
            shapes=[
                shape for span in changes for shape in (band(span.low or 1, span.high or most), upright(span.first))
            ],
            annotations=[
                labelled(f"{label(span.backend)} from {span.first:,} steps", span.first, row, log=True)
                for row, span in enumerate(changes)
            ],
            margin={"l": 8, "r": 16, "t": 12 + 20 * len(changes), "b": 8},
        ),
    }
    about = (
        f"Import, build, first call and every further step, {how}. "
        + (
            "The rings mark where another backend becomes the cheapest; the band around is its interval."
            if changes
            else ""
        )
    ).strip()
    return Plot(key, f"Total time over steps, {how}", about, figure, _table(costs, spans, how, chosen), 420)


def _counts(most: int) -> list[int]:
    """About eight a decade."""
    points = round(8 * math.log10(most))
    return sorted({round(10 ** (index * math.log10(most) / points)) for index in range(points + 1)})


def _line(name: str, cost: Cost, counts: Sequence[int], looks: Looks) -> Figure:
    y_s = [total_s(cost, count) for count in counts]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label(name),
        "x": counts,
        "y_s": y_s,
        "line": {"color": looks.colour(name), "width": 2.2, "dash": looks.dash(name)},
        "marker": {
            "symbol": looks.symbol(name),
            "size": [looks.size(name) if _decade(n) else 0 for n in counts],
            "opacity": 1,
            "color": looks.colour(name),
        },
        # The words that all points share are there once: a run of thirty problems has 20,000 of them.
        "customdata": [duration(1e9 * value) for value in y_s],
        "hovertemplate": f"<b>{label(name)}</b><br>up to step %{{x:,}}: %{{customdata}}<extra></extra>",
    }


def _decade(count: int) -> bool:
    return bool(10 ** round(math.log10(count)) == count)


def _mark(before: Span, span: Span, costs: Mapping[str, Cost]) -> Figure | None:
    if span.backend not in costs:
        return None
    y = 1e9 * total_s(costs[span.backend], span.first)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [span.first],
        "y": [float(f"{y:.6g}")],
        "marker": {"symbol": "circle-open", "size": 15, "color": "theme:ink", "line": {"width": 2}},
        "hoverinfo": "text",
        "hovertext": [
            f"<b>{label(span.backend)}</b> is cheaper than {label(before.backend)}<br>from {span.first:,} steps on, "
            f"{_interval(span)}"
        ],
        "showlegend": False,
    }


def _interval(span: Span) -> str:
    low = "0" if span.low is None else f"{span.low:,}"
    return f"[{low}, {'never' if span.high is None else f'{span.high:,}'}]"


def _table(costs: Mapping[str, Cost], spans: Sequence[Span], how: str, chosen: Recommendation | None) -> Table:
    asked = [chosen.steps] if chosen else []
    counts = sorted({*_COUNTED, *asked, *(span.first for span in spans)})
    names = [f"{count:,} step{'s' * (count != 1)}" for count in counts]
    rows = []
    for name, cost in costs.items():
        cells = [words.seconds(total_s(cost, count)) for count in counts]
        rows.append([Cell(name), *cells])
    notes = [
        f"{after.backend} is the cheapest from {after.first:,} steps on {_interval(after)}; before, {before.backend}."
        for before, after in pairwise(spans)
    ]
    if len(spans) == 1:
        notes = [f"{spans[0].backend} is the cheapest for any number of steps."]
    return Table(f"Total time, {how}", [Head("backend"), *(Head(n, figures=True) for n in names)], rows, notes)
