"""Each backend in one line, its times, and which to choose for which problem: the tables of the first screen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.speed.choice import break_even, quickest
from gradparity.report.facts import words
from gradparity.report.facts.verdicts import limit_of
from gradparity.report.facts.view import Cell, Column, Figures, Head, Table, missing, number_heads, tabulated
from gradparity.results import GOOD, Finding, ProblemResult, RunResult, Timed, Timing, Training, worst

#: What the figures of errors mean, for who sees them first.
MEANING = (
    "floors: error over how far rounding alone moves the true value, up to {:g} agrees; ulp: units in its last place"
)
#: Problems up to which it is told from how many steps on another backend is better.
_MOST_TOLD = 2
#: Problems up to which each backend's times are told.
_MOST_TIMED = 3


@dataclass(frozen=True)
class Standing:
    """One backend over all problems: its verdicts, and the error furthest from its floor, with its problem's label.

    ``verdict`` and ``training`` are ``agrees`` or ``kink``, or all that are neither, with commas between; ``""`` where
    there is none.
    """

    backend: str
    verdict: str
    training: str
    shown: Finding | None
    label: str


def standings(result: RunResult, undecided: Collection[str] = ()) -> list[Standing]:
    """A line for every backend that was asked, in the order of the registry.

    Args:
        result: the run.
        undecided: backends of which nothing says that they are the ones to blame.

    Returns:
        The lines; of those ``undecided`` the verdict is that and not ``wrong``.
    """
    found = {found.backend for problem in result.problems for found in problem.findings}
    found |= {timing.backend for problem in result.problems for timing in problem.timings}
    found |= {trouble.backend for trouble in result.troubles if not is_twin(trouble.backend)}
    places = {info.name: place for place, info in enumerate(result.backends)}
    names = sorted(found, key=lambda name: (places.get(name, len(places)), name))
    return [_standing(name, result, undecided) for name in names]


def _standing(backend: str, result: RunResult, undecided: Collection[str]) -> Standing:
    findings: list[tuple[str, Finding]] = []
    trainings: list[Training] = []
    verdicts: dict[str, None] = {}
    judged = False
    for problem in result.problems:
        wrong = [each for each in problem.not_good if each.backend == backend]
        failed = any(trouble.backend == backend for trouble in problem.troubles)
        verdicts |= dict.fromkeys([each.verdict for each in wrong] or ["failed"] * failed)
        own = [found for found in problem.findings if found.backend == backend]
        judged = judged or bool(own)
        # What a problem is there to show is no error of the backend's.
        findings += [(problem.label, f) for f in own if not problem.expected or f in wrong]
        trainings += [ran for ran in problem.training if ran.backend == backend]
    shown = worst([found for _, found in findings]) if findings else None
    good = "kink" if any(found.verdict == "kink" for _, found in findings) else "agrees"
    verdict = ", ".join(verdicts) or good * judged
    bad: dict[str, None] = dict.fromkeys(ran.verdict for ran in trainings if ran.verdict not in GOOD)
    stages = (trouble.stage for trouble in result.troubles if trouble.backend == backend)
    bad |= dict.fromkeys("failed" for stage in stages if stage.startswith("training"))
    return Standing(
        backend=backend,
        verdict="undecided" if backend in undecided and verdict == "wrong" else verdict,
        training=", ".join(bad) or _fine(trainings),
        shown=shown,
        label=next((label for label, found in findings if found is shown), ""),
    )


def _fine(trainings: Sequence[Training]) -> str:
    """Of runs that are all good, whether a kink makes one diverge; ``""`` without any."""
    return "kink" if any(ran.verdict == "kink" for ran in trainings) else "agrees" * bool(trainings)


def standings_table(lines: Sequence[Standing], *, problems: Sequence[ProblemResult]) -> Table:
    """Do they agree: a row a backend with its verdict and the error that is furthest from its floor.

    Args:
        lines: what `standings` found.
        problems: of which problems; of several, each error is told with its own.

    Returns:
        The table; under it, what its figures mean.
    """

    def where(line: Standing) -> Cell:
        return Cell(line.shown.block + f", {line.label}" * (len(problems) > 1) if line.shown else "-", kind="muted")

    columns: list[Column[Standing]] = [
        Column("backend", lambda line: Cell(line.backend)),
        Column("verdict", lambda line: words.verdict_cell(line.verdict)),
        Figures(
            "relative error",
            lambda line: words.relative(line.shown.relative_error if line.shown else None),
            title="largest error of the block over its largest true value",
        ),
        Figures(
            "floors",
            lambda line: words.sized(line.shown.floors if line.shown else None),
            title="error over its noise floor",
        ),
        Figures(
            "ulp",
            lambda line: words.sized(words.ulps(line.shown) if line.shown else None),
            title="error in units in the last place",
            extra=True,
        ),
        Column("in", where),
        Column("training", lambda line: words.verdict_cell(line.training), shown=any(line.training for line in lines)),
    ]
    return tabulated("Do they agree?", lines, columns, [MEANING.format(limit_of(problems))])


def choices_table(problems: Sequence[ProblemResult], asked: int) -> Table:
    """Which to choose: a row a problem; of one or two, from how many steps on another is better.

    Args:
        problems: those that were timed.
        asked: steps to choose for, where a problem has no choice of its own.

    Returns:
        The table.
    """
    steps = next((p.recommendation.steps for p in problems if p.recommendation), asked)
    told = problems if len(problems) <= _MOST_TOLD else []
    notes = [f"{problem.label}, {said}" for problem in told if (said := _break_even(problem))]
    notes += why_not(told)
    columns: list[Column[ProblemResult]] = [
        Column("choose", lambda p: Cell(p.label)),
        Column(
            f"for {steps:,} steps in all",
            lambda p: Cell((" or ".join(p.recommendation.choice) if p.recommendation else "") or "-"),
        ),
        Column("quickest step", lambda p: _quickest(quickest(p, lambda timing: timing.step))),
        Column("quickest loop", lambda p: _quickest(quickest(p, lambda timing: timing.loop))),
    ]
    return tabulated("Which to choose?", problems, columns, notes)


def choices_together(problems: Sequence[ProblemResult]) -> Table:
    """Which to choose, a row a choice: on how many of the problems it is that, the most frequent first."""
    chosen: dict[str, list[str]] = {}
    for problem in problems:
        if problem.recommendation is not None and problem.recommendation.choice:
            chosen.setdefault(" or ".join(problem.recommendation.choice), []).append(problem.label)
    steps = next((problem.recommendation.steps for problem in problems if problem.recommendation), 1)
    rows = [
        [Cell(name), Cell(f"on {words.counted(len(labels), 'problem')}")]
        for name, labels in sorted(chosen.items(), key=lambda each: -len(each[1]))
    ]
    return Table("Which to choose?", [Head("choose"), Head(f"for {steps:,} steps in all")], rows)


def why_not(problems: Sequence[ProblemResult]) -> list[str]:
    """Why backends that agree are none to choose, a reason once: a gradient by hand, timings that are unstable."""
    kept = ("is left out: its ", "is none to choose")
    where: dict[str, list[str]] = {}
    for problem in problems:
        for reason in problem.recommendation.reasons if problem.recommendation else ():
            if any(said in reason for said in kept):
                where.setdefault(reason.partition(" (")[0], []).append(problem.label)
    everywhere = len(problems)
    return [why + f" on {words.listed(on)}" * (len(on) < everywhere) for why, on in where.items()]


def _break_even(problem: ProblemResult) -> str:
    """From how many steps on another backend is better: in loops where there are any, else step by step."""
    found = problem.recommendation
    looped = any(timing.loop is not None and timing.loop.step_ns is not None for timing in problem.timings)
    if found is not None and looped and found.spans:
        return f"in a loop of its own: {break_even(found.spans, found.steps)}"
    return (
        f"step by step from Python: {break_even(found.step_spans, found.steps)}"
        if found is not None and found.step_spans
        else ""
    )


def _quickest(found: tuple[list[str], float] | None) -> Cell:
    if found is None:
        return missing()
    names, step_ns = found
    return Cell(" or ".join(names), step_ns, words.nanoseconds(step_ns).text)


def times_table(problems: Sequence[ProblemResult]) -> Table | None:
    """How long they take: of one problem with speed and start, of two or three a column each; of more, no table."""
    timed = [problem for problem in problems if any(timing.starts for timing in problem.timings)]
    if len(timed) == 1:
        return problem_times(timed[0])
    if not 1 < len(timed) <= _MOST_TIMED:
        return None
    names = dict.fromkeys(timing.backend for problem in timed for timing in problem.timings)
    rows = [[Cell(name), *(_both(problem, name) for problem in timed)] for name in names]
    labels = [problem.label for problem in timed]
    return Table("How long do they take?", number_heads("step, and in a loop", *labels), rows)


def problem_times(problem: ProblemResult) -> Table:
    """A row a backend: its step, its loop, how its step compares with the reference's, and its start."""
    reference = words.reference([t.backend for t in problem.timings if _median(t.step) is not None], problem)
    columns: list[Column[Timing]] = [
        Column("backend", lambda t: Cell(t.backend)),
        Figures("step", lambda t: words.nanoseconds(_median(t.step))),
        Figures("loop", lambda t: words.nanoseconds(_median(t.loop))),
        Figures(words.speed_head(reference), lambda t: words.speed(t.step, reference=t.backend == reference)),
        Column("verdict", lambda t: words.verdict_cell(_verdict(t, reference))),
        Figures("start", lambda t: words.seconds(t.start_s if t.starts else None)),
    ]
    return tabulated("How long do they take?", problem.timings, columns)


def _both(problem: ProblemResult, backend: str) -> Cell:
    for timing in problem.timings:
        if timing.backend == backend and timing.starts:
            step, loop = (words.nanoseconds(_median(timed)) for timed in (timing.step, timing.loop))
            return Cell(f"{step.text}, {loop.text}", step.value)
    return missing()


def _verdict(timing: Timing, reference: str) -> str:
    return "reference" if timing.backend == reference else (timing.step and timing.step.speed) or ""


def _median(timed: Timed | None) -> float | None:
    return timed.step_ns.median if timed is not None and timed.step_ns is not None else None
