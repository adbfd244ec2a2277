"""Verdicts as tables: a cell for each block of each backend, what does not agree and why, all problems side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from gradparity.formatting import large
from gradparity.judge.verdicts import AGREES_FLOORS, most_floors
from gradparity.report.facts import words
from gradparity.report.facts.faults import undecided
from gradparity.report.facts.initialisers import initialisers_status
from gradparity.report.facts.own_training import own_training_status
from gradparity.report.facts.view import Cell, Column, Figures, Head, Kind, Note, Table, missing, tabulated
from gradparity.results import GOOD, Finding, ProblemResult, RunResult, worst


def verdicts(problem: ProblemResult, *, most: int, grouped: bool = False) -> Table | None:
    """A row a backend, a column a block: its error in noise floors, and in ulps.

    Args:
        problem: what was checked.
        most: blocks up to which each is a column.
        grouped: of more, whether a column has the worst block of a quantity; otherwise each is a row.

    Returns:
        The table; ``None`` where nothing was judged.
    """
    findings = problem.findings
    names = list(dict.fromkeys(found.backend for found in findings))
    if not names:
        return None
    columns: dict[str, list[Finding]] = {}
    many = len({found.block for found in findings}) > most
    for found in findings:
        columns.setdefault(found.quantity if many and grouped else found.block, []).append(found)
    open_ = undecided(problem)
    cells = {
        (name, block): _cell(worst(own), open_)
        for block, each in columns.items()
        for name in names
        if (own := [found for found in each if found.backend == name])
    }
    caption = f"Errors in noise floors; up to {limit_of([problem]):g} agrees"
    if many and not grouped:
        rows = [[Cell(block), *(cells.get((name, block), missing()) for name in names)] for block in columns]
        return Table(caption, [Head("block"), *_bare(names)], rows)
    rows = [
        [Cell(name), _verdict(problem, name), *(cells.get((name, block), missing()) for block in columns)]
        for name in names
    ]
    return Table(caption, [Head("backend"), Head("verdict", bare=True), *_bare(columns)], rows)


def _bare(names: Sequence[str] | dict[str, list[Finding]]) -> list[Head]:
    return [Head(name, figures=True, bare=True) for name in names]


def _verdict(problem: ProblemResult, name: str) -> Cell:
    bad = words.bad_verdicts(problem, name)
    if not bad:
        kink = any(found.backend == name and found.verdict == "kink" for found in problem.findings)
        return words.verdict_cell("kink" if kink else "agrees")
    shown = worst([found for found in problem.findings if found.backend == name]).block
    open_ = undecided(problem)
    return replace(words.verdict_cell(bad[0], note=shown), text=", ".join(_word(each, name, open_) for each in bad))


def _word(verdict: str, name: str, open_: Collection[str]) -> str:
    """The verdict; ``differs`` for ``wrong`` where nothing says that it is this backend, one of ``open_``, that is."""
    return "differs" if verdict == "wrong" and name in open_ else verdict


def _cell(found: Finding, open_: Collection[str]) -> Cell:
    known = words.ulps(found)
    ulps = "" if known is None else f"{large(known)} ulp"
    text = _word(found.verdict, found.backend, open_) if found.floors is None else large(found.floors)
    if found.verdict in GOOD:
        return Cell(text, found.floors, ulps, found.rule, heat(found.floors) if found.floors is not None else "good")
    word = _word(found.verdict, found.backend, open_)
    note = ", ".join(filter(None, [word if found.floors is not None else found.cause, ulps]))
    kind, mark = words.kind(found.verdict), words.mark(found.verdict)
    return Cell(text, found.floors, note, found.cause or found.rule, kind, mark)


def limit_of(problems: Iterable[ProblemResult]) -> float:
    """Noise floors up to which an error agrees in all of these problems."""
    return min((most_floors(str(problem.spec.get("dtype", ""))) for problem in problems), default=AGREES_FLOORS)


def heat(floors: float | None) -> Kind:
    """Shades up to the limit: exact, within a floor, within half the limit, up to it."""
    if not floors:
        return "exact"
    return "low" if floors <= 1 else "mid" if floors <= AGREES_FLOORS / 2 else "high"


def disagreements(problem: ProblemResult) -> Table | None:
    """A row for every block that does not agree: by how much, where, and why."""
    bad = [found for found in problem.findings if found.verdict not in GOOD]
    return blocks("What does not agree: the worst entry of each block", bad, problem, last="why") if bad else None


def every(problem: ProblemResult) -> Table:
    """A row for every finding."""
    return blocks(f"Every finding ({len(problem.findings)})", problem.findings, problem, last="rule")


def blocks(
    caption: str, findings: Sequence[Finding], problem: ProblemResult, *, last: Literal["why", "rule", ""] = ""
) -> Table:
    """A row for each block: by how much it is off and where. No column is empty.

    What an answer is held to has the name of what it is: without a certified truth it is what the others gave.

    Args:
        caption: what the table is of.
        findings: its rows.
        problem: whose they are.
        last: what the last column says: the cause, else the rule; or the rule, with the cause below; or there is none.

    Returns:
        The table.
    """
    held, open_ = "truth" if problem.pairwise is None else "the others'", undecided(problem)
    columns: list[Column[Finding]] = [
        Column("backend", lambda f: Cell(f.backend), shown=bool(last) or len({f.backend for f in findings}) > 1),
        Column("block", lambda f: Cell(words.entry(f))),
        Column("verdict", lambda f: words.verdict_cell(_word(f.verdict, f.backend, open_))),
        Figures("relative error", lambda f: words.relative(f.relative_error)),
        Figures("floors", lambda f: words.sized(f.floors)),
        Figures("error, ulp", lambda f: words.sized(words.ulps(f)), extra=True),
        Figures("floor, ulp", lambda f: words.sized(f.floor_ulps if words.ulps(f) is not None else None), extra=True),
        Figures("got", lambda f: _held(f)[0], extra=True),
        Figures(held, lambda f: _held(f)[1], extra=True),
        Column(
            last, lambda f: Cell(f.cause or f.rule) if last == "why" else Cell(f.rule, note=f.cause), shown=bool(last)
        ),
    ]
    kept = [column for column in columns if not column.extra or any(column.cell(f).text != "-" for f in findings)]
    return tabulated(caption, findings, kept)


def _held(found: Finding) -> tuple[Cell, Cell]:
    return words.held(found.got, found.truth, same=found.verdict in GOOD)


def everywhere(result: RunResult, keys: Sequence[str] = ()) -> Table:
    """A row a problem, a column a backend: the worst error in floors, or the verdict.

    Args:
        result: the run.
        keys: what the names of the problems lead to on a page.

    Returns:
        The table.
    """
    names = list(dict.fromkeys(name for problem in result.problems for name in words.backends(problem)))
    dtypes = len({problem.spec.get("dtype", "") for problem in result.problems}) > 1
    rows = [
        [
            Cell(problem.name if dtypes else problem.label, note=_expected(problem), link=keys[place] if keys else ""),
            *([Cell(str(problem.spec.get("dtype", "")))] if dtypes else []),
            *(_worst(problem, name) for name in names),
        ]
        for place, problem in enumerate(result.problems)
    ]
    caption = f"Worst error in noise floors; up to {limit_of(result.problems):g} agrees"
    return Table(caption, [Head("problem", bare=True), *([Head("dtype")] if dtypes else []), *_bare(names)], rows)


def _expected(problem: ProblemResult) -> str:
    return f"there to show: {problem.expected}" if problem.expected else ""


def _worst(problem: ProblemResult, name: str) -> Cell:
    failed = next((found for found in problem.troubles if found.backend == name), None)
    if failed is not None:
        return words.verdict_cell("failed", note=failed.stage)
    found = [finding for finding in problem.findings if finding.backend == name]
    bad = [finding for finding in found if finding.verdict not in GOOD]
    if bad:
        shown = worst(bad)
        floors = "" if shown.floors is None else f"{large(shown.floors)} floors"
        word = _word(shown.verdict, name, undecided(problem))
        cell = words.verdict_cell(word, shown.floors, ", ".join(filter(None, [shown.block, floors])))
        return replace(cell, title=shown.cause or shown.rule, kind="warn" if problem.expected else cell.kind)
    ran = next((run for run in problem.training if run.backend == name and run.verdict not in GOOD), None)
    if ran is not None:
        return replace(words.verdict_cell(ran.verdict, ran.floors, "training"), title=ran.reason)
    most = max((finding.floors or 0.0 for finding in found), default=None)
    return missing() if most is None else Cell(large(most), most, kind=heat(most) if most else "low")


def status(problem: ProblemResult) -> tuple[str, Kind, str]:
    """The problem in a word, with how it looks and its symbol: agrees, or who does not and how."""
    bad = {found.backend: ["failed"] for found in problem.troubles}
    bad |= {name: found for name in words.backends(problem) if (found := words.bad_verdicts(problem, name))}
    for name in (open_ := undecided(problem)) & bad.keys():
        bad[name] = [_word(verdict, name, open_) for verdict in bad[name]]
    for name, said in (*own_training_status(problem), *initialisers_status(problem)):
        bad[name] = [*bad.get(name, []), said]
    if bad:
        groups: dict[str, list[str]] = {}
        for name, found in bad.items():
            groups.setdefault(", ".join(found), []).append(name)
        said = "; ".join(f"{', '.join(names)}: {verdict}" for verdict, names in groups.items())
        return said, "bad", words.mark("wrong")
    if not problem.findings:
        return ("timed only" if problem.timings else "nothing was found"), "muted", "-"
    return ("as expected" if problem.expected else "agrees"), "good", words.mark("agrees")


def problem_notes(problem: ProblemResult) -> list[Note]:
    """What failed, which backend is wrong by comparison, what the problem itself shows, what had nothing to run."""
    outliers = problem.pairwise.outliers if problem.pairwise is not None else []
    failed, wrong = words.mark("failed"), words.mark("wrong")
    notes = [
        *(
            Note(f"{t.backend} failed", f"in {t.stage}: {t.reason}", [t.detail], "bad", failed)
            for t in problem.troubles
        ),
        *(Note(f"{o.backend} disagrees:", o.finding, [o.cause], "bad", wrong) for o in outliers),
        *(Note(f"{d.name}:", words.sentence(d.finding), [d.cure], "warn", "!") for d in problem.diagnoses),
        *(Note(f"Not compared, {n}:", words.sentence(n.reason), [n.cure], "warn", "!") for n in problem.not_given),
        *(Note(f"jvp of {n}:", words.sentence(how), mark="-") for n, how in words.jvps_by_gradient([problem])),
        *(Note(f"{name} has nothing to run:", reason, mark="-") for name, reason in problem.idle.items()),
    ]
    return [replace(note, more=[each for each in note.more if each]) for note in notes]


def divergence_notes(problem: ProblemResult) -> list[Note]:
    """The first tapped value, and cotangent, at which each backend diverges; and what could not be compared."""
    found = problem.divergences
    if found is None:
        return []
    said = (str(each).partition(": ") for each in found.found)
    notes = [Note(f"{place}:", what, kind="bad", mark=words.mark("wrong")) for place, _, what in said]
    return [*notes, *(Note("Of values on the way:", text) for text in found.notes)]
