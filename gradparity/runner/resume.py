"""What an earlier session has measured, for the next one to go on from. Pure.

What came to its end is kept: a backend's check, one kind of call in one process pair, a problem. What was under way is
measured again, and so is what failed or did not fit into a time budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import msgspec

from gradparity.model_spec.errors import InputError
from gradparity.results import ProblemResult, RunResult, Timed, Timing
from gradparity.results.blocks import CALLS, Call, timed_of
from gradparity.runner.plan import Plan

#: What is at fault where a session cannot go on from an earlier one.
RESUME = "--resume"
#: Settings that may be others when a run goes on: they say how much may be spent, or where from, and not what.
_FREE = frozenset({"out", "budget_s", "allowance", "defaults", "baseline", "scheduler"})
#: Facts of the machine without which figures of two sessions are not of one run.
_MACHINE = ("cpu", "cores", "usable_cores", "python")

JUDGED, TIMED, UNCERTIFIED, UNTIMELY = "judged", "timed", "uncertified", "no time for the truth"
#: What it is that was not compared where a function of a backend's program is not compiled.
COMPILED = {
    "value_and_gradient": "compiled program",
    "jvp": "compiled JVP",
    "hvp": "compiled HVP",
    "descend": "compiled loop",
}
#: What is said where no two backends answered, until they do.
NOTHING_TO_COMPARE = "nothing to compare"


def stage(call: Call, pair: int) -> str:
    """What one kind of call in one process pair is called among the stages that came to their end."""
    return f"{call} {pair}"


def require_same(old: RunResult, new: RunResult) -> None:
    """See that the earlier session was of this very run.

    Raises:
        InputError: another command, version, machine or setting; the message says which.
    """
    facts = [
        ("gradparity", old.gradparity_version, new.gradparity_version),
        ("command", old.command, new.command),
        *((name, old.machine.get(name), new.machine.get(name)) for name in _MACHINE),
        *(
            (name, old.settings.get(name), new.settings.get(name))
            for name in dict.fromkeys([*new.settings, *old.settings])
            if name not in _FREE
        ),
    ]
    for name, before, now in facts:
        if before != now:
            raise InputError(
                RESUME,
                got=f"{name}: {now!r}, which was {before!r}",
                expected="the same command on the same machine as before",
                cure="Repeat the command as it was, or start anew without --resume.",
            )


def require_same_problem(old: ProblemResult, new: ProblemResult) -> None:
    """See that the data and the model are those of the earlier session.

    Raises:
        InputError: they have changed meanwhile.
    """
    if (old.digest, old.source_digest, old.rows) != (new.digest, new.source_digest, new.rows):
        what = "data" if old.digest != new.digest or old.rows != new.rows else "model"
        raise InputError(
            RESUME,
            got=f"{new.label}, whose {what} changed since",
            expected="the same as before",
            cure="Start anew without --resume.",
        )


def require_same_versions(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """See that a backend computes with what it did before.

    Raises:
        InputError: a package has another version now.
    """
    if old and dict(old) != dict(new):
        before, now = (", ".join(f"{k} {v}" for k, v in sorted(each.items())) for each in (old, new))
        raise InputError(
            RESUME,
            got=f"{name} with {now}, which was {before}",
            expected="the same versions as before",
            cure="Install those again, or start anew without --resume.",
        )


def require_installed(name: str, old: Mapping[str, str]) -> None:
    """See, before any process is started, that what a backend computed with is what is installed here.

    Raises:
        InputError: a package has another version now.
    """
    now = dict(old)
    for package in old:
        with suppress(PackageNotFoundError):
            now[package] = version(package)
    local = {package for package in old if now[package].partition("+")[0] == old[package].partition("+")[0]}
    require_same_versions(name, old, now | {package: old[package] for package in local})


def is_done(problem: ProblemResult, plan: Plan) -> bool:
    """Whether nothing is left to do on a problem: all was judged and timed, nobody failed, nothing was left out."""
    needed = {JUDGED, TIMED} if plan.timed else {JUDGED}
    left = problem.troubles or problem.left_out or cut_short(problem) or UNTIMELY in problem.stages
    return needed <= set(problem.stages) and not left


def cut_short(problem: ProblemResult) -> set[str]:
    """Backends that were checked with less than all: a larger budget may have time for it. Or without any verdict."""
    found = {each.backend for each in problem.not_given if each.quantity in COMPILED.values()}
    ran = {each.backend for each in problem.checked}
    found |= ran - {each.backend for each in problem.findings}
    return found | {name for name in ran if any(said.startswith(f"{name}: training") for said in problem.left_out)}


def kept(problem: ProblemResult) -> ProblemResult:
    """What came to its end on a problem, to go on from."""
    untimely = UNTIMELY in problem.stages  # a larger budget may have time for the truth
    short = cut_short(problem)
    judged = JUDGED in problem.stages and not problem.troubles and not untimely and not short
    # Without a truth backends are judged by all answers together, which live in the processes.
    checked = [] if (UNCERTIFIED in problem.stages or untimely) and not judged else problem.checked
    checked = [each for each in checked if each.backend not in short]
    names = {each.backend for each in checked} | ({each.name for each in problem.recorded} if judged else set())
    again = {JUDGED, TIMED} if problem.troubles or short else {TIMED} if problem.left_out else set()
    again |= {JUDGED, TIMED, UNCERTIFIED, UNTIMELY} if untimely else set()
    return msgspec.structs.replace(
        problem,
        checked=list(checked),
        stages=[each for each in problem.stages if each not in again],
        findings=[found for found in problem.findings if found.backend in names],
        training=[ran for ran in problem.training if ran.backend in names],
        timings=[_finished(timing, problem.stages) for timing in problem.timings if timing.backend in names],
        not_given=[each for each in problem.not_given if each.backend in names],
        twin=_finished(problem.twin, problem.stages) if problem.twin else None,
        diagnoses=[said for said in problem.diagnoses if said.name != NOTHING_TO_COMPARE and not untimely],
        pairwise=None if untimely else problem.pairwise,
        troubles=[],
        left_out=[],
        recommendation=None,
    )


def _finished(timing: Timing, stages: Sequence[str]) -> Timing:
    """What the clock saw of a backend in the process pairs whose steps, or loops, came to their end."""
    return msgspec.structs.replace(
        timing, **{call: _finished_pairs(timed_of(timing, call), call, stages) for call in CALLS}
    )


def _finished_pairs(timed: Timed | None, call: Call, stages: Sequence[str]) -> Timed | None:
    places = [place for place, pair in enumerate(timed.pairs) if stage(call, pair) in stages] if timed else []
    if timed is None or not places:
        return None
    pairs = [timed.pairs[place] for place in places]
    return Timed(
        steps=timed.steps,
        pairs=pairs,
        inner=[timed.inner[place] for place in places],
        warm_ups=[timed.warm_ups[place] for place in places],
        rounds=[each for each in timed.rounds if each.pair in pairs],
        blocks=timed.blocks,  # of which pair those outside any round are, they do not say; all count alike
    )


def untimed(problem: ProblemResult, names: Sequence[str]) -> list[str]:
    """Backends whose steps, or whose loops where there are loops, were not timed to the end."""
    loops = TIMED not in problem.stages or any(timing.loop for timing in problem.timings)
    seen = {call: {timing.backend for timing in problem.timings if timed_of(timing, call)} for call in CALLS}
    return [name for name in names if name not in seen["step"] or (loops and name not in seen["loop"])]
