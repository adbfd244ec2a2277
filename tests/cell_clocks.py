"""What the tests of the whole clock share: known speeds, what was found of whom, and workers that fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.results import ProblemResult, Timed, Timing
from gradparity.worker.wire import Request
from tests.simulated_workers import Fault, SimulatedWorker, Speed

#: Seconds of a step from Python and in a loop: ratios to numpy of 0.5, 2 and 4 from Python, 0.5, 4 and 16 in a loop.
SPEEDS = {
    "numpy": Speed(step_s=400e-6, loop_s=320e-6),
    "autograd": Speed(step_s=800e-6, loop_s=640e-6),
    "jax": Speed(step_s=200e-6, loop_s=80e-6),
    "torch": Speed(step_s=100e-6, loop_s=20e-6),
}
TRUE = {"step": {"autograd": 0.5, "jax": 2.0, "torch": 4.0}, "loop": {"autograd": 0.5, "jax": 4.0, "torch": 16.0}}
PAIR = {name: SPEEDS[name] for name in ("numpy", "jax")}


def timing_of(problem: ProblemResult, name: str) -> Timing:
    if name.endswith("~twin"):
        assert problem.twin is not None
        return problem.twin
    return {timing.backend: timing for timing in problem.timings}[name]


def timed_of(problem: ProblemResult, name: str, call: str) -> Timed:
    timed = getattr(timing_of(problem, name), call)
    assert isinstance(timed, Timed), f"no {call} of {name}"
    return timed


def pairs_of(timed: Timed) -> Counter[int]:
    """Rounds in each pair of processes."""
    return Counter(each.pair for each in timed.rounds)


def reasons(problem: ProblemResult) -> list[str]:
    return problem.recommendation.reasons


def fault(
    backend: str, kind: type[Request[Any]], when: Callable[[SimulatedWorker, Any], bool], *, failure: Any = WorkerFailed
) -> Fault:
    """That backend fails once, in the first request of that kind of which ``when`` holds."""
    done: list[str] = []

    def fail(worker: SimulatedWorker, request: Request[Any]) -> WorkerFailed | None:
        if worker.name != backend or done or not isinstance(request, kind) or not when(worker, request):
            return None
        done.append(backend)
        stage = request.stage
        return OutOfTime(backend, stage) if failure is OutOfTime else WorkerFailed(backend, stage, "killed by SIGKILL")

    return fail
