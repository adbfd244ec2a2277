"""Each backend in one line, and which to choose for which problem. Pure facts, for every kind of report."""

from __future__ import annotations

from dataclasses import dataclass

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.speed.choice import Quickest, break_even, quickest
from gradparity.results import GOOD, Finding, ProblemResult, RunResult, Timed, Timing, Training, worst


@dataclass(frozen=True, kw_only=True)
class Clocked:
    """One backend's times on one problem: nanoseconds a step from Python and in its own loop, seconds to start.

    ``ratio`` is how many times as fast as the reference its step is, ``low`` and ``high`` its interval; ``speed`` the
    verdict on it, ``reference`` for the reference itself.
    """

    problem: str
    step_ns: float | None
    loop_ns: float | None
    ratio: float | None
    low: float | None
    high: float | None
    speed: str
    start_s: float


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One backend over all problems: its verdicts, the error furthest from its floor and where, training, times.

    ``verdict`` is ``agrees``, or all that are not, with commas between; ``""`` where it has none. ``worst_problem`` and
    ``worst_block`` name the block whose ``floors`` and ``error_ulps`` are given. ``agreeing`` of ``judged`` problems
    are without a verdict that is not good.
    """

    backend: str
    verdict: str
    floors: float | None
    error_ulps: float | None
    worst_problem: str
    worst_block: str
    training: str
    agreeing: int
    judged: int
    clock: tuple[Clocked, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which backend to take on one problem for so many steps: ``chosen`` has ties; empty where none may be.

    ``quickest_step`` and ``quickest_loop`` leave out the closed form, and who is off. ``sentences`` say from how many
    steps on another is better; ``reasons`` are all that speaks for the choice.
    """

    problem: str
    steps: int
    chosen: tuple[str, ...]
    quickest_step: Quickest | None
    quickest_loop: Quickest | None
    sentences: tuple[str, ...]
    reasons: tuple[str, ...]


def standings(result: RunResult) -> tuple[Standing, ...]:
    """A line for every backend that was asked, in the order of the registry."""
    found = {found.backend for problem in result.problems for found in problem.findings}
    found |= {timing.backend for problem in result.problems for timing in problem.timings}
    found |= {trouble.backend for trouble in result.troubles if not is_twin(trouble.backend)}
    places = {info.name: place for place, info in enumerate(result.backends)}
    names = sorted(found, key=lambda name: (places.get(name, len(places)), name))
    return tuple(_standing(name, result) for name in names)


def choices(result: RunResult) -> tuple[Choice, ...]:
    """One for every problem that was timed."""
    return tuple(_choice(problem, result.settings.get("steps", 1)) for problem in result.problems if problem.timings)


def _choice(problem: ProblemResult, asked: int) -> Choice:
    found = problem.recommendation
    sentences = []
    if found is not None:
        looped = any(timing.loop is not None and timing.loop.step_ns is not None for timing in problem.timings)
        sentences = [f"in a loop of its own: {break_even(found.spans)}"] if looped and found.spans else []
        sentences += [f"step by step from Python: {break_even(found.step_spans)}"] if found.step_spans else []
    return Choice(
        problem=problem.label,
        steps=found.steps if found is not None else asked,
        chosen=tuple(found.choice) if found is not None else (),
        quickest_step=quickest(problem, lambda timing: timing.step),
        quickest_loop=quickest(problem, lambda timing: timing.loop),
        sentences=tuple(sentences),
        reasons=tuple(found.reasons) if found is not None else (),
    )


def _standing(backend: str, result: RunResult) -> Standing:
    findings: list[tuple[str, Finding]] = []
    trainings: list[Training] = []
    bad: dict[str, list[str]] = {}
    judged: set[str] = set()
    for problem in result.problems:
        wrong = [each for each in problem.not_good if each.backend == backend]
        if wrong or any(trouble.backend == backend for trouble in problem.troubles):
            bad[problem.label] = [each.verdict for each in wrong] or ["failed"]
        own = [found for found in problem.findings if found.backend == backend]
        if own or problem.label in bad:
            judged.add(problem.label)
        # What a problem is there to show is no error of the backend's.
        findings += [(problem.label, f) for f in own if not problem.expected or f in wrong]
        trainings += [ran for ran in problem.training if ran.backend == backend]
    shown = worst([found for _, found in findings]) if findings else None
    label = next((label for label, found in findings if found is shown), "")
    verdicts = dict.fromkeys(verdict for each in bad.values() for verdict in each)
    return Standing(
        backend=backend,
        verdict=", ".join(verdicts) or ("agrees" if judged else ""),
        floors=shown.floors if shown else None,
        error_ulps=shown.error_ulps if shown else None,
        worst_problem=label,
        worst_block=f"{shown.quantity} {shown.parameter}".strip() if shown else "",
        training=", ".join(dict.fromkeys(ran.verdict for ran in trainings if ran.verdict not in GOOD))
        or ("agrees" if trainings else ""),
        agreeing=len(judged) - len(bad),
        judged=len(judged),
        clock=tuple(
            _clocked(problem.label, timing)
            for problem in result.problems
            for timing in problem.timings
            if timing.backend == backend and timing.starts
        ),
    )


def _clocked(label: str, timing: Timing) -> Clocked:
    ratio = timing.step.ratio if timing.step is not None else None
    return Clocked(
        problem=label,
        step_ns=_median(timing.step),
        loop_ns=_median(timing.loop),
        ratio=ratio.ratio if ratio else None,
        low=ratio.low if ratio else None,
        high=ratio.high if ratio else None,
        speed=(timing.step.speed or "reference") if timing.step is not None else "",
        start_s=timing.start_s,
    )


def _median(timed: Timed | None) -> float | None:
    return timed.step_ns.median if timed is not None and timed.step_ns is not None else None
