"""The stress suite as one table: a row a problem, a column a backend."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradparity.formatting import three
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.results import GOOD, Finding, ProblemResult, RunResult, worst


def print_stress(console: Console, result: RunResult) -> None:
    """The table, then what does not agree and what failed, a line each."""
    console.print(Padding(stress(result), (1, 0, 0, 0)))
    for problem in result.problems:
        for trouble in problem.troubles:
            console.print(Text(f"{trouble.backend} failed in {trouble.stage}: {trouble.reason}", style="red"))
        for backend in dict.fromkeys(found.backend for found in problem.not_good):
            shown = worst([f for f in problem.findings if f.backend == backend])
            block = f"{shown.quantity} {shown.parameter}".strip()
            console.print(
                Text(f"{backend}, {problem.name}, {problem.spec['dtype']}: {block}: {shown.cause or shown.rule}", "red")
            )


def stress(result: RunResult) -> Table:
    """Each cell is the error furthest from its floor, in floors, or the verdict that is not good."""
    table = Table(
        title=f"Standard stress suite: errors in noise floors; up to {AGREES_FLOORS:g} agrees",
        title_justify="left",
        title_style="",
        header_style="dim",
        pad_edge=False,
        box=None,
    )
    names = dict.fromkeys(f.backend for problem in result.problems for f in problem.findings)
    table.add_column("problem", style="bold", no_wrap=True)
    table.add_column("dtype", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why", style="dim")
    for problem in result.problems:
        cells = [_cell(problem, [f for f in problem.findings if f.backend == name]) for name in names]
        shown = problem.expected if problem.expected and _shown(problem) else problem.source
        table.add_row(problem.name, problem.spec["dtype"], *cells, shown)
    return table


def _cell(problem: ProblemResult, found: list[Finding]) -> Text:
    if not found:
        return Text("-", style="dim")
    bad = [f for f in found if f.verdict not in GOOD]
    if problem.expected:
        verdicts = {f.verdict for f in bad}
        return Text("nonfinite" if "nonfinite" in verdicts else ", ".join(verdicts) or "holds", style="yellow")
    if bad:
        return Text(worst(bad).verdict, style="red")
    return Text(three(max(f.floors or 0 for f in found)), style="green")


def _shown(problem: ProblemResult) -> bool:
    """Whether every backend shows what the problem is there to show."""
    backends = {f.backend for f in problem.findings}
    return backends == {f.backend for f in problem.findings if f.verdict == "nonfinite"}
