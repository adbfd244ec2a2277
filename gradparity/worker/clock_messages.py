"""What the parent asks of a backend's process about time and memory, and what that answers."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from gradparity.benchmark.protocol import Block, WarmUp
from gradparity.benchmark.roofline import Limits
from gradparity.worker.wire import Arrays, Reply, Request

#: What can be timed: a value-and-gradient call, a loop of gradient-descent steps, the loss alone, the step with the
#: garbage collector on, what the ranks of a sharded backend exchange in a step, and the step in each formulation.
Call: TypeAlias = Literal[
    "step", "loop", "primal", "collected", "communication", "as_written", "reassociated", "blocked"
]


class MeasuredMemory(Reply, frozen=True):
    """Peak resident size of the process so far."""

    peak_bytes: int


class MeasureMemory(Request[MeasuredMemory], frozen=True):
    """Make some calls of the step, and say how large the process became."""

    stage = "measuring memory"
    timeout_s = 120

    calls: int


class CountedThreads(Reply, frozen=True):
    """CPU seconds of the process per second of wall-clock time."""

    cpu_per_wall: float


class CountThreads(Request[CountedThreads], frozen=True):
    """Call the step for ``seconds``: how much CPU time goes into a second?"""

    stage = "counting threads"
    timeout_s = 120

    seconds: float


class MeasuredLimits(Reply, frozen=True):
    """What the machine could do at best."""

    limits: Limits


class MeasureLimits(Request[MeasuredLimits], frozen=True):
    """Read bandwidth and GEMM rate at a size."""

    stage = "bandwidth and GEMM rate"
    timeout_s = 120

    spec: dict[str, Any]
    rows: int
    profile: str


class Warmed(Reply, frozen=True):
    """Warmed up, and how many calls make a block."""

    warm_up: WarmUp
    inner: int


class Warm(Request[Warmed], frozen=True):
    """Warm one kind of call up and calibrate how many of them make a block of ``block_ns``.

    A call of the ``loop`` makes ``steps`` gradient-descent steps of ``learning_rate``. Other formulations of the loaded
    problem are built when they are first asked for.
    """

    stage = "warm-up"

    profile: str
    block_ns: int
    call: Call = "step"
    steps: int = 1
    learning_rate: float = 0.0


class Sampled(Reply, frozen=True):
    """One timed block, and its last output: the loss under ``""`` and the gradient by parameter.

    Of a loop, the first loss, which is that of the start, and the final parameters.
    """

    block: Block
    output: Arrays


class Sample(Request[Sampled], frozen=True):
    """Time one block of ``inner`` calls, after ``rewarm_calls`` discarded ones."""

    stage = "timing"
    timeout_s = 120

    inner: int
    rewarm_calls: int
    call: Call = "step"
