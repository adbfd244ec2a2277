"""What an earlier sitting has measured, for the next one to go on from. Pure.

What came to its end is kept: a backend's check, one kind of call in one process pair, a problem. What was under way is
measured again, and so is what failed or did not fit into a time budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gradparity.judge.speed.summary import Sampled
from gradparity.model_spec.errors import InputError
from gradparity.results import ProblemResult, RunResult, Timed, Timing
from gradparity.results.blocks import CALLS, Call, timed_of

#: Settings that may be others when a run goes on: they say how much may be spent, and not what is measured.
_FREE = frozenset({"out", "budget_s", "allowance"})
#: Facts of the machine without which figures of two sittings are not of one run.
_MACHINE = ("cpu", "cores", "usable_cores", "python")

JUDGED, TIMED, UNCERTIFIED = "judged", "timed", "uncertified"
#: What is said where no two backends answered, until they do.
NOTHING_TO_COMPARE = "nothing to compare"


def stage(call: Call, pair: int) -> str:
    """What one kind of call in one process pair is called among the stages that came to their end."""
    return f"{call} {pair}"


def require_same(old: RunResult, new: RunResult) -> None:
    """See that the earlier sitting was of this very run.

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
                "--resume",
                got=f"{name}: {now!r}, which was {before!r}",
                expected="the same command on the same machine as before",
                cure="Repeat the command as it was, or start anew without --resume.",
            )


def require_same_problem(old: ProblemResult, new: ProblemResult) -> None:
    """See that the data and the model are those of the earlier sitting.

    Raises:
        InputError: they have changed meanwhile.
    """
    if (old.digest, old.source_digest, old.rows) != (new.digest, new.source_digest, new.rows):
        what = "data" if old.digest != new.digest or old.rows != new.rows else "model"
        raise InputError(
            "--resume",
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
            "--resume",
            got=f"{name} with {now}, which was {before}",
            expected="the same versions as before",
            cure="Install those again, or start anew without --resume.",
        )


def is_done(problem: ProblemResult, command: str) -> bool:
    """Whether nothing is left to do on a problem: all was judged and timed, nobody failed, nothing was left out."""
    needed = {JUDGED} if command == "check" else {JUDGED, TIMED}
    return needed <= set(problem.stages) and not problem.troubles and not problem.left_out


def kept(problem: ProblemResult) -> ProblemResult:
    """What came to its end on a problem, to go on from."""
    judged = JUDGED in problem.stages and not problem.troubles
    # Without a truth backends are judged by all answers together, which live in the processes.
    checked = [] if UNCERTIFIED in problem.stages and not judged else problem.checked
    names = {each.backend for each in checked}
    again = {JUDGED, TIMED} if problem.troubles else {TIMED} if problem.left_out else set()
    return msgspec.structs.replace(
        problem,
        checked=list(checked),
        stages=[each for each in problem.stages if each not in again],
        findings=[found for found in problem.findings if found.backend in names],
        training=[ran for ran in problem.training if ran.backend in names],
        timings=[timing for timing in problem.timings if timing.backend in names],
        diagnoses=[said for said in problem.diagnoses if said.name != NOTHING_TO_COMPARE],
        troubles=[],
        left_out=[],
        recommendation=None,
    )


def sampled(problem: ProblemResult, call: Call) -> list[Sampled]:
    """What the clock saw of one kind of call, in each process pair in which it came to its end."""
    timings = [*problem.timings, *([problem.twin] if problem.twin else [])]
    found = {t.backend: timed for t in timings if (timed := timed_of(t, call)) is not None}
    pairs = sorted({pair for timed in found.values() for pair in timed.pairs if stage(call, pair) in problem.stages})
    return [_pair(found, pair) for pair in pairs]


def _pair(found: Mapping[str, Timed], pair: int) -> Sampled:
    seen = Sampled(pair=pair)
    for name, timed in found.items():
        if pair not in timed.pairs:
            continue
        place = timed.pairs.index(pair)
        seen.steps[name], seen.inner[name], seen.warm_ups[name] = timed.steps, timed.inner[place], timed.warm_ups[place]
        # Blocks outside any round do not say of which pair they are; all of a backend's count alike.
        seen.blocks[name] = list(timed.blocks) if place == 0 else []
        rounds = [each for each in timed.rounds if each.pair == pair]
        if rounds:
            seen.rounds[name] = rounds
    return seen


def beside(timing: Timing, timed: Timed | None) -> Sampled | None:
    """A kind of call that was timed against the step in the same process."""
    if timed is None:
        return None
    name = timing.backend
    return Sampled(
        pair=0,
        steps={name: timed.steps},
        inner={name: timed.inner[0]},
        warm_ups={name: timed.warm_ups[0]},
        rounds={name: list(timed.rounds)},
    )


def untimed(problem: ProblemResult, names: Sequence[str]) -> list[str]:
    """Backends whose steps, or whose loops where there are loops, were not timed to the end."""
    loops = TIMED not in problem.stages or any(timing.loop for timing in problem.timings)
    seen = {call: {name for each in sampled(problem, call) for name in each.inner} for call in CALLS}
    return [name for name in names if name not in seen["step"] or (loops and name not in seen["loop"])]
