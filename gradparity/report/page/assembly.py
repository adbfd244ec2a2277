"""What stands on a page, from a result: the first screen, what compares all problems, each problem, the receipt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.report.facts import words
from gradparity.report.facts.clock import formulations
from gradparity.report.facts.overview import Overview
from gradparity.report.facts.receipt import receipt_details, receipt_notes, receipt_tables
from gradparity.report.facts.standings import choices_table
from gradparity.report.facts.verdicts import disagreements, everywhere, problem_notes, status, verdicts
from gradparity.report.facts.view import Note
from gradparity.report.page import clock, differences, errors, sizes, sources, totals, training
from gradparity.report.page.figures import Looks
from gradparity.report.page.view import Panel, Section
from gradparity.results import ProblemResult, RunResult

#: Problems up to which all are open from the start; of more, only those with something to see.
MOST_OPEN = 3
#: Findings up to which every one is on the page: some 600 bytes each, and a page is to stay under 6 MB.
MOST_FINDINGS = 4000
#: Blocks up to which each is a column of the table of verdicts; more are a row each.
MOST_COLUMNS = 8
#: Faults, problems and remarks up to which all stand on the first screen; the others further down the page.
_MOST_FAULTS, _MOST_CHOICES, _MOST_NOTES = 4, 8, 6


def first_screen(found: Overview) -> tuple[Overview, list[Note]]:
    """Who disagrees and why, which to choose, and what to know beside; and more notes, to be folded away."""
    choices = found.choices
    if choices is not None and len(choices.rows) > _MOST_CHOICES:
        said = [*choices.notes, "Of more problems it stands below."]
        choices = replace(choices, rows=choices.rows[:_MOST_CHOICES], notes=said)
    faults, notes = found.faults[:_MOST_FAULTS], found.notes[:_MOST_NOTES]
    more = [*found.faults[_MOST_FAULTS:], *found.notes[_MOST_NOTES:]]
    return replace(found, faults=faults, notes=notes, choices=choices), more


def sections(result: RunResult, *, lean: bool = False) -> list[Section]:
    """Everything below the first screen but the receipt; if ``lean``, problems that agree have no plots."""
    named = [info.name for info in result.backends]
    looks = Looks([*named, *(name for problem in result.problems for name in words.backends(problem))])
    keys = [f"p{index}" for index in range(1, len(result.problems) + 1)]
    every = sum(len(problem.findings) for problem in result.problems) <= MOST_FINDINGS
    few = len(result.problems) <= MOST_OPEN
    each = [_problem(problem, key, looks, opened=few, every=every)
            for problem, key in zip(result.problems, keys, strict=True)]  # fmt: skip
    if lean:
        each = [_lean(section) if section.status[1] != "bad" else section for section in each]
    return [*_together(result, keys, looks), *each]


def receipt(result: RunResult) -> list[Panel]:
    """Versions, machine, settings, environment, raw counts, and what was left out."""
    tables, folded = receipt_tables(result), receipt_details(result)
    return [Panel("receipt-what", "", notes=receipt_notes(result), tables=tables, folded=folded)]


def _lean(section: Section) -> Section:
    kept = [replace(panel, plots=(), folded=()) for panel in section.panels]
    return replace(section, panels=[panel for panel in kept if panel])


def _together(result: RunResult, keys: Sequence[str], looks: Looks) -> list[Section]:
    """All problems side by side, where there are several."""
    if len(result.problems) < 2:
        return []
    about = f"The worst block of each backend, in noise floors; up to {AGREES_FLOORS:g} agrees. A name leads to its details."
    timed = [problem for problem in result.problems if problem.timings]
    note = "Of those that agree, numpy's closed form apart; what overlaps is not called."
    choices = replace(choices_table(timed, 1), notes=[note], caption="Choice by problem") if len(timed) > 1 else None
    panels = [
        Panel("everywhere", "Agreement", about, tables=[everywhere(result, keys)]),
        Panel("where", "Which backend where", tables=[choices] if choices else []),
        sizes.over_size(result, looks),
    ]
    return [Section("all", "All problems", [panel for panel in panels if panel])]


def _problem(problem: ProblemResult, key: str, looks: Looks, *, opened: bool, every: bool) -> Section:
    """One problem: verdicts, reasons, training, time."""
    found, points = status(problem), errors.errors(problem, looks)
    panels = [
        Panel("notes", "What to know", notes=problem_notes(problem)),
        _verdicts(problem),
        _disagreements(problem),
        differences.divergences(problem),
        sources.sources(problem),
        differences.pairwise(problem),
        points if every or points is None else replace(points, plots=(), folded=()),
        training.training(problem, looks),
        totals.totals(problem, looks),
        clock.steps(problem, looks),
        Panel("formulations", "Other formulations", tables=[table] if (table := formulations(problem)) else []),
        clock.distance(problem, looks),
        clock.starts(problem),
    ]
    kept = [
        replace(panel, key=f"{key}-{panel.key}", plots=[replace(plot, key=f"{key}-{plot.key}") for plot in panel.plots])
        for panel in panels
        if panel
    ]
    return Section(key, problem.label, kept, words.problem_lines(problem), found, opened or found[1] == "bad")


def _verdicts(problem: ProblemResult) -> Panel:
    table = verdicts(problem, most=MOST_COLUMNS)
    about = (
        "Each cell is the error of the entry that is furthest beyond its noise floor, in noise floors, and below it the same "
        f"in ulps of the true value. Up to {AGREES_FLOORS:g} floors agrees."
    )
    return Panel("verdicts", "Verdicts", about, tables=[table] if table else [])


def _disagreements(problem: ProblemResult) -> Panel:
    table = disagreements(problem)
    about = f"This problem is there to show it: {problem.expected}" if problem.expected else ""
    return Panel("disagreements", "What does not agree", about, tables=[table] if table else [])
