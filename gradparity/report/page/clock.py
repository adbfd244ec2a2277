"""The clock: starts, memory, steps and loops against the reference, the distance to what the machine can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gradparity.benchmark.stats import Comparison, Control
from gradparity.formatting import duration, ratio, size, three
from gradparity.report.page import words
from gradparity.report.page.figures import Figure, Looks, axis, band, label, layout, log_axis
from gradparity.report.page.view import Block, Cell, Head, Plot, Table, heads, missing
from gradparity.results import ProblemResult, Timed, Timing

_ROW = 34  #: pixels a row of a plot with a row a backend
_EDGE = 110  #: pixels for its axis and legend


def steps(problem: ProblemResult, key: str, looks: Looks) -> Block:
    """Step and loop: tables, and their ratios to the reference as forest plots."""
    title = "Time of a step"
    kinds = [
        ("step", "One value-and-gradient call from Python", problem.control, _step, _step_floor),
        ("loop", "A step of gradient descent in the backend's own loop", problem.loop_control, _loop, _loop_floor),
    ]
    tables, plots = [], []
    for name, caption, control, timed_of, floor_of in kinds:
        if any(timed_of(timing) for timing in problem.timings):
            table = _table(problem, caption, control, timed_of, floor_of)
            tables.append(table)
            plot = _forest(problem, f"{key}-{name}", caption, control, timed_of, looks, table)
            plots += [plot] if plot else []
    return Block("steps", title, tables=tables, plots=plots)


def _step(timing: Timing) -> Timed | None:
    return timing.step


def _loop(timing: Timing) -> Timed | None:
    return timing.loop


def _step_floor(timing: Timing) -> float | None:
    return timing.times_floor


def _loop_floor(timing: Timing) -> float | None:
    return timing.loop_times_floor


def _table(
    problem: ProblemResult,
    caption: str,
    control: Control | None,
    timed_of: Callable[[Timing], Timed | None],
    floor_of: Callable[[Timing], float | None],
) -> Table:
    everyone = [*problem.timings, *([problem.twin] if problem.twin else [])]
    timings = [(timing, timed) for timing in everyone if (timed := timed_of(timing)) is not None]
    loops = any(timed.steps > 1 for _, timed in timings)
    primal = not loops and any(timing.primal for timing, _ in timings)
    collected = not loops and any(timing.collected for timing, _ in timings)
    more = (*(("over the loss alone",) if primal else ()), *(("with collector on",) if collected else ()))
    more = (*more, *(("steps a call",) if loops else ()))
    figures = ("a step", f"speed, {problem.reference} = 1", "times the floor", "cpu/wall", "rounds", *more)
    rows = []
    for timing, timed in timings:
        twin = timing is problem.twin
        row = [
            Cell(timing.backend, note="A/A control" if twin else ""),
            words.step(timed.step_ns),
            Cell("1", 1.0, note="reference") if timed.ratio is None else words.compared(timed.ratio),
            _over(floor_of(timing)),
            missing() if timed.cpu_per_wall is None else Cell(f"{timed.cpu_per_wall:.2f}", timed.cpu_per_wall),
            _rounds(timed.ratio),
            *([_ratio(timing.primal)] if primal else []),
            *([_ratio(timing.collected, inverse=True)] if collected else []),
            *([Cell(f"{timed.steps:,}", timed.steps)] if loops else []),
        ]
        row.insert(3, words.verdict_cell(timed.speed or "reference"))
        rows.append(row)
    names = list(figures)
    columns = [Head("backend"), *(Head(name, figures=True) for name in names[:2]), Head("verdict")]
    return Table(caption, [*columns, *(Head(name, figures=True) for name in names[2:])], rows, _below(problem, control))


def _over(floor: float | None) -> Cell:
    return missing() if floor is None else Cell(ratio(floor), floor)


def _rounds(found: Comparison | None) -> Cell:
    if found is None:
        return missing()
    discarded = f"{found.discarded} discarded" if found.discarded else ""
    pairs = f"{found.pairs} pair{'s' * (found.pairs != 1)}"
    return Cell(f"{found.rounds}", found.rounds, ", ".join(filter(None, [pairs, discarded])))


def _ratio(timed: Timed | None, *, inverse: bool = False) -> Cell:
    found = timed.ratio if timed else None
    if found is None or not found.ratio:
        return missing()
    if not inverse:
        return words.compared(found)
    interval = f"[{three(1 / found.high)}, {three(1 / found.low)}]" if found.low and found.high else "no interval"
    return Cell(ratio(1 / found.ratio), 1 / found.ratio, interval)


def _below(problem: ProblemResult, control: Control | None) -> list[str]:
    """What A/A showed."""
    lines = []
    if control is not None and control.sd is not None:
        lines.append(
            f"A/A control: two identical {problem.reference} workers differed by {100 * control.sd:.1f}%, so differences "
            f"under {100 * control.floor:.0f}% are not called."
        )
    return lines


def _limit(problem: ProblemResult) -> list[str]:
    """What the machine can do."""
    lines = []
    if limits := problem.limits:
        bound = "reading X once" if limits.binds == "memory" else "its multiplications"
        lines.append(
            f"The floor is {duration(limits.floor_ns)}, {bound}: this machine reads "
            f"{three(limits.read_bytes_per_s.median / 1e9)} GB/s at this size and multiplies at "
            f"{three(limits.flops_per_s.median / 1e9)} Gflop/s."
        )
    return lines


def _forest(
    problem: ProblemResult,
    key: str,
    caption: str,
    control: Control | None,
    timed_of: Callable[[Timing], Timed | None],
    looks: Looks,
    table: Table,
) -> Plot | None:
    everyone = [*problem.timings, *([problem.twin] if problem.twin else [])]
    rows = [
        (timing.backend, timed.ratio, timed.speed or "undecided")
        for timing in everyone
        if (timed := timed_of(timing)) and timed.ratio is not None and timed.ratio.ratio is not None
    ]
    if not rows:
        return None
    twin = problem.twin.backend if problem.twin else ""
    data = [_interval(name, found, verdict, twin, problem.reference, looks) for name, found, verdict in rows]
    ends = [end for _, found, _ in rows for end in (found.low, found.high, found.ratio) if end]
    most = 1 + control.floor if control else 1.0
    names = [_row_name(name, twin) for name, _, _ in rows]
    shapes: list[Figure] = [
        band(1 / most, most),
        {
            "type": "line",
            "x0": 1,
            "x1": 1,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"color": "theme:muted", "width": 1.5},
        },
    ]
    figure = {
        "data": data,
        "layout": layout(
            x=log_axis(f"times as fast as {label(problem.reference)}", [*ends, 1 / most, most]),
            y=axis(
                "", type="category", categoryorder="array", categoryarray=[label(n) for n in reversed(names)], ticks=""
            ),
            shapes=shapes,
            showlegend=False,
        ),
    }
    about = (
        f"How many times as fast as {problem.reference}, with the 95% interval; to the right is faster. In the shaded band "
        "a difference is not called: it is what two identical workers may show."
    )
    return Plot(key, f"Speed: {caption[0].lower()}{caption[1:]}", about, figure, table, _EDGE - 20 + _ROW * len(rows))


def _row_name(name: str, twin: str) -> str:
    return "A/A control" if name == twin else name


def _interval(name: str, found: Comparison, verdict: str, twin: str, reference: str, looks: Looks) -> Figure:
    middle = found.ratio or 1.0
    low, high = found.low or middle, found.high or middle
    who = reference if name == twin else name
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [float(f"{middle:.5g}")],
        "y": [label(_row_name(name, twin))],
        "error_x": {
            "type": "data", "symmetric": False, "array": [high - middle], "arrayminus": [middle - low],
            "color": looks.colour(who), "thickness": 2, "width": 5,
        },
        "marker": {"color": looks.colour(who), "symbol": looks.symbol(who, hollow=name == twin), "size": 10},
        "hoverinfo": "text",
        "hovertext": [
            f"<b>{label(name)}</b> {words.mark(verdict)} {verdict}<br>{ratio(middle)} [{three(low)}, {three(high)}]"
        ],
    }  # fmt: skip


def distance(problem: ProblemResult, key: str, looks: Looks) -> Block:
    """Times over the least that this machine could do them in."""
    title = "Distance to the limit"
    timings = [t for t in problem.timings if t.times_floor is not None or t.loop_times_floor is not None]
    if not timings or problem.limits is None:
        return Block("distance", title)
    table = Table(
        "Times the floor",
        heads("backend", "a step from Python", "a step in a loop", figures=("a step from Python", "a step in a loop")),
        [[Cell(t.backend), _over(t.times_floor), _over(t.loop_times_floor)] for t in timings],
        _limit(problem),
    )
    reach = [f for t in timings for f in (t.times_floor, t.loop_times_floor) if f]
    data: list[Figure] = []
    for timing in timings:
        for name, found in (("step from Python", timing.times_floor), ("step in a loop", timing.loop_times_floor)):
            if found:
                data.append(_dot(timing.backend, name, found, looks))
    names = [label(t.backend) for t in timings]
    figure = {
        "data": [*data, *_key((("step from Python", "circle"), ("step in a loop", "circle-open")))],
        "layout": layout(
            x=log_axis("times the floor", [1.0, *reach]),
            y=axis("", type="category", categoryorder="array", categoryarray=names[::-1], ticks=""),
            shapes=[
                {"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "yref": "paper",
                 "line": {"color": "theme:muted", "width": 1.5, "dash": "dash"}}
            ],
        ),
    }  # fmt: skip
    about = (
        "A step's time over the least that this machine could do it in; the dashed line, 1, is that least. Filled: called "
        "from Python; hollow: in the backend's own loop."
    )
    plot = Plot(f"{key}-distance", title, about, figure, table, _EDGE + _ROW * len(names))
    return Block("distance", title, plots=[plot])


def _dot(backend: str, name: str, found: float, looks: Looks) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [float(f"{found:.5g}")],
        "y": [label(backend)],
        "marker": {
            "color": looks.colour(backend),
            "symbol": looks.symbol(backend, hollow="loop" in name),
            "size": looks.size(backend) + (5 if "loop" in name else 0),
            "line": {"width": 2 if "loop" in name else 0},
        },
        "hoverinfo": "text",
        "hovertext": [f"<b>{label(backend)}</b><br>{name}: {ratio(found)} the floor"],
        "showlegend": False,
    }


def _key(marks: Sequence[tuple[str, str]]) -> list[Figure]:
    """Legend entries that are nobody's: what filled and hollow mean."""
    return [
        {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": name,
         "marker": {"symbol": symbol, "color": "theme:muted", "size": 10, "line": {"width": 2 * symbol.endswith("open")}}}
        for name, symbol in marks
    ]  # fmt: skip


def starts(problem: ProblemResult, key: str) -> Block:
    """What there is to pay before the first step, in time and in memory."""
    title = "Before the first step"
    timings = [timing for timing in problem.timings if timing.starts]
    if not timings:
        return Block("starts", title)
    figures = ("import", "build", "first call", "warm first call", "in all", "after import", "more at its peak")
    table = Table(
        "One-off costs",
        heads("backend", *figures, figures=figures),
        [_start(timing) for timing in timings],
        ["A cold first call compiles with an empty cache on disk, a warm one finds the last one's."],
    )
    plots = [_start_bars(timings, f"{key}-starts", table)]
    if any(_memory(timing) for timing in timings):
        plots.append(_memory_bars(timings, f"{key}-memory", table))
    return Block("starts", title, plots=plots)


def _imported(timing: Timing) -> bool:
    """Whether a process was timed: without one there is no time of import."""
    return any(start.pair is not None for start in timing.starts)


def _start(timing: Timing) -> list[Cell]:
    cache = f"{timing.compile_cache} cache" if timing.compile_cache else ""
    first = words.seconds(timing.first_call_s)
    memory = _memory(timing)
    known = _imported(timing)
    return [
        Cell(timing.backend),
        words.seconds(timing.import_s if known else None),
        words.seconds(timing.build_s if known else None),
        Cell(first.text, first.value, cache),
        words.seconds(timing.warm_first_call_s if timing.compile_cache == "cold" else None),
        words.seconds(timing.start_s if known else None),
        *([Cell(size(value), value) for value in memory] if memory else [missing(), missing()]),
    ]


def _memory(timing: Timing) -> tuple[int, int] | None:
    """Resident bytes after the import, and how many more at the peak."""
    peak, base = timing.peak_resident_bytes, timing.import_resident_bytes
    return None if peak is None or base is None else (base, max(0, peak - base))


def _start_bars(timings: Sequence[Timing], key: str, table: Table) -> Plot:
    known = [timing for timing in timings if _imported(timing)]
    parts: list[tuple[str, Callable[[Timing], float]]] = [
        ("import", lambda timing: timing.import_s),
        ("build", lambda timing: timing.build_s),
        ("first call", lambda timing: timing.first_call_s),
    ]
    data = [
        _bar(name, [t.backend for t in known], [part(t) for t in known], index, lambda s: duration(1e9 * s))
        for index, (name, part) in enumerate(parts)
    ]
    about = "Seconds from an empty process to the first gradient: import, building the program, first call (compiling)."
    return Plot(key, "Time to the first gradient", about, _bars(data, [t.backend for t in known], "seconds"), table,
                _EDGE + _ROW * len(known))  # fmt: skip


def _memory_bars(timings: Sequence[Timing], key: str, table: Table) -> Plot:
    known = {timing.backend: found for timing in timings if (found := _memory(timing))}
    names = list(known)
    data = [
        _bar("after the import", names, [known[n][0] / 2**20 for n in names], 0, lambda mib: size(mib * 2**20)),
        _bar("more at its peak", names, [known[n][1] / 2**20 for n in names], 2, lambda mib: size(mib * 2**20)),
    ]
    about = "Resident memory of a process that only loaded and stepped: after the import, and what it grew to beyond."
    return Plot(key, "Memory", about, _bars(data, names, "MiB"), table, _EDGE + _ROW * len(names))


def _bar(name: str, who: Sequence[str], values: Sequence[float], part: int, say: Callable[[float], str]) -> Figure:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": [float(f"{value:.5g}") for value in values],
        "y": [label(n) for n in who],
        "marker": {
            "color": f"theme:part-{part}",
            "line": {"color": "theme:surface", "width": 1},
            "pattern": {
                "shape": ("", "x", "/")[part],
                "fillmode": "overlay",
                "fgcolor": "theme:surface",
                "size": 7,
                "solidity": 0.2,
            },
        },
        "hoverinfo": "text",
        "hovertext": [f"<b>{label(n)}</b><br>{name}: {say(v)}" for n, v in zip(who, values, strict=True)],
        "textposition": "none",
    }


def _bars(data: list[Figure], names: Sequence[str], unit: str) -> Figure:
    return {
        "data": data,
        "layout": layout(
            x=axis(unit, rangemode="tozero"),
            y=axis("", type="category", categoryorder="array", categoryarray=[label(n) for n in names][::-1], ticks=""),
            barmode="stack",
            bargap=0.35,
            legend_traceorder="normal",
        ),
    }


def formulations(problem: ProblemResult) -> Block:
    """What the other formulations of the same model give."""
    title = "Other formulations"
    if not problem.formulations:
        return Block("formulations", title)
    mine = str(problem.spec.get("formulation", "this"))
    figures = ("a step", f"speed, {mine} = 1", "its floor")
    rows = [
        [
            Cell(found.formulation),
            Cell(found.backend),
            words.step(found.step_ns),
            words.compared(found.ratio),
            words.verdict_cell(found.speed),
            missing() if found.floor_ns is None else Cell(duration(found.floor_ns), found.floor_ns),
        ]
        for found in problem.formulations
    ]
    columns = [Head("formulation"), Head("backend"), *(Head(name, figures=True) for name in figures[:2])]
    table = Table(
        "The same model, written otherwise", [*columns, Head("verdict"), Head(figures[2], figures=True)], rows
    )
    return Block("formulations", title, f"Timed in turns with {mine}, in one process of one backend.", tables=[table])
