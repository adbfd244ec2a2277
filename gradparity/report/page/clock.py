"""The clock as plots: steps and loops against the reference, the distance to what the machine can do, starts, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gradparity.benchmark.stats import Comparison
from gradparity.formatting import duration, ratio, size, three
from gradparity.report.facts import clock as facts
from gradparity.report.facts import words
from gradparity.report.facts.clock import LOOP, STEP, ClockedCall
from gradparity.report.facts.view import Cell, Column, Figures, Table, tabulated
from gradparity.report.page.figures import (
    Figure,
    Looks,
    axis,
    band,
    label,
    layout,
    log_axis,
    names_axis,
    points,
    upright,
    whiskers,
)
from gradparity.report.page.view import Panel, Plot
from gradparity.results import ProblemResult, Timing

_ROW = 34  #: pixels a row of a plot with a row a backend
_EDGE = 110  #: pixels for its axis and legend


def steps(problem: ProblemResult, looks: Looks) -> Panel:
    """Step and loop: tables, and their ratios to the reference as forest plots."""
    tables = [(call, table) for call in (STEP, LOOP) if (table := facts.steps(problem, call)) is not None]
    plots = [plot for call, table in tables if (plot := _forest(problem, call, looks, table))]
    return Panel("steps", "Time of a step", tables=[table for _, table in tables], plots=plots)


def _forest(problem: ProblemResult, call: ClockedCall, looks: Looks, table: Table) -> Plot | None:
    found = [(timing, timed) for timing, timed in call.of(problem) if timed.ratio and timed.ratio.ratio is not None]
    ratios = [(timing.backend, timed.ratio, timed.speed or "undecided") for timing, timed in found if timed.ratio]
    if not ratios:
        return None
    control, twin = call.control(problem), problem.twin.backend if problem.twin else ""
    names = {name: "A/A control" if name == twin else name for name, _, _ in ratios}
    ends = [end for _, each, _ in ratios for end in (each.low, each.high, each.ratio) if end]
    most = 1 + control.floor if control else 1.0
    data = [
        _interval(names[name], name, each, verdict, looks, whose=problem.reference if name == twin else name)
        for name, each, verdict in ratios
    ]
    figure = {
        "data": data,
        "layout": layout(
            x=log_axis(f"times as fast as {label(problem.reference)}", [*ends, 1 / most, most]),
            y=names_axis(list(names.values())),
            shapes=[band(1 / most, most), upright(1, "solid", 1.5)],
            showlegend=False,
        ),
    }
    about = (
        f"How many times as fast as {problem.reference}, with the 95% interval; to the right is faster. In the shaded band "
        "a difference is not called: it is what two identical workers may show."
    )
    title = f"Speed: {call.caption[0].lower()}{call.caption[1:]}"
    return Plot(call.key, title, about, figure, table, _EDGE - 20 + _ROW * len(ratios))


def _interval(row: str, name: str, found: Comparison, verdict: str, looks: Looks, *, whose: str) -> Figure:
    middle = found.ratio or 1.0
    low, high = found.low or middle, found.high or middle
    hover = f"<b>{label(name)}</b> {words.mark(verdict)} {verdict}<br>{ratio(middle)} [{three(low)}, {three(high)}]"
    marker = looks.marker(whose, hollow=whose != name) | {"size": 10}
    error = whiskers([(low, middle, high)], looks.colour(whose), 2)
    return points([float(f"{middle:.5g}")], [label(row)], [hover], marker, error_x=error)


def distance(problem: ProblemResult, looks: Looks) -> Panel | None:
    """Times over the least that this machine could do them in."""
    timings = [t for t in problem.timings if t.times_floor is not None or t.loop_times_floor is not None]
    if not timings or problem.limits is None:
        return None
    columns: list[Column[Timing]] = [
        Column("backend", lambda t: Cell(t.backend)),
        Figures("a step from Python", lambda t: words.times(t.times_floor)),
        Figures("a step in a loop", lambda t: words.times(t.loop_times_floor)),
    ]
    table = tabulated("Times the floor", timings, columns, facts.limits(problem))
    dots = [
        (timing.backend, name, floor)
        for timing in timings
        for name, floor in (("step from Python", timing.times_floor), ("step in a loop", timing.loop_times_floor))
        if floor
    ]
    names = [timing.backend for timing in timings]
    figure = {
        "data": [*(_dot(*dot, looks) for dot in dots), *map(_key, ("step from Python", "step in a loop"))],
        "layout": layout(
            x=log_axis("times the floor", [1.0, *(floor for _, _, floor in dots)]),
            y=names_axis(names),
            shapes=[upright(1, "dash", 1.5)],
        ),
    }
    about = (
        "A step's time over the least that this machine could do it in; the dashed line, 1, is that least. Filled: called "
        "from Python; hollow: in the backend's own loop."
    )
    title = "Distance to the limit"
    plot = Plot("distance", title, about, figure, table, _EDGE + _ROW * len(names))
    return Panel("distance", title, plots=[plot])


def _dot(backend: str, name: str, found: float, looks: Looks) -> Figure:
    hollow = "loop" in name
    marker = looks.marker(backend, hollow=hollow)
    marker |= {"size": marker["size"] + 5 * hollow, "line": {"width": 2 * hollow}}
    hover = f"<b>{label(backend)}</b><br>{name}: {ratio(found)} the floor"
    return points([float(f"{found:.5g}")], [label(backend)], [hover], marker, showlegend=False)


def _key(name: str) -> Figure:
    """A legend entry that is nobody's: what filled and hollow mean."""
    hollow = "loop" in name
    symbol = "circle-open" if hollow else "circle"
    marker = {"symbol": symbol, "color": "theme:muted", "size": 10, "line": {"width": 2 * hollow}}
    return points([None], [None], [], marker, name=name)


def starts(problem: ProblemResult) -> Panel | None:
    """What there is to pay before the first step, in time and in memory."""
    table = facts.starts(problem)
    if table is None:
        return None
    known = {timing.backend: timing for timing in problem.timings if timing.starts and facts.imported(timing)}
    costs: list[tuple[str, Callable[[Timing], float]]] = [
        ("import", lambda timing: timing.import_s),
        ("build", lambda timing: timing.build_s),
        ("first call", lambda timing: timing.first_call_s),
    ]
    bars = [
        _bar(name, {who: (cost(timing), duration(1e9 * cost(timing))) for who, timing in known.items()}, place)
        for place, (name, cost) in enumerate(costs)
    ]
    about = "Seconds from an empty process to the first gradient: import, building the program, first call (compiling)."
    plots = [_bars("starts", "Time to the first gradient", about, bars, list(known), "seconds", table)]
    resident = {timing.backend: found for timing in problem.timings if (found := facts.memory(timing))}
    if resident:
        about = (
            "Resident memory of a process that only loaded and stepped: after the import, and what it grew to beyond."
        )
        bars = [
            _bar(name, {who: (found[place] / 2**20, size(found[place])) for who, found in resident.items()}, 2 * place)
            for place, name in enumerate(("after the import", "more at its peak"))
        ]
        plots.append(_bars("memory", "Memory", about, bars, list(resident), "MiB", table))
    return Panel("starts", table.caption, plots=plots)


def _bars(
    key: str, title: str, about: str, bars: Sequence[Figure], names: Sequence[str], unit: str, table: Table
) -> Plot:
    x = axis(unit, rangemode="tozero")
    shown = layout(x=x, y=names_axis(names), barmode="stack", bargap=0.35, legend_traceorder="normal")
    return Plot(key, title, about, {"data": list(bars), "layout": shown}, table, _EDGE + _ROW * len(names))


def _bar(name: str, values: Mapping[str, tuple[float, str]], place: int) -> Figure:
    """One part of the bars of all backends, each with what it says; ``place`` is that of its colour and pattern."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": [float(f"{value:.5g}") for value, _ in values.values()],
        "y": [label(who) for who in values],
        "marker": _pattern(place),
        "hoverinfo": "text",
        "hovertext": [f"<b>{label(who)}</b><br>{name}: {said}" for who, (_, said) in values.items()],
        "textposition": "none",
    }


def _pattern(place: int) -> Figure:
    surface = "theme:surface"
    pattern = {"shape": ("", "x", "/")[place], "fillmode": "overlay", "fgcolor": surface, "size": 7, "solidity": 0.2}
    return {"color": f"theme:part-{place}", "line": {"color": surface, "width": 1}, "pattern": pattern}
