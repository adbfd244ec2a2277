"""Which raw rounds and blocks a backend's times rest on: a reference's lie in the rounds of the others. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import Round
from gradparity.results import ProblemResult, Timed, Timing

#: The kinds of call that are timed on every backend, in turns.
Call: TypeAlias = Literal["step", "loop"]
CALLS: tuple[Call, ...] = ("step", "loop")


def timing_of(problem: ProblemResult | None, backend: str) -> Timing | None:
    """The backend's clock, if it has one there."""
    return next((timing for timing in (problem.timings if problem else []) if timing.backend == backend), None)


def timed_of(timing: Timing | None, call: Call) -> Timed | None:
    """What the clock saw of one kind of call."""
    return None if timing is None else timing.step if call == "step" else timing.loop


def rounds_of(problem: ProblemResult, backend: str, call: Call) -> list[Round]:
    """All rounds that the backend took part in; those of the reference are the others' and its twin's."""
    reference = backend == problem.reference
    timings = problem.clocks if reference else [each for each in problem.timings if each.backend == backend]
    seen = [timed for timing in timings if (timed := timed_of(timing, call)) is not None]
    return [each for timed in seen for each in timed.rounds]


def disturbed_of(problem: ProblemResult, backend: str, call: Call) -> tuple[int, int]:
    """Rounds that the backend took part in, and in how many of them itself was disturbed, alone or with the other."""
    rounds = rounds_of(problem, backend, call)
    reference = backend == problem.reference
    return len(rounds), sum(each.reference_disturbed if reference else each.challenger_disturbed for each in rounds)


def blocks_of(problem: ProblemResult, backend: str, call: Call) -> list[Block]:
    """Every block of the backend, in process order as far as rounds tell it; each counts gradient steps."""
    timed = timed_of(timing_of(problem, backend), call)
    if timed is None:
        return []
    rounds = rounds_of(problem, backend, call)
    mine = [each.reference if backend == problem.reference else each.challenger for each in rounds]
    return [*timed.blocks, *(block for blocks in mine for block in blocks)]
