"""Training runs as a table, and why some diverge."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Note, Table, heads
from gradparity.results import Training

_FIGURES = ("trained loss", "floors", "diverges", "steps compared", "loop")


def training_table(runs: Sequence[Training]) -> Table:
    """A row a run: whether losses and parameters of every step agree, and from which step on they do not."""
    rows = [
        [
            Cell(ran.backend),
            Cell(words.optimiser(ran)),
            words.verdict_cell(ran.verdict),
            words.loss(ran.final_loss),
            words.sized(ran.floors),
            Cell("nowhere", math.inf)
            if ran.first_divergence is None
            else Cell(f"step {ran.first_divergence:,}", ran.first_divergence, ran.diverged, kind="bad", mark="✗"),
            Cell(f"{ran.checked_steps:,} of {ran.steps:,}", ran.checked_steps),
            words.seconds(ran.loop_s),
        ]
        for ran in runs
    ]
    start = next((ran.initial_loss for ran in runs if ran.initial_loss is not None), None)
    trained = next((ran.reference_loss for ran in runs if ran.reference_loss is not None), None)
    known = [f"{what} {value:.12g}" for what, value in (("starts at", start), ("must end at", trained)) if value]
    return Table(
        "Training: every loss and parameter against the same steps in extended precision",
        heads("backend", "optimiser", "verdict", *_FIGURES, figures=_FIGURES, extra=("steps compared",)),
        rows,
        [f"The loss {' and '.join(known)}."] if known else [],
    )


def training_notes(runs: Sequence[Training]) -> list[Note]:
    """Reasons, early ends and shortened comparisons, each once, with the runs that it holds for."""
    said: dict[tuple[str, bool], dict[str, list[str]]] = {}
    for ran in runs:
        texts = [": ".join(filter(None, (ran.reason, ran.detail)))] if ran.reason else []
        texts += [f"stopped: {ran.stopped}"] if ran.stopped else []
        if ran.checked_steps < ran.steps:
            texts.append(f"compared over the first {ran.checked_steps} steps: as far as the reference and the dtype go")
        for text in texts:
            where = said.setdefault((text, words.good(ran.verdict)), {})
            where.setdefault(words.optimiser(ran), []).append(ran.backend)
    return [
        Note(
            "; ".join(f"{name} on {', '.join(dict.fromkeys(backends))}" for name, backends in where.items()) + ":",
            text,
            kind="" if fine else "bad",
            mark="" if fine else "✗",
        )
        for (text, fine), where in said.items()
    ]
