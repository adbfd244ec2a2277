"""What a process does that is one of several, a rank of a sharded backend."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.backends import place
from gradparity.backends.protocol import Backend, Loss, Program
from gradparity.backends.shards import Combination, Rank, rows_of, tried
from gradparity.benchmark.clock import Clock
from gradparity.model_spec.problem import AnyProblem, UserProblem

#: How far other parameters are from a problem's, relatively: clear of rounding, and where a loss has a value as well.
BESIDE = 2.0**-7


class SharedClock(Clock):
    """A clock on which all ranks read the same time, that of rank 0: what they decide by it they decide alike."""

    def __init__(self, agreed: Callable[[int], int]) -> None:
        super().__init__()
        self._agreed = agreed

    def wall_ns(self) -> int:
        """Monotonic time of rank 0, in nanoseconds, for which every rank waits."""
        return self._agreed(time.perf_counter_ns())


def deciding_clock(backend: Backend) -> Clock:
    """The clock by which it is decided how often something is called."""
    agreed = getattr(backend, "agreed", None)
    return Clock() if agreed is None else SharedClock(agreed)


def combined(backend: Any, loss: Loss, problem: Any, known: dict[str, Combination]) -> Combination:
    """How the loss of a model is combined of those of the ranks' rows, found in float64 on one process's program.

    Args:
        backend: that is sharded.
        loss: the model's.
        problem: whose data it is tried on.
        known: what was found for a model's path before, which this one is added to.

    Raises:
        InputError: it is no sum or mean over rows; or the model says of no data that they have rows.
    """
    path = problem.spec.path
    if path not in known:
        known[path] = _combined(backend, loss, problem)
    return known[path]


def _combined(backend: Any, loss: Loss, problem: UserProblem) -> Combination:
    wide, names = problem.cast("float64"), rows_of(loss)
    program = backend.alone(loss)

    def on_host(params: Any, data: Any) -> tuple[Any, Any]:
        value, gradient = program.value_and_gradient(backend.put(params), backend.put(data))
        return backend.get({"": value})[""], backend.get(gradient)

    return tried(on_host, (dict(wide.params), before(wide)), wide.data, names, Rank.here().ranks)


def before(problem: AnyProblem) -> dict[str, Any]:
    """Parameters, other than the problem's, at which a sharded program is called before it answers."""
    near = ((name, value, problem.tangents[name], np.abs(value).mean() or 1) for name, value in problem.params.items())
    return {name: (value + BESIDE * size * tangent).astype(value.dtype) for name, value, tangent, size in near}


def called_before(backend: Backend, program: Program, problem: AnyProblem) -> str:
    """What a sharded loss is over the rows of all ranks; ``""`` of another.

    Its program is called elsewhere, so that what it keeps of an earlier call is no answer to the next.
    """
    combination = getattr(program, "combination", None)
    if combination is None:
        return ""
    program.value_and_gradient(backend.put(before(problem)), place(backend, program, problem.data))
    return str(combination.kind)
