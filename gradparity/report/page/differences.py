"""Where values diverge at taps, and backends held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradparity.formatting import large
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.report.facts import words
from gradparity.report.facts.verdicts import divergence_notes
from gradparity.report.facts.view import Cell, Column, Figures, Table, missing, number_heads, tabulated
from gradparity.report.page.view import Panel
from gradparity.results import Disagreement, OwnDerivative, Pairwise, ProblemResult
from gradparity.results.divergence import Divergence


def divergences(problem: ProblemResult) -> Panel | None:
    """The first tapped value at which each backend diverges."""
    found = problem.divergences
    if found is None or not (found.found or found.notes):
        return None
    columns: list[Column[Divergence]] = [
        Column("backend", lambda d: Cell(d.backend)),
        Column("tap", lambda d: Cell(d.tap + (f", call {d.occurrence + 1} of {d.of}" if d.of > 1 else ""))),
        Column("direction", lambda d: Cell(d.direction)),
        Column("against", lambda d: Cell(", ".join(d.against))),
        Figures("relative error", lambda d: words.figure(d.relative)),
        Figures("ulps", lambda d: words.figure(d.ulps)),
        Figures("floors", lambda d: words.sized(d.floors)),
        Figures("got", lambda d: words.held(d.got, d.expected)[0]),
        Figures("expected", lambda d: words.held(d.got, d.expected)[1]),
        Column("what", lambda d: Cell("; ".join(filter(None, [d.kind, d.detail, d.resembles])))),
    ]
    table = tabulated("First tap at which a backend diverges", found.found, columns)
    compared = f"{words.counted(found.taps, 'tapped value')} compared, forward (values) and backward (cotangents)."
    about = compared if found.taps else ""
    folded = [table] if found.found else []
    return Panel("divergences", "Where they diverge", about, notes=divergence_notes(problem), folded=folded)


def pairwise(problem: ProblemResult) -> Panel | None:
    """Every two backends in every block, and each gradient against its own loss."""
    found, title = problem.pairwise, "Held against each other"
    if found is None:
        return None
    about = (
        "No truth is known for this model, so nothing here is certified. A cell is the largest difference of two backends "
        f"in any entry, in noise floors of both; up to {AGREES_FLOORS:g} agrees."
    )
    matrices = [_matrix(found, each) for each in found.matrix]
    denied = [each for each in found.own if each.consistent is False]
    own = [_own(found.own, "Each gradient against its own loss, along a direction that moves one parameter")]
    shown = [_own(denied, "What is not the derivative of its own loss")] if denied else []
    folded = [*(own if found.own else []), *(matrices if len(matrices) > 2 else [])]
    return Panel(
        "pairwise",
        title,
        about,
        tables=[*([_summary(found)] if len(matrices) > 2 else matrices), *shown],
        folded=folded,
    )


def _matrix(found: Pairwise, block: Disagreement) -> Table:
    agreeing = f"Agreeing: {', '.join(block.agreeing)}." if block.agreeing else "No majority agrees."
    rows = [[Cell(one), *(_apart(block.floors[i][j], same=i == j) for j in range(len(found.backends)))]
            for i, one in enumerate(found.backends)]  # fmt: skip
    return Table(f"{block.block}: floors apart", number_heads("backend", *found.backends), rows, [agreeing])


def _summary(found: Pairwise) -> Table:
    """The largest distance of every two over all blocks, and in which block."""
    rows = []
    for i, one in enumerate(found.backends):
        row = [Cell(one)]
        for j in range(len(found.backends)):
            known = [(each.floors[i][j], each) for each in found.matrix]
            gaps = [pair for pair in known if pair[0] is None]
            apart, block = gaps[0] if gaps else max(known, key=lambda pair: pair[0] or 0)
            row.append(replace(_apart(apart, same=i == j), note="" if i == j else block.block))
        rows.append(row)
    return Table("Floors apart in the block where it is most", number_heads("backend", *found.backends), rows)


def _apart(floors: float | None, *, same: bool) -> Cell:
    if same:
        return Cell("·", kind="muted")
    if floors is None:
        return Cell("not comparable", kind="bad", mark=words.mark("nonfinite"))
    if floors > AGREES_FLOORS:
        return Cell(large(floors), floors, kind="bad", mark=words.mark("wrong"))
    return Cell(large(floors), floors, kind="low" if floors <= 1 else "mid")


def _own(found: Sequence[OwnDerivative], caption: str) -> Table:
    """Derivatives as they were given beside what values of the loss say."""
    consistent = {
        None: missing(),
        True: Cell("yes", kind="good", mark=words.mark("agrees")),
        False: Cell("no", kind="bad", mark=words.mark("wrong")),
    }
    columns: list[Column[OwnDerivative]] = [
        Column("backend", lambda own: Cell(own.backend)),
        Column("of", lambda own: Cell(f"{own.quantity} {own.parameter}".strip())),
        Column("consistent", lambda own: consistent[own.consistent]),
        Figures("along it", lambda own: words.held(own.along, own.value, same=own.consistent is not False)[0]),
        Figures("its loss says", lambda own: words.held(own.along, own.value, same=own.consistent is not False)[1]),
        Figures("within", lambda own: words.figure(own.error)),
        Column("kind", lambda own: Cell(own.kind)),
        Figures("evaluations", lambda own: words.count(own.evaluations)),
    ]
    return tabulated(caption, found, columns)
