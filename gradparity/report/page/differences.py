"""What is off where: outliers, partings at taps, backends held against each other, and what the problem itself shows."""

from __future__ import annotations

from gradparity.formatting import large
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.report.page import words
from gradparity.report.page.view import Block, Cell, Head, Note, Table, heads, missing
from gradparity.results import Disagreement, Pairwise, ProblemResult
from gradparity.results.divergence import Divergence


def troubles(problem: ProblemResult) -> Block:
    """What failed, what had nothing to run, what is off, and what the problem itself shows: a note each."""
    failed = [
        Note(f"{found.backend} failed in {found.stage}", found.reason, found.detail, "bad", words.MARKS["failed"])
        for found in problem.troubles
    ]
    idle = [Note(f"{name} has nothing to run", reason, mark="-") for name, reason in problem.idle.items()]
    outliers = problem.pairwise.outliers if problem.pairwise is not None else []
    off = [Note(f"{o.backend} is off", o.finding, o.cause, "bad", words.MARKS["wrong"]) for o in outliers]
    diagnoses = [Note(found.name, found.finding, found.cure, "warn", "!") for found in problem.diagnoses]
    return Block("notes", "What to know", notes=[*failed, *off, *diagnoses, *idle])


def partings(problem: ProblemResult) -> Block:
    """The first tapped value at which each backend parts."""
    found = problem.divergences
    title = "Where they part"
    if found is None or not (found.found or found.notes):
        return Block("partings", title)
    notes = [_said(str(parting)) for parting in found.found]
    notes += [Note("Taps that do not match", text) for text in found.notes]
    figures = ("relative", "ulps", "floors", "got", "expected")
    table = Table(
        "First tap at which a backend parts",
        heads("backend", "tap", "direction", "against", *figures, "what", figures=figures),
        [_parting(parting) for parting in found.found],
    )
    about = f"{found.taps} tapped value{'s' * (found.taps != 1)} compared, forward (values) and backward (cotangents)."
    return Block("partings", title, about, notes=notes, folded=[table] if found.found else [])


def _said(parting: str) -> Note:
    place, _, what = parting.partition(": ")
    return Note(f"{place}:", what, kind="bad", mark=words.MARKS["wrong"])


def _parting(found: Divergence) -> list[Cell]:
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


def pairwise(problem: ProblemResult) -> Block:
    """Every two backends in every block, and each gradient against its own loss."""
    title = "Held against each other"
    found = problem.pairwise
    if found is None:
        return Block("pairwise", title)
    about = (
        "No truth is known for this model, so nothing here is certified. A cell is the largest difference of two backends "
        f"in any entry, in noise floors of both; up to {AGREES_FLOORS:g} agrees."
    )
    matrices = [_matrix(found, block) for block in found.matrix]
    own = [_own(found)] if found.own else []
    if len(matrices) > 2:
        return Block("pairwise", title, about, tables=[_summary(found), *own], folded=matrices)
    return Block("pairwise", title, about, tables=[*matrices, *own])


def _matrix(found: Pairwise, block: Disagreement) -> Table:
    name = f"{block.quantity} {block.parameter}".strip()
    agreeing = f"Agreeing: {', '.join(block.agreeing)}." if block.agreeing else "No majority agrees."
    rows = [
        [Cell(one), *(_apart(block.floors[i][j], same=i == j) for j in range(len(found.backends)))]
        for i, one in enumerate(found.backends)
    ]
    return Table(
        f"{name}: floors apart", [Head("backend"), *(Head(n, figures=True) for n in found.backends)], rows, [agreeing]
    )


def _summary(found: Pairwise) -> Table:
    """The largest distance of every two over all blocks, and in which block."""
    rows = []
    for i, one in enumerate(found.backends):
        row = [Cell(one)]
        for j in range(len(found.backends)):
            known = [(block.floors[i][j], block) for block in found.matrix]
            gaps = [pair for pair in known if pair[0] is None]
            apart, block = gaps[0] if gaps else max(known, key=lambda pair: pair[0] or 0)
            cell = _apart(apart, same=i == j)
            where = "" if i == j else f"{block.quantity} {block.parameter}".strip()
            row.append(Cell(cell.text, cell.value, where, kind=cell.kind, mark=cell.mark))
        rows.append(row)
    title = "Floors apart in the block where it is most"
    return Table(title, [Head("backend"), *(Head(name, figures=True) for name in found.backends)], rows)


def _apart(floors: float | None, *, same: bool) -> Cell:
    if same:
        return Cell("·", kind="muted")
    if floors is None:
        return Cell("not comparable", kind="bad", mark=words.MARKS["nonfinite"])
    if floors > AGREES_FLOORS:
        return Cell(large(floors), floors, kind="bad", mark=words.MARKS["wrong"])
    return Cell(large(floors), floors, kind="low" if floors <= 1 else "mid")


def _own(found: Pairwise) -> Table:
    figures = ("gradient along it", "its loss says", "within")
    rows = [
        [
            Cell(own.backend),
            Cell(own.parameter),
            _consistent(own.consistent),
            words.figure(own.along),
            words.figure(own.value),
            words.figure(own.error),
            Cell(own.kind),
            Cell(f"{own.evaluations:,}", own.evaluations),
        ]
        for own in found.own
    ]
    return Table(
        "Each gradient against its own loss, along a direction that moves one parameter",
        heads("backend", "parameter", "consistent", *figures, "kind", "evaluations", figures=(*figures, "evaluations")),
        rows,
    )


def _consistent(found: bool | None) -> Cell:
    if found is None:
        return missing()
    return Cell("yes", kind="good", mark="✓") if found else Cell("no", kind="bad", mark="✗")
