"""Where values diverge at taps, and backends held against each other."""

from __future__ import annotations

from dataclasses import replace

from gradparity.formatting import large
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.report.facts import words
from gradparity.report.facts.verdicts import divergence_notes
from gradparity.report.facts.view import Cell, Head, Table, heads, missing
from gradparity.report.page.view import Panel
from gradparity.results import Disagreement, Pairwise, ProblemResult
from gradparity.results.divergence import Divergence


def divergences(problem: ProblemResult) -> Panel:
    """The first tapped value at which each backend diverges."""
    found = problem.divergences
    title = "Where they diverge"
    if found is None or not (found.found or found.notes):
        return Panel("divergences", title)
    figures = ("relative error", "ulps", "floors", "got", "expected")
    table = Table(
        "First tap at which a backend diverges",
        heads("backend", "tap", "direction", "against", *figures, "what", figures=figures),
        [_row(each) for each in found.found],
    )
    about = f"{words.counted(found.taps, 'tapped value')} compared, forward (values) and backward (cotangents)."
    folded = [table] if found.found else []
    return Panel("divergences", title, about, notes=divergence_notes(problem), folded=folded)


def _row(found: Divergence) -> list[Cell]:
    call = f", call {found.occurrence + 1} of {found.of}" if found.of > 1 else ""
    return [
        Cell(found.backend),
        Cell(found.tap + call),
        Cell(found.direction),
        Cell(", ".join(found.against)),
        words.figure(found.relative),
        words.figure(found.ulps),
        words.sized(found.floors),
        words.figure(found.got),
        words.figure(found.expected),
        Cell("; ".join(filter(None, [found.kind, found.detail, found.resembles]))),
    ]


def pairwise(problem: ProblemResult) -> Panel:
    """Every two backends in every block, and each gradient against its own loss."""
    title = "Held against each other"
    found = problem.pairwise
    if found is None:
        return Panel("pairwise", title)
    about = (
        "No truth is known for this model, so nothing here is certified. A cell is the largest difference of two backends "
        f"in any entry, in noise floors of both; up to {AGREES_FLOORS:g} agrees."
    )
    matrices = [_matrix(found, each) for each in found.matrix]
    own = [_own(found)] if found.own else []
    if len(matrices) > 2:
        return Panel("pairwise", title, about, tables=[_summary(found), *own], folded=matrices)
    return Panel("pairwise", title, about, tables=[*matrices, *own])


def _block(found: Disagreement) -> str:
    return f"{found.quantity} {found.parameter}".strip()


def _matrix(found: Pairwise, block: Disagreement) -> Table:
    agreeing = f"Agreeing: {', '.join(block.agreeing)}." if block.agreeing else "No majority agrees."
    rows = [[Cell(one), *(_apart(block.floors[i][j], same=i == j) for j in range(len(found.backends)))]
            for i, one in enumerate(found.backends)]  # fmt: skip
    return Table(f"{_block(block)}: floors apart", _heads(found), rows, [agreeing])


def _summary(found: Pairwise) -> Table:
    """The largest distance of every two over all blocks, and in which block."""
    rows = []
    for i, one in enumerate(found.backends):
        row = [Cell(one)]
        for j in range(len(found.backends)):
            known = [(each.floors[i][j], each) for each in found.matrix]
            gaps = [pair for pair in known if pair[0] is None]
            apart, block = gaps[0] if gaps else max(known, key=lambda pair: pair[0] or 0)
            row.append(replace(_apart(apart, same=i == j), note="" if i == j else _block(block)))
        rows.append(row)
    return Table("Floors apart in the block where it is most", _heads(found), rows)


def _heads(found: Pairwise) -> list[Head]:
    return heads("backend", *found.backends, figures=found.backends)


def _apart(floors: float | None, *, same: bool) -> Cell:
    if same:
        return Cell("·", kind="muted")
    if floors is None:
        return Cell("not comparable", kind="bad", mark=words.mark("nonfinite"))
    if floors > AGREES_FLOORS:
        return Cell(large(floors), floors, kind="bad", mark=words.mark("wrong"))
    return Cell(large(floors), floors, kind="low" if floors <= 1 else "mid")


def _own(found: Pairwise) -> Table:
    figures = ("gradient along it", "its loss says", "within")
    consistent = {
        None: missing(),
        True: Cell("yes", kind="good", mark=words.mark("agrees")),
        False: Cell("no", kind="bad", mark=words.mark("wrong")),
    }
    rows = [
        [
            Cell(own.backend),
            Cell(own.parameter),
            consistent[own.consistent],
            words.figure(own.along),
            words.figure(own.value),
            words.figure(own.error),
            Cell(own.kind),
            words.count(own.evaluations),
        ]
        for own in found.own
    ]
    return Table(
        "Each gradient against its own loss, along a direction that moves one parameter",
        heads("backend", "parameter", "consistent", *figures, "kind", "evaluations", figures=(*figures, "evaluations")),
        rows,
    )
