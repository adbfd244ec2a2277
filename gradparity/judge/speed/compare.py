"""Two runs side by side: what became faster or slower, and which verdicts of correctness became worse or better. Pure.

The interval of a ratio has that of either run's own steps and the scatter between processes that its A/A control
showed; the larger floor of the two runs decides what is called.

The runs were not taken in turns. Where nothing changed that the reference depends on, its own change is the machine's:
a backend is then called faster or slower only where it also is against the reference of either run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from gradparity.benchmark.stats import FLOOR, Comparison, Control, MedianInterval, control, t_quantile
from gradparity.benchmark.stats import Verdict as SpeedVerdict
from gradparity.benchmark.stats import verdict as speed_verdict
from gradparity.judge.changes import ABSENT, BlockChange, Kind, backends_of, changes
from gradparity.results import GOOD, ProblemResult, RunResult, Timed, label
from gradparity.results.blocks import Call, disturbed_of, rounds_of, timed_of, timing_of

#: Facts of the machine that change timings.
_MACHINE = ("cpu", "cores", "usable_cores", "system", "python")
#: Settings under which the same name is another problem.
_MODEL = ("projection", "formulation", "numerics", "reduction", "dtype", "l2", "logit_scale", "features")
#: Settings that a problem's name does not tell, and what else a timing depends on.
_SETTINGS = ("profile", "numerics", "reduction", "l2", "logit_scale", "seed")
#: In the order in which they are told, before versions.
_NAMED = (*_MACHINE, "threads", "command", *_SETTINGS)
#: A median of fewer blocks than four has no interval to speak of: two reach 50%, three 75%, four 87.5%.
_FEW_BLOCKS = 4


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Nanoseconds per gradient step in both runs; ``ratio`` is the old over the new: above 1 is faster.

    ``low`` and ``high`` are its 95% interval, ``None`` where there were too few blocks for one. ``against_reference``
    is the same ratio with the reference's own change taken out; where there is one, the interval covers both.
    """

    verdict: SpeedVerdict
    old_ns: float
    new_ns: float
    ratio: float
    low: float | None
    high: float | None
    against_reference: float | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One backend on one problem: its speed in the new run against the old, and its verdicts in both.

    ``step`` and ``loop`` are ``None`` where not both runs timed them. The verdicts are of what both runs checked, each
    once; ``blocks`` has every block of either run, and ``kind`` is what they come to: ``worse`` where one is. ``model``
    is the problem's name without its seed.
    """

    problem: str
    backend: str
    step: Speed | None
    loop: Speed | None
    old_verdict: str
    new_verdict: str
    kind: Kind
    blocks: list[BlockChange]
    model: str = ""

    def of(self, kind: Kind) -> list[BlockChange]:
        """The blocks of which that became."""
        return [block for block in self.blocks if block.kind == kind]

    @property
    def still(self) -> list[BlockChange]:
        """The blocks that were not good and are as they were."""
        return [block for block in self.of("same") if block.new not in GOOD]


class RunComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Differences of the surroundings first, then every backend and problem that either run has."""

    surroundings: list[str]
    finished: bool
    changes: list[Change]

    @property
    def ok(self) -> bool:
        """Whether the new run was finished and nothing in it is worse; what it did not check is not worse."""
        return self.finished and self.compared and not self.worse

    @property
    def worse(self) -> bool:
        """Whether anything is."""
        return any(change.kind == "worse" for change in self.changes)

    @property
    def compared(self) -> bool:
        """Whether there is a block that both runs have a verdict on, or a call that both have timed."""
        blocks = (block for change in self.changes for block in change.blocks)
        timed = any(change.step or change.loop for change in self.changes)
        return timed or any(ABSENT not in (block.old, block.new) for block in blocks)


def compare_runs(old: RunResult, new: RunResult) -> RunComparison:
    """What changed from ``old`` to ``new``.

    Problems are the same with the same data, model and number of threads. Where each run has one number of threads, and
    these differ, it is what the runs are to be compared by, and named among the surroundings.
    """
    counts = _threads(old), _threads(new)
    across = counts[0] != counts[1] and len(counts[0]) == len(counts[1]) == 1
    before, after = ({_key(p, across=across): p for p in run.problems} for run in (old, new))
    unchanged = _unchanged(old, new)
    return RunComparison(
        surroundings=list(_surroundings(old, new)),
        finished=new.complete,
        changes=[
            change
            for key in dict.fromkeys([*before, *after])
            for change in _changes(before.get(key), after.get(key), unchanged)
        ],
    )


def _key(problem: ProblemResult, *, across: bool) -> tuple[Any, ...]:
    model = (problem.spec.get(name) for name in _MODEL)
    return (problem.name, problem.digest, problem.seed, *model, None if across else problem.threads)


def _threads(run: RunResult) -> list[int]:
    return sorted(set(run.settings.get("thread_counts") or [run.settings.get("threads", 1)]))


def _unchanged(old: RunResult, new: RunResult) -> set[str]:
    """Backends with the same versions on the same machine with as many threads: what they take only drifts."""
    same = all(old.machine.get(name) == new.machine.get(name) for name in _MACHINE)
    if not same or _threads(old) != _threads(new) or old.gradparity_version != new.gradparity_version:
        return set()
    before = {info.name: info.versions for info in old.backends}
    return {info.name for info in new.backends if info.versions and info.versions == before.get(info.name)}


def _surroundings(old: RunResult, new: RunResult) -> Iterator[str]:
    """Each difference that makes timings incomparable, in words."""
    for which, run in (("old", old), ("new", new)):
        if not run.complete:
            yield f"the {which} run was not finished"
    before, after = _facts(old), _facts(new)
    places = {name: place for place, name in enumerate(_NAMED)}
    for name in sorted({*before, *after}, key=lambda name: (places.get(name, len(places)), name)):
        if before.get(name, ABSENT) != after.get(name, ABSENT):
            yield f"{name}: {before.get(name, ABSENT)} -> {after.get(name, ABSENT)}"


def _facts(run: RunResult) -> dict[str, Any]:
    """All that timings depend on, by name; versions stand by the name of their package."""
    return {
        **{name: version for info in run.backends for name, version in info.versions.items()},
        "gradparity": run.gradparity_version,
        **{name: run.settings.get(name) for name in _SETTINGS},
        **{name: run.machine.get(name) for name in _MACHINE},
        "threads": " and ".join(map(str, _threads(run))),
        "command": run.command,
    }


def _changes(old: ProblemResult | None, new: ProblemResult | None, unchanged: set[str]) -> Iterator[Change]:
    present = [problem for problem in (old, new) if problem is not None]
    one = present[0]
    # Across numbers of threads it is neither the one nor the other.
    threads = one.threads if all(problem.threads == one.threads for problem in present) else 1
    for backend in dict.fromkeys(name for problem in present for name in backends_of(problem)):
        blocks = changes(old, new, backend)
        both = [block for block in blocks if ABSENT not in (block.old, block.new)]
        yield Change(
            problem=label(one.name, one.spec, threads, one.seed),
            backend=backend,
            step=_speed(old, new, backend, "step", unchanged),
            loop=_speed(old, new, backend, "loop", unchanged),
            old_verdict=_in_short([block.old for block in both or blocks]),
            new_verdict=_in_short([block.new for block in both or blocks]),
            kind=next((kind for kind in _WEIGHTS if any(block.kind == kind for block in blocks)), "same"),
            blocks=blocks,
            model=label(one.name, one.spec, threads),
        )


#: What a backend's blocks come to: the first of these that one of them is.
_WEIGHTS: tuple[Kind, ...] = ("worse", "changed", "better", "same", "new", "gone")


def _in_short(verdicts: list[str]) -> str:
    """The verdicts, each once; those that agree are told where nothing else is to be."""
    seen = dict.fromkeys(verdict for verdict in verdicts if verdict != ABSENT)
    return ", ".join(verdict for verdict in seen if verdict != "agrees") or ("agrees" if seen else ABSENT)


def _speed(
    old: ProblemResult | None, new: ProblemResult | None, backend: str, call: Call, unchanged: set[str]
) -> Speed | None:
    """What may be said of the backend's steps or loops, by the same rule as within a run."""
    if old is None or new is None:
        return None
    before, after = (timed_of(timing_of(problem, backend), call) for problem in (old, new))
    if before is None or after is None or before.step_ns is None or after.step_ns is None:
        return None
    controls = [(p.control if call == "step" else p.loop_control) or control() for p in (old, new)]
    ratio = before.step_ns.median / after.step_ns.median
    width = _half_width([(before.step_ns, before, controls[0]), (after.step_ns, after, controls[1])])
    low, high = (None, None) if width is None else (ratio * math.exp(-width), ratio * math.exp(width))
    against = None
    if old.reference == new.reference and new.reference in unchanged:
        against = (1.0, 0.0) if backend == new.reference else _against_reference(before.ratio, after.ratio)
    if against is not None and low is not None and high is not None:
        low, high = min(low, against[0] * math.exp(-against[1])), max(high, against[0] * math.exp(against[1]))
    rounds, discarded = max((_disturbed(p, backend, call) for p in (old, new)), key=lambda n: n[1] / max(n[0], 1))
    comparison = Comparison(
        ratio=ratio,
        low=low,
        high=high,
        half_width=width,
        pairs=min(len(before.inner), len(after.inner)),
        rounds=rounds,
        discarded=discarded,
        within_process=True,
    )
    return Speed(
        verdict=speed_verdict(comparison, max(FLOOR, *(each.floor for each in controls))),
        old_ns=before.step_ns.median,
        new_ns=after.step_ns.median,
        ratio=ratio,
        low=low,
        high=high,
        against_reference=against and against[0],
    )


def _against_reference(old: Comparison | None, new: Comparison | None) -> tuple[float, float] | None:
    """How many times as fast it became, by its ratios to the reference in either run, and the half-width of its log."""
    if old is None or new is None or not old.ratio or not new.ratio:
        return None
    if old.half_width is None or new.half_width is None:
        return None
    return new.ratio / old.ratio, math.hypot(old.half_width, new.half_width)


def _half_width(runs: list[tuple[MedianInterval, Timed, Control]]) -> float | None:
    """Half-width of the 95% interval of the log ratio: that of both medians, and of the processes they were taken in.

    An A/A pair has two processes, so that one has half the variance ``between_sd ** 2``; degrees of freedom combine
    after Welch (1947), The generalization of Student's problem, Biometrika 34. Median and process are independent:
    their half-widths add in squares.
    """
    if any(step.count < _FEW_BLOCKS for step, _, _ in runs):
        return None
    medians = sum(max(math.log(s.high / s.median), math.log(s.median / s.low)) ** 2 for s, _, _ in runs)
    terms = [(aa.between_sd**2 / 2 / max(len(timed.inner), 1), aa.between_df) for _, timed, aa in runs]
    variance = sum(term for term, _ in terms)
    df = variance**2 / sum(term**2 / df for term, df in terms)
    return math.sqrt(medians + t_quantile(df) ** 2 * variance)


def _disturbed(problem: ProblemResult, backend: str, call: Call) -> tuple[int, int]:
    """Rounds that the backend took part in, and how many of them say nothing of it: it was disturbed, or its ratio.

    A round of the reference in which the other alone was disturbed is a good one of the reference.
    """
    if backend == problem.reference:
        return disturbed_of(problem, backend, call)
    rounds = rounds_of(problem, backend, call)
    return len(rounds), sum(each.disturbed for each in rounds)
