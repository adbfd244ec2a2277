"""Training: losses over steps with the first divergence marked, errors over steps against the limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gradparity.formatting import shortened
from gradparity.judge.training import PATH_FLOORS
from gradparity.report.facts import words
from gradparity.report.facts.training import training_notes, training_table
from gradparity.report.facts.view import Cell, Head, Table
from gradparity.report.page.figures import (
    Figure,
    Looks,
    axis,
    label,
    labelled,
    layout,
    line,
    log_axis,
    points,
    rounded,
    scatter,
    thin,
    upright,
)
from gradparity.report.page.view import Panel, Plot
from gradparity.results import ProblemResult, Training

#: Points of a curve that a plot has, and rows of the table beside it.
MOST_POINTS = 240
MOST_ROWS = 24


def training(problem: ProblemResult, looks: Looks) -> Panel | None:
    """Runs, curves, and errors on the way."""
    runs = problem.training
    if not runs:
        return None
    about = (
        "Every loss and every parameter against the same steps in extended precision. Up to "
        f"{PATH_FLOORS:g} floors agrees: a path adds up the errors of its steps."
    )
    plots = [plot for plot in (_losses(runs, looks), _floors(runs, looks)) if plot]
    return Panel("training", "Training", about, training_notes(runs), [training_table(runs)], plots)


def _losses(runs: Sequence[Training], looks: Looks) -> Plot | None:
    """Own loops one inside the other, the widest first; the others as thin lines with markers in turn."""
    curves = [ran for ran in runs if len(ran.losses) > 1]
    if not curves:
        return None
    names = list(dict.fromkeys(ran.backend for ran in curves))
    order = sorted(curves, key=lambda ran: not ran.own_loop)
    data = _named_once([_curve(ran, looks, names.index(ran.backend), len(names)) for ran in order])
    data += [_cross(ran, looks) for ran in curves if _where(ran) is not None]
    values = [value for ran in curves for value in ran.losses if value is not None and math.isfinite(value)]
    positive = bool(values) and min(values) > 0
    far = positive and max(values) / min(values) > 20
    diverging: dict[int, list[str]] = {}
    for ran in curves:
        if (at := _where(ran)) is not None and ran.backend not in diverging.setdefault(at, []):
            diverging[at].append(ran.backend)
    figure = {
        "data": data,
        "layout": layout(
            x=steps_axis(max(len(ran.losses) for ran in curves) - 1),
            y=log_axis("loss", values) if far else axis("loss"),
            shapes=[upright(at) for at in diverging],
            annotations=[_who(at, who, row, curves) for row, (at, who) in enumerate(sorted(diverging.items()))],
            margin={"l": 8, "r": 16, "t": 12 + 20 * len(diverging), "b": 8},
        ),
    }
    about = "Solid: each backend's own loop, one inside the other where they coincide."
    if not all(ran.own_loop for ran in curves):
        about += " Thin with markers: our optimiser with its gradient."
    if diverging:
        about += " A cross marks the first step that diverges from extended precision."
    table = _values("Loss by step", curves, [ran.losses for ran in curves], words.loss)
    return Plot("losses", "Loss over steps", about, figure, table, 300)


def _who(at: int, who: Sequence[str], row: int, curves: Sequence[Training]) -> Figure:
    early = at < max(len(ran.losses) for ran in curves) / 2
    verb = "diverges" if len(who) == 1 else "diverge"
    return labelled(
        f"{label(words.listed([shortened(name, 16) for name in who], 2))} {verb} at step {at:,}", at, row
    ) | {"xanchor": "left" if early else "right"}


def _named_once(curves: list[Figure]) -> list[Figure]:
    """The curves, of which the first of each backend is in the legend."""
    names = [curve["name"] for curve in curves]
    return [{**curve, "showlegend": names.index(curve["name"]) == place} for place, curve in enumerate(curves)]


def _curve(ran: Training, looks: Looks, place: int, of: int) -> Figure:
    steps = thin(len(ran.losses), MOST_POINTS, [ran.first_divergence or 0])
    line = {"color": looks.colour(ran.backend), "width": 2.5 + 2.5 * (of - 1 - place)}
    y = rounded((ran.losses[step] for step in steps), 9)
    made = _run(ran, steps, y, "loss %{y:.8g}", line=line)
    if not ran.own_loop:
        every = max(1, len(steps) // 6)
        first = every * place // of
        sizes = [looks.size(ran.backend) + 1 if index % every == first else 0 for index in range(len(steps))]
        made["mode"] = "lines+markers"
        made["line"]["width"] = 1
        edge = {"width": 1.5, "color": "theme:surface"}
        made["marker"] = looks.marker(ran.backend) | {"size": sizes, "opacity": 1, "line": edge}
    return made


def _name(ran: Training) -> str:
    return f"{ran.backend}, {ran.method}"


def _run(ran: Training, steps: Sequence[int], y: Sequence[float | None], said: str, **more: Any) -> Figure:
    """The curve of a run; ``said`` is what a point says after its step."""
    hover = f"<b>{label(_name(ran))}</b><br>step %{{x:,}}: {said}<extra></extra>"
    name = label(ran.backend)
    return scatter("lines", steps, y, name=name, legendgroup=name, hovertemplate=hover, **more)


def _where(ran: Training) -> int | None:
    """The first divergence, if the curve has a point there."""
    at = ran.first_divergence
    return at if at is not None and at < len(ran.losses) and ran.losses[at] is not None else None


def _cross(ran: Training, looks: Looks) -> Figure:
    at = _where(ran) or 0
    marker = {
        "symbol": "x", "size": 12, "color": looks.colour(ran.backend), "line": {"width": 1.5, "color": "theme:ink"},
    }  # fmt: skip
    hover = f"<b>{label(_name(ran))}</b><br>diverges at step {at:,}, {label(ran.diverged)}<br>{label(ran.reason)}"
    return points(
        [at],
        rounded([ran.losses[at]], 9),
        [hover],
        marker,
        legendgroup=label(ran.backend),
        cliponaxis=False,
        showlegend=False,
    )


def _floors(runs: Sequence[Training], looks: Looks) -> Plot | None:
    """Errors of loss and parameters over the steps that have both."""
    curves = [ran for ran in runs if any(value for value in _worst(ran).values())]
    if not curves:
        return None
    worst = [_worst(ran) for ran in curves]
    data, reach = [], [PATH_FLOORS]
    for ran, floors in zip(curves, worst, strict=True):
        found = {step: value for step, value in floors.items() if value}
        steps = list(found)
        chosen = [steps[index] for index in thin(len(steps), MOST_POINTS)]
        reach += found.values()
        trace = {"color": looks.colour(ran.backend), "width": 2, "dash": "solid" if ran.own_loop else "dot"}
        made = _run(ran, chosen, rounded(found[step] for step in chosen), "%{y:.3~g} floors", line=trace)
        made["mode"] = "lines" if len(chosen) > 1 else "markers"
        data.append({**made, "marker": looks.marker(ran.backend) | {"size": 8}})
    last = max(step for floors in worst for step in floors)
    limit = line([0, last], [PATH_FLOORS] * 2, f"{PATH_FLOORS:g} floors")
    figure = {
        "data": [limit, *_named_once(data)],
        "layout": layout(
            x=steps_axis(last),
            y=log_axis("error, floors", reach, least=PATH_FLOORS / 1e4),
        ),
    }
    about = "The largest error of each step, of the loss or of a parameter where it was recorded, in floors. Dotted: our optimiser."
    values = [[found.get(step) for step in range(last + 1)] for found in worst]
    table = _values("Floors by step", curves, values, words.sized)
    return Plot("path", "Errors on the way", about, figure, table, 300)


def _worst(ran: Training) -> dict[int, float | None]:
    """By step: the largest of the loss's and of the parameters' errors, in floors; ``None`` where not finite."""
    worst: dict[int, float | None] = dict(enumerate(ran.loss_floors))
    for floors in ran.parameter_floors.values():
        for step, value in zip(ran.recorded_steps, floors, strict=False):
            known = worst.get(step, 0.0)
            worst[step] = None if known is None or value is None else max(known, value)
    return worst


def _values(
    caption: str,
    runs: Sequence[Training],
    values: Sequence[Sequence[float | None]],
    cell: Callable[[float | None], Cell],
) -> Table:
    """A row for some of the steps, a column a run."""
    longest = max(len(each) for each in values)
    chosen = round_steps(longest, [ran.first_divergence for ran in runs])
    rows = [
        [Cell(f"{step:,}", step), *(cell(each[step]) if step < len(each) else Cell("-") for each in values)]
        for step in chosen
    ]
    shown = [] if len(chosen) == longest else [f"{len(chosen)} of {longest:,} steps; results.json has all."]
    heads = [Head(name, figures=True) for name in ("step", *map(_name, runs))]
    return Table(caption, heads, rows, shown)


def steps_axis(last: int) -> Figure:
    """Steps from 0 to the last, with room for a marker at each end."""
    return axis("step", range=[-0.03 * (last or 1), 1.03 * (last or 1)])


def round_steps(count: int, keep: Iterable[int | None]) -> list[int]:
    """Steps as people count them (0, 1, 2, 5, 10, ...), the last, and those to keep: a limited number of them."""
    counted = [scale * 10**power for power in range(10) for scale in (1, 2, 5)]
    wanted = {0, count - 1, *counted, *(step for step in keep if step is not None)}
    steps = [step for step in sorted(wanted) if step < count]
    return [steps[index] for index in thin(len(steps), MOST_ROWS)]
