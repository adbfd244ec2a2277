"""Timing one call inside a worker: warm up, calibrate, then a block at a time. Pure but for the injected clock.

The order is fixed: ``warm_up`` (compilation, caches, allocator), ``calibrate`` (how often to call in one block, then
frozen), and for each turn ``rewarm`` (another process ran in between) and ``sample``. The call is complete when it
returns: whoever builds it waits for asynchronous work inside it and returns everything that it computes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from statistics import median
from typing import TypeVar

from gradparity.benchmark.clock import Clock
from gradparity.benchmark.profiles import REWARM_NS, Profile

Call = Callable[[], object]
_Output = TypeVar("_Output")

_NS_PER_S = 1_000_000_000

#: Two consecutive medians this close count as settled: closer than most blocks of a settled call are to each other.
WARM_TOLERANCE = 0.05
#: Calls longer than a tenth of a second are their own windows where the profile is short of time.
LONG_CALL_NS = 100_000_000
#: No real call is so short that more of them are needed: an empty one takes 30 ns.
MAX_INNER = 1 << 24


@dataclass(frozen=True)
class WarmUp:
    """What warming up took. ``converged`` is False where the call had not settled when the time was up.

    ``call_s`` is what a call took in the end (median of the last window): good enough to plan with.
    """

    calls: int
    seconds: float
    converged: bool
    call_s: float


@dataclass(frozen=True)
class Block:
    """``inner`` calls timed together. ``stolen_ns`` is None where the system does not tell.

    Where the work is another program's, ``cpu_ns`` is that of its processes too, and ``waited_ns`` how long they and
    the process that asks were ready while no processor ran them, added up. ``cpu_ns`` is None where the system does not
    tell of it, and ``waited_ns`` of everyone else.
    """

    wall_ns: int
    cpu_ns: int | None
    inner: int
    minor_faults: int
    context_switches: int
    stolen_ns: int | None
    waited_ns: int | None = None

    @property
    def call_ns(self) -> float:
        """Wall-clock nanoseconds per call."""
        return self.wall_ns / self.inner

    @property
    def away_ns(self) -> int:
        """Nanoseconds in which its work was kept from a processor, as far as the system tells.

        In one process that is all but its CPU time. A program and the process that asks it wait for each other too, and
        until the other core has woken up: only that part of their idle time counts for which one of them was ready.
        """
        if self.cpu_ns is None:
            return 0
        idle_ns = self.wall_ns - self.cpu_ns
        return idle_ns if self.waited_ns is None else min(idle_ns, self.waited_ns)


@contextmanager
def collector(*, on: bool) -> Iterator[None]:
    """Run a block with the garbage collector off; or on, over the whole heap, as a user's program has it.

    Garbage is collected first, so that a block neither pays for the last one's nor keeps it alive. Freezing comes
    after collecting, never before: ``gc.freeze`` on uncollected cycles would keep them for ever, a leak per block.
    """
    was_on = gc.isenabled()
    if on:
        gc.unfreeze()
        gc.collect()
        gc.enable()
    else:
        gc.collect()
        gc.disable()
    try:
        yield
    finally:
        if on:
            settle_heap()
        if was_on:
            gc.enable()
        else:
            gc.disable()


def settle_heap() -> None:
    """Collect, then set the rest aside (``gc.freeze``): collections between blocks skip it and cost microseconds."""
    gc.collect()
    gc.freeze()


def warm_up(call: Call, clock: Clock, profile: Profile) -> WarmUp:
    """Call until the time per call has settled: at least 3 calls and 0.2 s, at most 5 s (standard profile).

    Settled: the medians of two consecutive windows of blocks agree within 5%. The blocks are as long as lets two
    windows fill the shortest warm-up, so that the medians are a tenth of a second apart: a trend slower than 5% in
    that time is not seen here, and left to the order of the turns. In a quick profile the windows of calls longer than
    ``LONG_CALL_NS`` are one call each. A call so long that two windows do not fit under
    the cap is judged by two halves of what there was, without the first call.
    """
    settle_heap()  # of a framework it takes a tenth of a second, which would pass before every block
    block_ns = round(profile.warm_min_s * _NS_PER_S / (2 * profile.warm_window))
    started_ns, calls = clock.wall_ns(), 0
    per_call_ns: list[float] = []
    window = profile.warm_window
    cap_ns, least_ns = profile.warm_cap_s * _NS_PER_S, profile.warm_min_s * _NS_PER_S
    while True:
        with collector(on=False):
            count, took_ns = _call_for(call, clock, least_calls=1, least_ns=block_ns)
        calls += count
        per_call_ns.append(took_ns / count)
        elapsed_ns = clock.wall_ns() - started_ns
        enough = calls >= profile.warm_calls and elapsed_ns >= least_ns
        if profile.short_windows and per_call_ns[-1] > LONG_CALL_NS:
            window = 1
        converged = enough and _settled(per_call_ns, window)
        capped = calls >= profile.warm_calls and elapsed_ns >= cap_ns
        if capped and not converged and len(per_call_ns) < 2 * window:
            converged = _settled(per_call_ns, (len(per_call_ns) - 1) // 2)
        if converged or capped:
            settle_heap()
            call_s = median(per_call_ns[-window:]) / _NS_PER_S
            return WarmUp(calls=calls, seconds=elapsed_ns / _NS_PER_S, converged=converged, call_s=call_s)


def _settled(per_call_ns: list[float], window: int) -> bool:
    """Whether the medians of the last two windows agree within the tolerance."""
    if window < 1 or len(per_call_ns) < 2 * window:
        return False
    before, after = median(per_call_ns[-2 * window : -window]), median(per_call_ns[-window:])
    return abs(after - before) <= WARM_TOLERANCE * min(after, before)


def calibrate(call: Call, clock: Clock, block_ns: int, *, call_s: float = 0.0) -> int:
    """How many calls make a block of ``block_ns``: 1, doubled until it lasts; only after ``warm_up``, and then frozen.

    A call that ``warm_up`` saw to last two blocks by itself (``call_s``, in seconds) need not be tried.

    A count must last twice in a row: one interruption would otherwise pass for a long call, and leave blocks too
    short to time.
    """
    inner, lasted = 1, 0
    if call_s * _NS_PER_S > 2 * block_ns:
        return inner
    while inner < MAX_INNER:
        with collector(on=False):
            started_ns = clock.wall_ns()
            for _ in repeat(None, inner):
                call()
            elapsed_ns = clock.wall_ns() - started_ns
        lasted = lasted + 1 if elapsed_ns >= block_ns else 0
        if lasted == 2:
            break
        if not lasted:
            inner *= 2
    return inner


def rewarm(call: Call, clock: Clock, *, calls: int = 3) -> int:
    """Discard ``calls`` calls, or 5 ms of them where that is more, after another process had its turn.

    Returns:
        How many were made.
    """
    with collector(on=False):
        made, _ = _call_for(call, clock, least_calls=calls, least_ns=REWARM_NS)
    return made


def cpu_per_wall(call: Call, clock: Clock, seconds: float) -> float:
    """CPU seconds of this process per second of wall-clock time, while it calls for at least ``seconds``.

    Above 1.05 at one thread, a second one worked.
    """
    settle_heap()
    with collector(on=False):
        started_ns, cpu_ns = clock.wall_ns(), clock.cpu_ns()
        _call_for(call, clock, least_calls=1, least_ns=round(seconds * _NS_PER_S))
        return (clock.cpu_ns() - cpu_ns) / (clock.wall_ns() - started_ns)


def _call_for(call: Call, clock: Clock, *, least_calls: int, least_ns: int) -> tuple[int, int]:
    """Call until both limits are reached: how many calls, and how many nanoseconds."""
    started_ns, calls = clock.wall_ns(), 0
    while True:
        call()
        calls += 1
        elapsed_ns = clock.wall_ns() - started_ns
        if calls >= least_calls and elapsed_ns >= least_ns:
            return calls, elapsed_ns


def sample(
    call: Callable[[], _Output], inner: int, clock: Clock, *, garbage_collector: bool = False
) -> tuple[Block, _Output]:
    """Time one block of ``inner`` calls, and return the last timed output too: it is checked against the truth.

    Raises:
        ValueError: ``inner`` is under 1.
    """
    if inner < 1:
        raise ValueError(f"inner: got {inner}, expected 1 or more")
    with collector(on=garbage_collector):
        before = clock.counters()
        cpu_started_ns = clock.cpu_ns()
        started_ns = clock.wall_ns()
        for _ in repeat(None, inner - 1):
            call()
        output = call()
        ended_ns = clock.wall_ns()
        cpu_ended_ns = clock.cpu_ns()
        after = clock.counters()
    program_ns = _between(before.program_cpu_ns, after.program_cpu_ns)
    return (
        Block(
            wall_ns=ended_ns - started_ns,
            cpu_ns=None if program_ns is None else cpu_ended_ns - cpu_started_ns + program_ns,
            inner=inner,
            minor_faults=after.minor_faults - before.minor_faults,
            context_switches=after.context_switches - before.context_switches,
            stolen_ns=_between(before.stolen_ns, after.stolen_ns),
            waited_ns=_between(before.waited_ns, after.waited_ns),
        ),
        output,
    )


def _between(before: int | None, after: int | None) -> int | None:
    """How much a counter went up, of threads and processes that have not ended; None where it is not known."""
    return None if before is None or after is None else max(0, after - before)
