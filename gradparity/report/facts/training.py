"""Training runs as a table, and why some diverge."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Column, Figures, Note, Table, tabulated
from gradparity.results import GOOD, Training


def training_table(runs: Sequence[Training]) -> Table:
    """A row a run: whether losses and parameters of every step agree, and from which step on they do not."""
    columns: list[Column[Training]] = [
        Column("backend", lambda ran: Cell(ran.backend)),
        Column("optimiser", lambda ran: Cell(ran.method)),
        Column("verdict", lambda ran: words.verdict_cell(ran.verdict)),
        Figures("trained loss", lambda ran: words.loss(ran.final_loss)),
        Figures("floors", lambda ran: words.sized(ran.floors)),
        Figures("diverges", _divergence),
        Figures(
            "steps compared",
            lambda ran: Cell(f"{ran.checked_steps:,} of {ran.steps:,}", ran.checked_steps),
            extra=True,
        ),
        Figures("loop", lambda ran: words.seconds(ran.loop_s)),
    ]
    start = next((ran.initial_loss for ran in runs if ran.initial_loss is not None), None)
    trained = next((ran.reference_loss for ran in runs if ran.reference_loss is not None), None)
    known = [f"{what} {value:.12g}" for what, value in (("starts at", start), ("must end at", trained)) if value]
    caption = "Training: every loss and parameter against the same steps in extended precision"
    return tabulated(caption, runs, columns, [f"The loss {' and '.join(known)}."] if known else [])


def _divergence(ran: Training) -> Cell:
    if ran.first_divergence is None:
        return Cell("nowhere", math.inf)
    return Cell(f"step {ran.first_divergence:,}", ran.first_divergence, ran.diverged, kind="bad", mark="✗")


def training_notes(runs: Sequence[Training]) -> list[Note]:
    """Reasons, early ends and shortened comparisons, each once, with the runs that it holds for."""
    said: dict[tuple[str, bool], dict[str, list[str]]] = {}
    for ran in runs:
        texts = [": ".join(filter(None, (ran.reason, ran.detail)))] if ran.reason else []
        texts += [f"stopped: {ran.stopped}"] if ran.stopped else []
        if ran.checked_steps < ran.steps:
            texts.append(f"compared over the first {ran.checked_steps} steps: as far as the reference and the dtype go")
        for text in texts:
            where = said.setdefault((text, ran.verdict in GOOD), {})
            where.setdefault(ran.method, []).append(ran.backend)
    return [
        Note(
            "; ".join(f"{name} on {', '.join(dict.fromkeys(backends))}" for name, backends in where.items()) + ":",
            text,
            kind="" if fine else "bad",
            mark="" if fine else "✗",
        )
        for (text, fine), where in said.items()
    ]
