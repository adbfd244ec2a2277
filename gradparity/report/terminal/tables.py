"""Results as tables in a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gradparity.report.facts import words
from gradparity.report.facts.campaign import told
from gradparity.report.facts.clock import clock_tables
from gradparity.report.facts.initialisers import initialisers_table
from gradparity.report.facts.overview import overview
from gradparity.report.facts.own_training import own_training_table
from gradparity.report.facts.training import training_notes, training_table
from gradparity.report.facts.verdicts import disagreements, divergence_notes, everywhere, problem_notes, verdicts
from gradparity.report.facts.view import Cell, Head, Note
from gradparity.report.terminal.first_screen import print_first_screen
from gradparity.report.terminal.plain import Printable
from gradparity.report.terminal.style import STYLES, Shown
from gradparity.results import GOOD, ProblemResult, RunResult, Training

#: Columns of a text that is read in Python, and no terminal.
_WIDTH = 112
#: Blocks up to which each has a column of its own; of more there is one a quantity, with the worst.
_MOST_COLUMNS = 6
#: Blocks of initialisers that are shown, those that differ first.
_MOST_BLOCKS = 8


def print_problem(console: Console, problem: ProblemResult, *, brief: bool = False) -> None:
    """Everything found on one data set; if ``brief``, of training only what does not agree."""
    console.print()
    console.rule(Text(problem.label, style="bold"), align="left")
    console.print(Text("\n".join(words.problem_lines(problem)), style="dim"))
    for section in _sections(problem, brief=brief):
        console.print(Padding(section, (1, 0, 0, 0)))
    for note in (*problem_notes(problem), *divergence_notes(problem)):
        console.print(Text("\n").append_text(_said(note)))
    if problem.recommendation is not None:
        chosen = " or ".join(problem.recommendation.choice) or "none"
        steps = words.counted(problem.recommendation.steps, "step")
        console.print(Text.assemble("\nChoose ", (chosen, "bold"), f" for {steps} on {problem.label}:"))
        for reason in problem.recommendation.reasons:
            console.print(Padding(Text(f"- {reason}"), (0, 0, 0, 2)))


def print_problems(console: Console, result: RunResult) -> None:
    """Every table of every problem; of many models, of the worst of each cause."""
    for problem in told(result):
        print_problem(console, problem)


def print_stress(console: Console, result: RunResult) -> None:
    """The stress suite as one table, a row a problem and a column a backend, with what each problem is there for."""
    table = everywhere(result)
    why = (Cell(problem.expected or problem.source, kind="muted") for problem in result.problems)
    rows = [[replace(row[0], note=""), *row[1:], cell] for row, cell in zip(table.rows, why, strict=True)]
    console.print(Padding(Shown(replace(table, heads=[*table.heads, Head("why")], rows=rows)), (1, 0, 0, 0)))


def text(result: RunResult) -> str:
    """The whole report without colours, for who looks at a result in Python."""
    out = io.StringIO()
    console = Console(file=out, width=_WIDTH, markup=False, emoji=False, highlight=False)
    console.push_render_hook(Printable())
    print_problems(console, result)
    print_first_screen(console, overview(result), most=None)
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


def training(runs: list[Training]) -> RenderableType:
    """Training runs, and below why some diverge."""
    notes = (Text(f"{note.name} {note.text}", "dim") for note in training_notes(runs))
    return Group(Shown(training_table(runs)), *notes)


def _sections(problem: ProblemResult, *, brief: bool) -> Iterable[RenderableType]:
    for table in (verdicts(problem, most=_MOST_COLUMNS, grouped=True), disagreements(problem)):
        if table is not None:
            yield Shown(table)
    if problem.training and not (brief and all(ran.verdict in GOOD for ran in problem.training)):
        yield training(problem.training)
    if problem.own_training is not None and not (brief and problem.own_training.ok):
        yield Shown(own_training_table(problem.own_training))
    if problem.initialisers is not None and not (brief and problem.initialisers.ok):
        yield Shown(initialisers_table(problem.initialisers, _MOST_BLOCKS))
    for table in clock_tables(problem):
        yield Shown(table)


def _said(note: Note) -> Text:
    name = (note.name, f"bold {STYLES.get(note.kind, '')}")
    more = (each for each in note.more if "\n" not in each)  # a traceback is for the page
    return Text.assemble(name, *(f" {each}" for each in (note.text, *more)))
