"""What the other formulations of the built-in model give: which there are, on whom they are timed, and the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradparity.benchmark.profiles import Profile
from gradparity.benchmark.rounds import pair_values
from gradparity.benchmark.stats import compare, median_interval, verdict
from gradparity.judge.speed.choice import BY_HAND
from gradparity.model_spec.spec import Formulation, Logistic, ProjectedLogistic
from gradparity.results import Formulated, ProblemResult, Timed

FORMULATIONS: tuple[Formulation, ...] = ("as_written", "reassociated", "blocked")


def others(spec: Logistic) -> Sequence[Formulation]:
    """Those that would compute something else: without a projection there is nothing to reassociate."""
    same = {spec.formulation} if isinstance(spec, ProjectedLogistic) else {"as_written", "reassociated"}
    return [each for each in FORMULATIONS if each not in same]


def ranked(problem: ProblemResult) -> list[str]:
    """Backends that agree, by their median step; the closed form last."""
    bad = {found.backend for found in problem.not_good}
    timed = [
        (timing.backend == BY_HAND, timing.step.step_ns.median, timing.backend)
        for timing in problem.timings
        if timing.step and timing.step.step_ns and timing.backend not in bad
    ]
    return [name for _, _, name in sorted(timed)]


def formulated(
    problem: ProblemResult, spec: Logistic, formulation: Formulation, backend: str, timed: Timed, profile: Profile
) -> Formulated:
    """The verdict on another formulation, from its rounds against the problem's own."""
    aa, limits = problem.control, problem.limits
    ratio = compare(pair_values(timed.rounds), profile, aa)
    other = replace(spec, formulation=formulation)
    return Formulated(
        formulation=formulation,
        backend=backend,
        step_ns=median_interval([block.call_ns for each in timed.rounds for block in each.challenger]),
        ratio=ratio,
        speed=verdict(ratio, aa.floor if aa else 0.0),
        floor_ns=limits.floor_of(other, problem.rows) if limits else None,
    )
