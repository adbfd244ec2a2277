"""Results as tables in a terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradparity.formatting import duration, large
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.report.facts.faults import optimiser
from gradparity.report.facts.overview import overview
from gradparity.report.terminal.clock import clock_sections
from gradparity.report.terminal.first_screen import print_first_screen
from gradparity.report.terminal.plain import Printable
from gradparity.report.terminal.style import STYLES, WIDE, styled, table
from gradparity.results import GOOD, Finding, ProblemResult, RunResult, Training, worst

#: Blocks up to which each has a column of its own in the table of agreement.
MOST_COLUMNS = 6
#: Shorter names for column heads.
_SHORT = {"gradient": "grad"}


def print_problem(console: Console, problem: ProblemResult, *, brief: bool = False) -> None:
    """Everything found on one data set; if ``brief``, of training only what does not agree."""
    console.print()
    console.rule(Text(problem.label, style="bold"), align="left")
    console.print(Text(f"{_model(problem)}\n{problem.source}\nTruth: {problem.truth}", style="dim"))
    wide = console.width >= WIDE
    sections: list[RenderableType] = [agreement(problem)]
    details = [found for found in problem.findings if found.verdict not in GOOD and found.verdict != "failed"]
    if details:
        sections.append(disagreements(details, wide=wide))
    if problem.training and (not brief or any(ran.verdict not in GOOD for ran in problem.training)):
        sections.append(training(problem.training))
    if problem.timings:
        sections += clock_sections(problem, wide=wide)
    for section in sections:
        console.print(Padding(section, (1, 0, 0, 0)))
    for trouble in problem.troubles:
        console.print(
            Text.assemble((f"\n{trouble.backend} failed", "bold red"), f" in {trouble.stage}: {trouble.reason}")
        )
    for backend, reason in problem.idle.items():
        console.print(Text.assemble((f"\n{backend}", "bold"), f" has nothing to run: {reason}"))
    for outlier in problem.pairwise.outliers if problem.pairwise is not None else ():
        cause = f" ({outlier.cause})" if outlier.cause else ""
        console.print(Text.assemble((f"\n{outlier.backend} is off", "bold red"), f": {outlier.finding}{cause}"))
    for parting in problem.divergences.found if problem.divergences is not None else ():
        console.print(Text(f"\n{parting}"))
    for diagnosis in problem.diagnoses:
        console.print(Text.assemble((f"\n{diagnosis.name}", "bold yellow"), f": {diagnosis.finding}. {diagnosis.cure}"))
    if problem.recommendation is not None:
        chosen = " or ".join(problem.recommendation.choice)
        asked = problem.recommendation.steps
        console.print(Text.assemble("\nChoose ", (chosen, "bold"), f" for {asked:,} steps on {problem.label}:"))
        for reason in problem.recommendation.reasons:
            console.print(Padding(Text(f"- {reason}"), (0, 0, 0, 2)))


def print_problems(console: Console, result: RunResult) -> None:
    """Every table of every problem."""
    for problem in result.problems:
        print_problem(console, problem)


def text(result: RunResult) -> str:
    """The whole report without colours, for who looks at a result in Python."""
    out = io.StringIO()
    console = Console(file=out, width=WIDE, markup=False, emoji=False, highlight=False)
    console.push_render_hook(Printable())
    print_problems(console, result)
    print_first_screen(console, overview(result), most=None)
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


def _versions(result: RunResult) -> str:
    """Every package that computed; where two backends have two versions of one, with whose it is."""
    found: dict[str, dict[str, list[str]]] = {}
    for info in result.backends:
        for name, version in info.versions.items():
            found.setdefault(name, {}).setdefault(version, []).append(info.name)
    return ", ".join(
        name + " " + version + (f" ({', '.join(whose)})" if len(versions) > 1 else "")
        for name, versions in sorted(found.items())
        for version, whose in versions.items()
    )


def agreement(problem: ProblemResult) -> Table:
    """A row a backend, a column a block: the error in noise floors. Of many blocks, a column a quantity: the worst."""
    blocks = list(dict.fromkeys((f.quantity, f.parameter) for f in problem.findings))
    columns: dict[str, set[tuple[str, str]]] = {}
    for block in blocks:
        name = _SHORT.get(block[0], block[0])
        columns.setdefault(name if len(blocks) > MOST_COLUMNS else f"{name} {block[1]}".strip(), set()).add(block)
    heads = tuple(columns)
    title = f"Errors in noise floors; up to {AGREES_FLOORS:g} agrees"
    made = table(title, "backend", "verdict", *heads, "worst", right=(*heads, "worst"))
    for backend in dict.fromkeys(f.backend for f in problem.findings):
        found = [f for f in problem.findings if f.backend == backend]
        verdicts = dict.fromkeys(f.verdict for f in found if f.verdict not in GOOD) or ["agrees"]
        cells = [_floors(f for f in found if (f.quantity, f.parameter) in column) for column in columns.values()]
        made.add_row(backend, styled(", ".join(verdicts)), *cells, _worst_ulps(found))
    return made


def disagreements(found: list[Finding], *, wide: bool) -> Table:
    """One row for every block that does not agree: by how much, where, and which rule decided."""
    heads = ("error, ulp", "floor, ulp", *(("relative", "got", "truth") if wide else ()))
    made = table("What does not agree", "backend", "block", "verdict", *heads, "why", right=heads)
    for f in found:
        figures = (f.error_ulps, f.floor_ulps, *((f.relative_error, f.got, f.truth) if wide else ()))
        made.add_row(f.backend, _block(f), styled(f.verdict), *map(_figure, figures), f.cause or f.rule)
    return made


def training(runs: list[Training]) -> RenderableType:
    """Whether losses and parameters of every step agree, and from which step on they do not; below, why."""
    start = next((ran.initial_loss for ran in runs if ran.initial_loss is not None), None)
    made = table(
        f"Training, {runs[0].steps} steps from a loss of {_loss(start)}\n"
        "Every loss and parameter against the same steps in extended precision",
        *("backend", "optimiser", "verdict", "trained loss", "floors", "diverges", "loop"),
        right=("trained loss", "floors", "diverges", "loop"),
    )
    for ran in runs:
        made.add_row(
            ran.backend,
            optimiser(ran),
            styled(ran.verdict),
            _loss(ran.final_loss),
            "-" if ran.floors is None else large(ran.floors),
            "nowhere" if ran.first_divergence is None else f"step {ran.first_divergence}, {ran.diverged}",
            duration(1e9 * ran.loop_s),
        )
    notes = _training_notes(runs)
    return Group(made, Text("\n".join(notes), style="dim")) if notes else made


def _training_notes(runs: list[Training]) -> list[str]:
    """Reasons and shortened comparisons, each once, with the runs that it holds for."""
    notes: dict[str, dict[str, list[str]]] = {}
    for ran in runs:
        said = [": ".join(filter(None, (ran.reason, ran.detail)))] if ran.reason else []
        if ran.checked_steps < ran.steps:
            said.append(f"compared over the first {ran.checked_steps} steps: as far as the reference and the dtype go")
        for note in said:
            notes.setdefault(note, {}).setdefault(optimiser(ran), []).append(ran.backend)
    return [
        "; ".join(f"{name} on {', '.join(backends)}" for name, backends in where.items()) + f": {note}"
        for note, where in notes.items()
    ]


def _model(problem: ProblemResult) -> str:
    spec = problem.spec
    if "features" not in spec:
        return _user_model(problem)
    width = f", L = {spec['projection']}" if "projection" in spec else ", no projection"
    return (
        f"{problem.rows} rows, {spec['features']} features{width}; {spec['formulation']}, {spec['dtype']}, "
        f"{spec['reduction']} over rows"
    )


def _user_model(problem: ProblemResult) -> str:
    arrays = problem.spec["parameters"]
    count = sum(math.prod(shape) for _, shape, _ in arrays)
    dtypes = " and ".join(dict.fromkeys(dtype for _, _, dtype in arrays))
    return f"{count:,} parameter{'s' * (count != 1)} in {len(arrays)} array{'s' * (len(arrays) != 1)}, {dtypes}"


def _floors(found: Iterable[Finding]) -> Text:
    cells = list(found)
    if not cells:
        return Text("-", style="dim")
    shown = worst(cells)
    return Text(shown.verdict if shown.floors is None else large(shown.floors), style=STYLES.get(shown.verdict, "red"))


def _worst_ulps(found: list[Finding]) -> str:
    figures = [f for f in found if f.error_ulps is not None]
    if not figures:
        return "-"
    shown = max(figures, key=lambda f: f.floors or 0)
    return f"{large(shown.error_ulps or 0)} ulp"


def _block(found: Finding) -> str:
    index = f"[{', '.join(map(str, found.worst_index))}]" if found.worst_index else ""
    return f"{found.quantity} {found.parameter}".strip() + index


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _loss(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.12g}"
