"""Training as the user wrote it: the loss that each step returned, with the first divergence marked."""

from __future__ import annotations

import math

from gradparity.report.facts import words
from gradparity.report.facts.own_training import own_training_table, problem_own_training_notes
from gradparity.report.facts.view import Cell, Table, number_heads
from gradparity.report.page.figures import (
    Looks,
    axis,
    label,
    labelled,
    layout,
    log_axis,
    rounded,
    scatter,
    thin,
    upright,
)
from gradparity.report.page.training import MOST_POINTS, round_steps, steps_axis
from gradparity.report.page.view import Panel, Plot
from gradparity.results import ProblemResult
from gradparity.results.own_training import OwnTraining


def own_training(problem: ProblemResult, looks: Looks) -> Panel | None:
    """Runs, what they diverge in, and curves."""
    found = problem.own_training
    if found is None:
        return None
    about = (
        "The ports' own steps from one start. Each runs eight times more, moved by one rounding before every step: what "
        "that explains is no difference."
    )
    plot = _losses(found, looks)
    notes, tables = [*problem_own_training_notes(problem)], [own_training_table(found)]
    return Panel("own-training", "Training as it is written", about, notes, tables, [plot] if plot else [])


def _losses(found: OwnTraining, looks: Looks) -> Plot | None:
    runs = [run for run in found.runs if len(run.losses) > 1]
    if not runs:
        return None
    diverging = sorted({each.step for each in found.divergences})
    data = []
    for place, run in enumerate(runs):  # one inside the other where they coincide
        steps = thin(len(run.losses), MOST_POINTS, [step - 1 for step in diverging if step <= len(run.losses)])
        name = label(run.backend)
        width = 2 + 2.5 * (len(runs) - 1 - place)
        data.append(
            scatter(
                "lines",
                [step + 1 for step in steps],
                rounded((run.losses[step] for step in steps), 9),
                name=name,
                hovertemplate=f"<b>{name}</b><br>step %{{x:,}}: loss %{{y:.8g}}<extra></extra>",
                line={"color": looks.colour(run.backend), "width": width},
            )
        )
    values = [value for run in runs for value in run.losses if value is not None and math.isfinite(value)]
    far = bool(values) and min(values) > 0 and max(values) / min(values) > 20
    figure = {
        "data": data,
        "layout": layout(
            x=steps_axis(max(len(run.losses) for run in runs)),
            y=log_axis("loss", values) if far else axis("loss"),
            shapes=[upright(step) for step in diverging],
            annotations=[
                labelled(f"diverges at step {step:,}", step, row)
                | {"xanchor": "left" if 2 * step < max(len(run.losses) for run in runs) else "right"}
                for row, step in enumerate(diverging)
            ],
            margin={"l": 8, "r": 16, "t": 12 + 20 * len(diverging), "b": 8},
        ),
    }
    longest = max(len(run.losses) for run in runs)
    shown = round_steps(longest, [step - 1 for step in diverging])
    rows = [
        [Cell(f"{step + 1:,}", step + 1), *(words.loss(_of(run.losses, step)) for run in runs)] for step in shown
    ]  # fmt: skip
    table = Table("Loss by step", number_heads("step", *(run.backend for run in runs)), rows)
    return Plot("own-losses", "Loss that each step returned", "", figure, table, 320)


def _of(losses: list[float | None], step: int) -> float | None:
    return losses[step] if step < len(losses) else None
