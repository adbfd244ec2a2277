"""Time over size, where one model was timed at several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gradparity.report.facts import words
from gradparity.report.facts.clock import LOOP, STEP, ClockedCall
from gradparity.report.facts.view import Cell, Table, missing, number_heads
from gradparity.report.page.figures import Figure, Looks, label, layout, log_axis, points, scatter, time_axis, whiskers
from gradparity.report.page.view import Panel, Plot
from gradparity.results import ProblemResult, RunResult, Timing

#: Low end, median and high end of a step, in nanoseconds.
_Ends: TypeAlias = tuple[float, float, float]


def over_size(result: RunResult, looks: Looks) -> Panel:
    """Time over size, a plot a kind of call, for each model that was timed at two sizes or more."""
    groups: dict[str, list[ProblemResult]] = {}
    for problem in result.problems:
        if problem.timings and "features" in problem.spec:
            groups.setdefault(_model(problem), []).append(problem)
    several = [
        (index, name, sorted(group, key=_size))
        for index, (name, group) in enumerate(groups.items())
        if len({_size(problem) for problem in group}) > 1
    ]
    plots = [
        _plot(group, call, f"size-{index}-{call.key}", looks, f": {name}" * (len(several) > 1))
        for index, name, group in several
        for call in (STEP, LOOP)
    ]
    return Panel("sizes", "Time over size", plots=[plot for plot in plots if plot])


def _model(problem: ProblemResult) -> str:
    spec: Mapping[str, Any] = problem.spec
    known = (spec.get("formulation"), spec.get("dtype"), words.counted(problem.threads, "thread"))
    return ", ".join(str(word) for word in known if word)


def _size(problem: ProblemResult) -> float:
    """Multiplications of X W, or entries of X where there is no projection."""
    return float(problem.rows * problem.spec["features"] * problem.spec.get("projection", 1))


def _plot(group: Sequence[ProblemResult], call: ClockedCall, key: str, looks: Looks, model: str) -> Plot | None:
    found: dict[str, list[tuple[ProblemResult, _Ends]]] = {}
    for problem in group:
        for timing in problem.timings:
            if (ends := _interval(timing, call)) is not None:
                found.setdefault(timing.backend, []).append((problem, ends))
    if not found:
        return None
    how = "a step called from Python" if call is STEP else "a step in the backend's own loop"
    sizes = [_size(problem) for problem in group]
    reach = [end for known in found.values() for _, ends in known for end in ends]
    data = [_line(name, known, looks) for name, known in found.items()]
    floors = [(_size(p), p.limits.floor_ns) for p in group if p.limits is not None]
    if floors:
        reach += [floor for _, floor in floors]
        hover = [f"<b>floor</b>: {words.nanoseconds(floor).text}" for _, floor in floors]
        looked = {"color": "theme:muted", "width": 1.5, "dash": "dash"}
        heights = [float(f"{floor:.5g}") for _, floor in floors]
        known = {"name": "floor", "hoverinfo": "text", "hovertext": hover, "line": looked}
        data.append(scatter("lines", [size for size, _ in floors], heights, **known))
    ticks = {_size(problem): label(_shape(problem)) for problem in group}
    x = log_axis("rows x features x width", sizes) | {"tickvals": list(ticks), "ticktext": list(ticks.values())}
    x.pop("dtick", None)
    figure = {"data": data, "layout": layout(x=x, y=time_axis("a step", reach))}
    about = f"Median of {how}, with its 95% interval; both axes logarithmic. The dashed line is the machine's floor."
    title = f"{how[0].upper()}{how[1:]}, over size{model}"
    rows = [
        [
            Cell(_shape(problem), _size(problem)),
            *(_median(problem, name, call) for name in found),
            words.nanoseconds(problem.limits.floor_ns if problem.limits else None),
        ]
        for problem in group
    ]
    columns = number_heads("size", *found, "floor")
    return Plot(key, title, about, figure, Table(title, columns, rows), 420)


def _shape(problem: ProblemResult) -> str:
    spec = problem.spec
    return "x".join(str(n) for n in (problem.rows, spec["features"], spec.get("projection")) if n is not None)


def _interval(timing: Timing, call: ClockedCall) -> _Ends | None:
    timed = call.timed(timing)
    step = timed.step_ns if timed else None
    return None if step is None else (step.low, step.median, step.high)


def _median(problem: ProblemResult, name: str, call: ClockedCall) -> Cell:
    for timing in problem.timings:
        if timing.backend == name and (timed := call.timed(timing)) is not None:
            return words.step(timed.step_ns)
    return missing()


def _line(name: str, found: Sequence[tuple[ProblemResult, _Ends]], looks: Looks) -> Figure:
    hover = [
        f"<b>{label(name)}</b>, {label(_shape(problem))}<br>{words.nanoseconds(middle).text} "
        f"[{words.nanoseconds(low).text}, {words.nanoseconds(high).text}]"
        for problem, (low, middle, high) in found
    ]
    return points(
        [_size(problem) for problem, _ in found],
        [float(f"{middle:.6g}") for _, (_, middle, _) in found],
        hover,
        looks.marker(name),
        mode="lines+markers",
        name=label(name),
        error_y=whiskers([ends for _, ends in found], looks.colour(name), 1.5),
        line=looks.curve(name),
    )
