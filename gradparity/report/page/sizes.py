"""All problems side by side: who agrees where, and time over size where one model was timed at several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradparity.formatting import large
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.report.page import words
from gradparity.report.page.figures import Figure, Looks, label, layout, log_axis, time_axis
from gradparity.report.page.view import Block, Cell, Head, Plot, Table, missing
from gradparity.results import ProblemResult, RunResult, Timed, Timing, worst


def everywhere(result: RunResult, keys: Sequence[str]) -> Block:
    """A row a problem, a column a backend: the worst error in floors, or the verdict."""
    names = list(dict.fromkeys(name for problem in result.problems for name in words.backends(problem)))
    dtypes = len({problem.spec.get("dtype", "") for problem in result.problems}) > 1
    rows = [
        [
            Cell(problem.name if dtypes else problem.label, link=key, note=_expected(problem)),
            *([Cell(str(problem.spec.get("dtype", "")))] if dtypes else []),
            *(_cell(problem, name) for name in names),
        ]
        for problem, key in zip(result.problems, keys, strict=True)
    ]
    columns = [Head("problem"), *([Head("dtype")] if dtypes else []), *(Head(name, figures=True) for name in names)]
    about = f"The worst block of each backend, in noise floors; up to {AGREES_FLOORS:g} agrees. A name leads to its details."
    return Block(
        "everywhere", "Agreement", about, tables=[Table("Worst error in floors, by problem and backend", columns, rows)]
    )


def _expected(problem: ProblemResult) -> str:
    return f"there to show: {problem.expected}" if problem.expected else ""


def _cell(problem: ProblemResult, name: str) -> Cell:
    failed = next((found for found in problem.troubles if found.backend == name), None)
    if failed is not None:
        return Cell("failed", note=failed.stage, kind="bad", mark=words.MARKS["failed"])
    found = [finding for finding in problem.findings if finding.backend == name]
    ran = [run for run in problem.training if run.backend == name and not words.good(run.verdict)]
    if not found and not ran:
        return missing()
    off = [finding for finding in found if not words.good(finding.verdict)]
    if off:
        shown = worst(off)
        floors = "" if shown.floors is None else f"{large(shown.floors)} floors"
        note = ", ".join(filter(None, [words.block(shown), floors]))
        kind = "warn" if problem.expected else words.kind(shown.verdict)
        return Cell(shown.verdict, shown.floors, note, shown.cause or shown.rule, kind, words.mark(shown.verdict))
    if ran:
        return Cell(ran[0].verdict, ran[0].floors, "training", ran[0].reason, "bad", words.mark(ran[0].verdict))
    most = max((finding.floors or 0.0 for finding in found), default=0.0)
    return Cell(large(most), most, kind="low" if most <= 1 else "mid" if most <= AGREES_FLOORS / 2 else "high")


def where(result: RunResult) -> Block:
    """Which backend where: the choice, and who has the quickest step and loop."""
    timed = [problem for problem in result.problems if problem.timings]
    if len(timed) < 2:
        return Block("where", "Which backend where")
    rows = [
        [
            Cell(problem.label),
            Cell(" or ".join(problem.recommendation.choice) if problem.recommendation else "-"),
            *_quickest(problem, lambda timing: timing.step),
            *_quickest(problem, lambda timing: timing.loop),
        ]
        for problem in timed
    ]
    steps = next((p.recommendation.steps for p in timed if p.recommendation), 1)
    columns = [
        Head("problem"),
        Head(f"for {steps:,} step{'s' * (steps != 1)} in all"),
        Head("quickest step"),
        Head("takes", figures=True),
        Head("quickest loop"),
        Head("takes", figures=True),
    ]
    note = "Of those that agree, numpy's closed form apart; what overlaps is not called."
    return Block("where", "Which backend where", tables=[Table("Choice by problem", columns, rows, [note])])


def _quickest(problem: ProblemResult, timed_of: Callable[[Timing], Timed | None]) -> list[Cell]:
    bad = {found.backend for found in problem.not_good}
    timed = {
        timing.backend: (found.step_ns, found.ratio)
        for timing in problem.timings
        if timing.backend not in bad and timing.backend != "numpy" and (found := timed_of(timing)) and found.step_ns
    }
    if not timed:
        return [missing(), missing()]
    best = min(timed, key=lambda name: timed[name][0].median)
    lead = timed[best][1]
    ties = [
        name
        for name, (_, ratio) in timed.items()
        if name != best and lead and lead.low and ratio and ratio.high and ratio.high >= lead.low
    ]
    cell = words.step(timed[best][0])
    return [Cell(" or ".join([best, *ties])), Cell(cell.text, cell.value)]


def over_size(result: RunResult, looks: Looks) -> Block:
    """Time over size, a plot a kind of call, for each model that was timed at two sizes or more."""
    groups: dict[str, list[ProblemResult]] = {}
    for problem in result.problems:
        if problem.timings and "features" in problem.spec:
            groups.setdefault(_model(problem), []).append(problem)
    plots = []
    many = sum(len({_size(p) for p in group}) > 1 for group in groups.values()) > 1
    for index, (name, group) in enumerate(groups.items()):
        group.sort(key=_size)
        if len({_size(problem) for problem in group}) < 2:
            continue
        for kind, how in (("step", "a step called from Python"), ("loop", "a step in the backend's own loop")):
            plot = _plot(group, kind, how, f"size-{index}-{kind}", looks, name if many else "")
            plots += [plot] if plot else []
    return Block("sizes", "Time over size", plots=plots)


def _model(problem: ProblemResult) -> str:
    spec: Mapping[str, Any] = problem.spec
    threads = f"{problem.threads} thread{'s' * (problem.threads != 1)}"
    return ", ".join(str(word) for word in (spec.get("formulation"), spec.get("dtype"), threads) if word)


def _size(problem: ProblemResult) -> float:
    """Multiplications of X W, or entries of X where there is no projection."""
    return float(problem.rows * problem.spec["features"] * problem.spec.get("projection", 1))


def _plot(group: Sequence[ProblemResult], kind: str, how: str, key: str, looks: Looks, model: str) -> Plot | None:
    names = list(dict.fromkeys(timing.backend for problem in group for timing in problem.timings))
    found = {
        name: [(p, step) for p in group for t in p.timings if t.backend == name and (step := _interval(t, kind))]
        for name in names
    }
    found = {name: points for name, points in found.items() if points}
    if not found:
        return None
    sizes = [_size(problem) for problem in group]
    ends = [end for points in found.values() for _, (low, middle, high) in points for end in (low, middle, high)]
    data = [_line(name, points, looks) for name, points in found.items()]
    floors = [(_size(p), p.limits.floor_ns) for p in group if p.limits is not None]
    if floors:
        ends += [floor for _, floor in floors]
        data.append(
            {
                "type": "scatter", "mode": "lines", "name": "floor", "hoverinfo": "text",
                "x": [size for size, _ in floors], "y": [float(f"{floor:.5g}") for _, floor in floors],
                "hovertext": [f"<b>floor</b>: {words.seconds(floor / 1e9).text}" for _, floor in floors],
                "line": {"color": "theme:muted", "width": 1.5, "dash": "dash"},
            }
        )  # fmt: skip
    places = list(dict.fromkeys(sizes))
    ticks = {_size(problem): _shape(problem) for problem in group}
    x = log_axis("rows x features x width", sizes)
    x |= {"tickvals": places, "ticktext": [label(ticks[place]) for place in places]}
    x.pop("dtick", None)
    figure = {"data": data, "layout": layout(x=x, y=time_axis("a step", ends))}
    about = f"Median of {how}, with its 95% interval; both axes logarithmic. The dashed line is the machine's floor."
    title = f"{how[0].upper()}{how[1:]}, over size{': ' if model else ''}{model}"
    columns = [Head("size"), *(Head(name, figures=True) for name in found), Head("floor", figures=True)]
    rows = [
        [
            Cell(_shape(problem), _size(problem)),
            *(_median(problem, name, kind) for name in found),
            words.seconds(problem.limits.floor_ns / 1e9 if problem.limits else None),
        ]
        for problem in group
    ]
    return Plot(key, title, about, figure, Table(title, columns, rows), 420)


def _shape(problem: ProblemResult) -> str:
    spec = problem.spec
    return "x".join(str(n) for n in (problem.rows, spec["features"], spec.get("projection")) if n is not None)


def _interval(timing: Timing, kind: str) -> tuple[float, float, float] | None:
    timed: Timed | None = getattr(timing, kind)
    step = timed.step_ns if timed else None
    return None if step is None else (step.low, step.median, step.high)


def _median(problem: ProblemResult, name: str, kind: str) -> Cell:
    for timing in problem.timings:
        timed: Timed | None = getattr(timing, kind)
        if timing.backend == name and timed is not None:
            return words.step(timed.step_ns)
    return missing()


def _line(name: str, points: Sequence[tuple[ProblemResult, tuple[float, float, float]]], looks: Looks) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label(name),
        "x": [_size(problem) for problem, _ in points],
        "y": [float(f"{middle:.6g}") for _, (_, middle, _) in points],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - middle for _, (_, middle, high) in points],
            "arrayminus": [middle - low for _, (low, middle, _) in points],
            "color": looks.colour(name),
            "thickness": 1.5,
            "width": 5,
        },
        "line": {"color": looks.colour(name), "width": 2.2, "dash": looks.dash(name)},
        "marker": {"symbol": looks.symbol(name), "size": looks.size(name), "color": looks.colour(name)},
        "hoverinfo": "text",
        "hovertext": [
            f"<b>{label(name)}</b>, {label(_shape(problem))}<br>{words.seconds(middle / 1e9).text} "
            f"[{words.seconds(low / 1e9).text}, {words.seconds(high / 1e9).text}]"
            for problem, (low, middle, high) in points
        ],
    }
