"""Training: losses over steps with the first divergence marked, errors over steps against the limit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from gradparity.judge.training import PATH_FLOORS
from gradparity.report.facts.faults import optimiser
from gradparity.report.page import words
from gradparity.report.page.figures import (
    Figure,
    Looks,
    axis,
    label,
    labelled,
    layout,
    line,
    log_axis,
    rounded,
    thin,
    upright,
)
from gradparity.report.page.view import Block, Cell, Head, Note, Plot, Table, heads
from gradparity.results import ProblemResult, Training

#: Points of a curve that a plot has, and rows of the table beside it.
MOST_POINTS = 240
MOST_ROWS = 24


def training(problem: ProblemResult, key: str, looks: Looks) -> Block:
    """Runs, curves, and errors on the way."""
    runs = problem.training
    if not runs:
        return Block("training", "Training")
    about = (
        "Every loss and every parameter against the same steps in extended precision. Up to "
        f"{PATH_FLOORS:g} floors agrees: a path adds up the errors of its steps."
    )
    plots = [_losses(runs, f"{key}-losses", looks), _floors(runs, f"{key}-path", looks)]
    return Block(
        "training", "Training", about, notes=_notes(runs), tables=[_table(runs)], plots=[p for p in plots if p]
    )


def _table(runs: Sequence[Training]) -> Table:
    figures = ("trained loss", "floors", "parts at step", "steps compared", "loop")
    rows = []
    for ran in runs:
        parts = Cell("nowhere", math.inf)
        if ran.first_divergence is not None:
            parts = Cell(f"{ran.first_divergence:,}", ran.first_divergence, ran.diverged, kind="bad", mark="✗")
        rows.append(
            [
                Cell(ran.backend),
                Cell(optimiser(ran)),
                words.verdict_cell(ran.verdict),
                words.loss(ran.final_loss),
                words.sized(ran.floors),
                parts,
                Cell(f"{ran.checked_steps:,} of {ran.steps:,}", ran.checked_steps),
                words.seconds(ran.loop_s),
            ]
        )
    start = next((ran.initial_loss for ran in runs if ran.initial_loss is not None), None)
    trained = next((ran.reference_loss for ran in runs if ran.reference_loss is not None), None)
    known = [f"{what} {value:.12g}" for what, value in (("starts at", start), ("must end at", trained)) if value]
    return Table(
        "Training runs",
        heads("backend", "optimiser", "verdict", *figures, figures=figures),
        rows,
        [f"The loss {' and '.join(known)}."] if known else [],
    )


def _notes(runs: Sequence[Training]) -> list[Note]:
    """Reasons, each once, with the runs that they hold for."""
    said: dict[tuple[str, str, bool], list[str]] = {}
    for ran in runs:
        if ran.reason:
            said.setdefault((ran.reason, ran.detail, words.good(ran.verdict)), []).append(words.run_name(ran))
        if ran.stopped:
            said.setdefault(("stopped", ran.stopped, words.good(ran.verdict)), []).append(words.run_name(ran))
    return [
        Note(reason, f"{'; '.join(dict.fromkeys(names))}{': ' if detail else ''}{detail}",
             kind="" if fine else "bad", mark="" if fine else "✗")
        for (reason, detail, fine), names in said.items()
    ]  # fmt: skip


def _losses(runs: Sequence[Training], key: str, looks: Looks) -> Plot | None:
    """Own loops one inside the other, the widest first; the others as thin lines with markers in turn."""
    curves = [ran for ran in runs if len(ran.losses) > 1]
    if not curves:
        return None
    names = list(dict.fromkeys(ran.backend for ran in curves))
    order = sorted(curves, key=lambda ran: not ran.own_loop)
    shown: set[str] = set()
    data = []
    for ran in order:
        data.append(_curve(ran, looks, names.index(ran.backend), len(names), named=ran.backend not in shown))
        shown.add(ran.backend)
    data += [_parting(ran, looks) for ran in curves if _where(ran) is not None]
    values = [value for ran in curves for value in ran.losses if value is not None and math.isfinite(value)]
    positive = bool(values) and min(values) > 0
    far = positive and max(values) / min(values) > 20
    parted: dict[int, list[str]] = {}
    for ran in curves:
        if (at := _where(ran)) is not None and ran.backend not in parted.setdefault(at, []):
            parted[at].append(ran.backend)
    figure = {
        "data": data,
        "layout": layout(
            x=axis("step", rangemode="nonnegative"),
            y=log_axis("loss", values) if far else axis("loss"),
            shapes=[upright(at) for at in parted],
            annotations=[_parts(at, who, row, curves) for row, (at, who) in enumerate(sorted(parted.items()))],
            margin={"l": 8, "r": 16, "t": 12 + 20 * len(parted), "b": 8},
        ),
    }
    about = "Solid: each backend's own loop, one inside the other where they coincide."
    if not all(ran.own_loop for ran in curves):
        about += " Thin with markers: our optimiser with its gradient."
    if parted:
        about += " A cross marks the first step that parts from extended precision."
    table = _values("Loss by step", curves, [ran.losses for ran in curves], words.loss)
    return Plot(key, "Loss over steps", about, figure, table, 400)


def _parts(at: int, who: Sequence[str], row: int, curves: Sequence[Training]) -> Figure:
    early = at < max(len(ran.losses) for ran in curves) / 2
    verb = "parts" if len(who) == 1 else "part"
    return labelled(f"{label(', '.join(who))} {verb} at step {at:,}", at, row) | {
        "xanchor": "left" if early else "right"
    }


def _curve(ran: Training, looks: Looks, place: int, of: int, *, named: bool) -> Figure:
    steps = thin(len(ran.losses), MOST_POINTS, [ran.first_divergence or 0])
    made: Figure = {
        "type": "scatter",
        "mode": "lines",
        "name": label(ran.backend),
        "legendgroup": label(ran.backend),
        "showlegend": named,
        "x": steps,
        "y": rounded((ran.losses[step] for step in steps), 9),
        "hovertemplate": f"<b>{label(words.run_name(ran))}</b><br>step %{{x:,}}: loss %{{y:.8g}}<extra></extra>",
        "line": {"color": looks.colour(ran.backend), "width": 2.5 + 2.5 * (of - 1 - place)},
    }
    if not ran.own_loop:
        every = max(1, len(steps) // 6)
        first = every * place // of
        sizes = [looks.size(ran.backend) + 1 if index % every == first else 0 for index in range(len(steps))]
        made["mode"] = "lines+markers"
        made["line"]["width"] = 1
        made["marker"] = {
            "symbol": looks.symbol(ran.backend), "size": sizes, "color": looks.colour(ran.backend), "opacity": 1,
            "line": {"width": 1.5, "color": "theme:surface"},
        }  # fmt: skip
    return made


def _where(ran: Training) -> int | None:
    """The first divergence, if the curve has a point there."""
    at = ran.first_divergence
    return at if at is not None and at < len(ran.losses) and ran.losses[at] is not None else None


def _parting(ran: Training, looks: Looks) -> Figure:
    at = _where(ran) or 0
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [at],
        "y": rounded([ran.losses[at]], 9),
        "legendgroup": label(ran.backend),
        "cliponaxis": False,
        "hoverinfo": "text",
        "hovertext": [
            f"<b>{label(words.run_name(ran))}</b><br>parts at step {at:,}, {label(ran.diverged)}<br>{label(ran.reason)}"
        ],
        "marker": {
            "symbol": "x",
            "size": 12,
            "color": looks.colour(ran.backend),
            "line": {"width": 1.5, "color": "theme:ink"},
        },
        "showlegend": False,
    }


def _floors(runs: Sequence[Training], key: str, looks: Looks) -> Plot | None:
    """Errors of loss and parameters over the steps that have both."""
    curves = [ran for ran in runs if any(value for value in _worst(ran).values())]
    if not curves:
        return None
    data, reach = [], [PATH_FLOORS]
    shown: set[str] = set()
    for ran in curves:
        found = {step: value for step, value in _worst(ran).items() if value}
        steps = list(found)
        chosen = [steps[index] for index in thin(len(steps), MOST_POINTS)]
        reach += found.values()
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if len(chosen) > 1 else "markers",
                "name": label(ran.backend),
                "legendgroup": label(ran.backend),
                "showlegend": ran.backend not in shown,
                "x": chosen,
                "y": rounded(found[step] for step in chosen),
                "hovertemplate": f"<b>{label(words.run_name(ran))}</b><br>step %{{x:,}}: %{{y:.3~g}} floors<extra></extra>",
                "line": {"color": looks.colour(ran.backend), "width": 2, "dash": "solid" if ran.own_loop else "dot"},
                "marker": {"color": looks.colour(ran.backend), "symbol": looks.symbol(ran.backend), "size": 8},
            }
        )
        shown.add(ran.backend)
    worst = [_worst(ran) for ran in curves]
    last = max(step for found in worst for step in found)
    limit = line([0, last], [PATH_FLOORS] * 2, f"{PATH_FLOORS:g} floors")
    figure = {
        "data": [limit, *data],
        "layout": layout(
            x=axis("step", rangemode="nonnegative"),
            y=log_axis("error, floors", reach, least=PATH_FLOORS / 1e4),
        ),
    }
    about = "The largest error of each step, of the loss or of a parameter where it was recorded, in floors. Dotted: our optimiser."
    values = [[found.get(step) for step in range(last + 1)] for found in worst]
    table = _values("Floors by step", curves, values, words.sized)
    return Plot(key, "Errors on the way", about, figure, table, 400)


def _worst(ran: Training) -> dict[int, float | None]:
    """By step: the largest of the loss's and of the parameters' errors, in floors; ``None`` where not finite."""
    worst: dict[int, float | None] = dict(enumerate(ran.loss_floors))
    for floors in ran.parameter_floors.values():
        for step, value in zip(ran.recorded_steps, floors, strict=False):
            known = worst.get(step, 0.0)
            worst[step] = None if known is None or value is None else max(known, value)
    return worst


def _values(caption: str, runs: Sequence[Training], values: Sequence[Sequence[float | None]], cell: object) -> Table:
    """A row for some of the steps, a column a run."""
    longest = max(len(each) for each in values)
    chosen = _round_steps(longest, [ran.first_divergence for ran in runs])
    rows = [
        [Cell(f"{step:,}", step), *(cell(each[step]) if step < len(each) else Cell("-") for each in values)]  # type: ignore[operator]
        for step in chosen
    ]
    shown = [] if len(chosen) == longest else [f"{len(chosen)} of {longest:,} steps; results.json has all."]
    return Table(
        caption, [Head("step", figures=True), *(Head(words.run_name(r), figures=True) for r in runs)], rows, shown
    )


def _round_steps(count: int, keep: Iterable[int | None]) -> list[int]:
    """Steps as people count them (0, 1, 2, 5, 10, ...), the last, and those to keep."""
    counted = [scale * 10**power for power in range(10) for scale in (1, 2, 5)]
    wanted = {0, count - 1, *counted, *(step for step in keep if step is not None)}
    return thin_out([step for step in sorted(wanted) if step < count])


def thin_out(steps: list[int]) -> list[int]:
    """At most ``MOST_ROWS`` of them."""
    return [steps[index] for index in thin(len(steps), MOST_ROWS)]
