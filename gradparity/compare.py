"""Two runs side by side: what became faster or slower, and whether any verdict of correctness changed. Pure.

The runs were not interleaved, so drift between them is not cancelled: the intervals are those of each run's own steps,
combined at their worst, and the larger floor of the two runs decides what is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from bench.stats import FLOOR, Comparison, MedianInterval
from bench.stats import Verdict as SpeedVerdict
from bench.stats import verdict as speed_verdict
from gradparity.results import ProblemResult, RunResult, Timing

#: Facts of the machine that change timings.
_MACHINE = ("cpu", "cores", "usable_cores", "system", "python")
#: Settings under which the same name is another problem.
_MODEL = ("projection", "formulation", "numerics", "reduction", "dtype", "l2", "logit_scale", "features")


#: In place of a verdict, where a run does not have that backend or problem.
ABSENT = "absent"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One backend on one problem: its speed in the new run over that in the old, and its verdicts in both."""

    problem: str
    backend: str
    speed: SpeedVerdict | None
    ratio: float | None
    low: float | None
    high: float | None
    old_verdict: str
    new_verdict: str

    @property
    def verdict_changed(self) -> bool:
        """Whether correctness is not what it was; a backend that one run did not have changed nothing."""
        return self.old_verdict != self.new_verdict and ABSENT not in (self.old_verdict, self.new_verdict)


class RunComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Differences of the surroundings first, then every backend and problem that either run has."""

    surroundings: list[str]
    changes: list[Change]

    @property
    def ok(self) -> bool:
        """Whether no verdict of correctness changed."""
        return not any(change.verdict_changed for change in self.changes)


def compare_runs(old: RunResult, new: RunResult) -> RunComparison:
    """What changed from ``old`` to ``new``."""
    before, after = ({_key(p): p for p in run.problems} for run in (old, new))
    return RunComparison(
        surroundings=list(_surroundings(old, new)),
        changes=[
            change for key in dict.fromkeys([*before, *after]) for change in _changes(before.get(key), after.get(key))
        ],
    )


def _key(problem: ProblemResult) -> tuple[Any, ...]:
    return (problem.name, problem.digest, *(problem.spec.get(name) for name in _MODEL))


def _surroundings(old: RunResult, new: RunResult) -> Iterator[str]:
    """Each difference that makes timings incomparable, in words."""
    for name in _MACHINE:
        if old.machine.get(name) != new.machine.get(name):
            yield f"{name}: {old.machine.get(name)} -> {new.machine.get(name)}"
    if old.settings.get("threads") != new.settings.get("threads"):
        yield f"threads: {old.settings.get('threads')} -> {new.settings.get('threads')}"
    before, after = (
        {name: version for info in run.backends for name, version in info.versions.items()} for run in (old, new)
    )
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}"


def _changes(old: ProblemResult | None, new: ProblemResult | None) -> Iterator[Change]:
    present = [problem for problem in (old, new) if problem is not None]
    for backend in dict.fromkeys(finding.backend for problem in present for finding in problem.findings):
        ratio = _ratio(_timing(old, backend), _timing(new, backend))
        floor = max([FLOOR, *(problem.control.floor for problem in present if problem.control is not None)])
        yield Change(
            problem=present[0].name,
            backend=backend,
            speed=None if ratio is None else speed_verdict(ratio, floor),
            ratio=ratio.ratio if ratio else None,
            low=ratio.low if ratio else None,
            high=ratio.high if ratio else None,
            old_verdict=_verdicts(old, backend),
            new_verdict=_verdicts(new, backend),
        )


def _timing(problem: ProblemResult | None, backend: str) -> MedianInterval | None:
    timings: list[Timing] = [] if problem is None else problem.timings
    return next((timing.step_ns for timing in timings if timing.backend == backend), None)


def _ratio(old: MedianInterval | None, new: MedianInterval | None) -> Comparison | None:
    """Old time over new time, so that above 1 is faster, with the interval that both steps' own allow at worst."""
    if old is None or new is None:
        return None
    return Comparison(
        ratio=old.median / new.median,
        low=old.low / new.high,
        high=old.high / new.low,
        half_width=None,
        pairs=1,
        rounds=min(old.count, new.count),
        discarded=0,
        within_process=True,
    )


def _verdicts(problem: ProblemResult | None, backend: str) -> str:
    if problem is None:
        return ABSENT
    if not any(finding.backend == backend for finding in problem.findings):
        return ABSENT
    bad = dict.fromkeys(found.verdict for found in problem.not_good if found.backend == backend)
    return ", ".join(bad) or "agrees"
