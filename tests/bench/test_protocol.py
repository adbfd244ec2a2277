import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from itertools import pairwise

import pytest

from gradparity.benchmark import protocol
from gradparity.benchmark.clock import Clock, parse_stolen_ticks
from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.protocol import (
    Block,
    calibrate,
    collector,
    cpu_per_wall,
    rewarm,
    sample,
    warm_up,
)
from gradparity.benchmark.rounds import Round
from tests.bench.simulation import SimulatedCall, SimulatedClock

US, MS, S = 1_000, 1_000_000, 1_000_000_000
STANDARD = PROFILES["standard"]


@pytest.fixture(autouse=True)
def _frozen_heap() -> Iterator[None]:
    gc.freeze()  # pytest's own heap takes 50 ms to go through, for every block
    yield
    gc.unfreeze()


def steady(cost_ns: float) -> tuple[SimulatedClock, SimulatedCall]:
    clock = SimulatedClock()
    return clock, SimulatedCall(clock, lambda _call, _now: cost_ns)


# Two windows of five blocks, of a fiftieth of a second or of a call; a call too long for ten blocks still counts.
@pytest.mark.parametrize(
    "call_ns, calls", [(100 * US, 2000), (100 * MS, 10), (1 * S, 5), (2 * S, 3), (30 * S, 3)], ids=str
)
def test_a_steady_call_is_warm_after_ten_blocks_or_five_seconds(call_ns: int, calls: int) -> None:
    clock, call = steady(call_ns)
    warm = warm_up(call, clock, STANDARD)
    assert (warm.calls, call.calls, warm.converged) == (calls, calls, True)
    assert (warm.seconds, warm.call_s) == pytest.approx((calls * call_ns / S, call_ns / S))


def test_a_slow_first_call_is_not_taken_for_a_trend() -> None:
    clock = SimulatedClock()
    call = SimulatedCall(clock, lambda n, _now: 3 * S if n == 0 else 100 * US)
    warm = warm_up(call, clock, STANDARD)
    assert warm.converged
    # It is the first of ten blocks of 20 ms, and does not move the median of five.
    assert 3.17 < warm.seconds < 3.19


def test_a_call_that_keeps_getting_faster_is_warmed_until_it_stops() -> None:
    clock = SimulatedClock()
    call = SimulatedCall(clock, lambda _n, now: 1 * MS * max(1, 8 * 2 ** (-now / (0.3 * S))))
    warm = warm_up(call, clock, STANDARD)
    assert warm.converged
    assert warm.call_s == pytest.approx(0.001, rel=0.05)
    assert warm.seconds > 0.9


@pytest.mark.slow
def test_the_heap_is_set_aside_before_the_first_call_is_timed() -> None:
    clock, frozen = SimulatedClock(), list[int]()

    def call() -> None:
        frozen.append(gc.get_freeze_count())
        clock.spend(10 * MS)

    for timed in (lambda: warm_up(call, clock, STANDARD), lambda: cpu_per_wall(call, clock, 0.1)):
        gc.unfreeze()
        frozen.clear()
        timed()
        assert frozen[0] > 0


def test_a_call_that_never_settles_is_flagged_after_five_seconds() -> None:
    clock = SimulatedClock()
    call = SimulatedCall(clock, lambda _n, now: 10 * MS * 3 ** (now / S))
    warm = warm_up(call, clock, STANDARD)
    assert not warm.converged
    assert 5 <= warm.seconds < 13


def test_a_long_call_that_halves_each_time_is_flagged() -> None:
    clock = SimulatedClock()
    call = SimulatedCall(clock, lambda n, _now: 8 * S / 2**n)
    assert not warm_up(call, clock, STANDARD).converged


@pytest.mark.parametrize("cost_ns, inner", [(70 * MS, 1), (50 * MS, 1), (49 * MS, 2), (1 * MS, 64), (11 * US, 8192)])
def test_the_inner_count_doubles_until_a_block_lasts_50_ms(cost_ns: int, inner: int) -> None:
    clock, call = steady(cost_ns)
    assert calibrate(call, clock, 50 * MS) == inner


def test_one_interruption_does_not_pass_for_a_long_call() -> None:
    clock = SimulatedClock()
    call = SimulatedCall(clock, lambda n, _now: 80 * MS if n == 0 else 1 * MS)
    assert calibrate(call, clock, 50 * MS) == 64


def test_a_clock_that_stands_still_ends_the_doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_INNER", 1024)
    clock, call = steady(0)
    assert calibrate(call, clock, 50 * MS) == 1024


@pytest.mark.parametrize("cost_ns, calls", [(1 * MS, 5), (10 * US, 500), (2 * MS, 3), (1 * S, 3)])
def test_rewarming_discards_three_calls_or_five_milliseconds(cost_ns: int, calls: int) -> None:
    clock, call = steady(cost_ns)
    assert rewarm(call, clock) == call.calls == calls


def test_the_quick_profile_rewarms_a_long_call_once() -> None:
    clock, call = steady(400 * MS)
    assert rewarm(call, clock, calls=PROFILES["quick"].rewarm_calls) == 1


@pytest.mark.parametrize("share", [0.5, 1.0, 1.9])
def test_cpu_over_wall_clock_time_is_that_of_the_calls_over_the_time_asked_for(share: float) -> None:
    clock, calls = SimulatedClock(), [0]
    clock.spend(7 * S, cpu_share=3.0)

    def call() -> None:
        calls[0] += 1
        assert not gc.isenabled()
        clock.spend(3 * MS, cpu_share=share)

    assert cpu_per_wall(call, clock, 0.5) == pytest.approx(share)
    assert calls[0] == 167  # 167 * 3 ms are the first to reach 500 ms


def test_cpu_over_wall_clock_time_takes_one_call_at_least() -> None:
    clock, call = steady(2 * S)
    assert cpu_per_wall(call, clock, 0.5) == 1.0
    assert call.calls == 1


def test_a_block_holds_what_its_calls_took_and_nothing_else() -> None:
    clock = SimulatedClock()
    clock.spend(7 * S, stolen_ns=3)
    clock.minor_faults, clock.context_switches = 1000, 50

    def call() -> None:
        clock.spend(10 * MS, cpu_share=0.8, stolen_ns=1 * MS)
        clock.minor_faults += 4
        clock.context_switches += 1

    block, _ = sample(call, 5, clock)
    assert block == Block(
        wall_ns=50 * MS, cpu_ns=40 * MS, inner=5, minor_faults=20, context_switches=5, stolen_ns=5 * MS
    )
    assert block.call_ns == 10 * MS


class AskedProgram:
    """A program on a simulated clock: 4 ms of each 10 are those of who asks, 5 its own, and so many others'."""

    def __init__(self, others_ms: int = 0) -> None:
        self.clock, self.others_ns = SimulatedClock(), others_ms * MS
        self.clock.program_cpu_total_ns, self.clock.waited_total_ns = 3 * S, 2 * S

    def __call__(self) -> None:
        self.clock.spend(4 * MS)
        self.clock.spend(6 * MS + self.others_ns, cpu_share=0.0)
        if self.clock.program_cpu_total_ns is not None and self.clock.waited_total_ns is not None:
            self.clock.program_cpu_total_ns += 5 * MS
            self.clock.waited_total_ns += self.others_ns


@pytest.mark.parametrize("others_ms", [0, 1, 5])
def test_a_program_that_others_keep_from_its_core_is_disturbed_and_one_that_is_left_alone_is_not(
    others_ms: int,
) -> None:
    program = AskedProgram(others_ms)
    block, _ = sample(program, 5, program.clock)
    assert (block.wall_ns, block.cpu_ns, block.waited_ns) == ((50 + 5 * others_ms) * MS, 45 * MS, 5 * others_ms * MS)
    assert block.away_ns == 5 * others_ms * MS
    assert Round(0, 0, (block, block), (block, block)).disturbed is (others_ms == 5)


def test_of_a_program_whose_cpu_time_is_not_told_no_disturbance_is_claimed() -> None:
    program = AskedProgram(others_ms=5)
    program.clock.program_cpu_total_ns = program.clock.waited_total_ns = None
    block, _ = sample(program, 5, program.clock)
    assert (block.cpu_ns, block.waited_ns, block.away_ns) == (None, None, 0)
    assert not Round(0, 0, (block, block), (block, block)).disturbed


def test_stolen_time_is_unknown_where_the_system_does_not_tell() -> None:
    clock, call = steady(1 * MS)
    clock.stolen_total_ns = None
    assert sample(call, 1, clock)[0].stolen_ns is None


def test_the_last_timed_output_is_kept_for_checking() -> None:
    clock, call = steady(1 * MS)
    assert sample(call, 7, clock)[1] == 7


def test_an_inner_count_of_zero_is_refused() -> None:
    clock, call = steady(1 * MS)
    with pytest.raises(ValueError, match="inner: got 0, expected 1 or more"):
        sample(call, 0, clock)


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_a_block_runs_with_the_collector_off_and_leaves_no_garbage_behind() -> None:
    clock = SimulatedClock()
    seen: list[weakref.ref[Cycle]] = []

    def call() -> None:
        assert not gc.isenabled()
        seen.append(weakref.ref(Cycle()))

    warm_up(lambda: clock.spend(100 * MS), clock, STANDARD)
    for _ in range(3):
        sample(call, 1, clock)
    # Frozen before it was collected, the garbage of the first two blocks would live for ever.
    assert [cycle() is None for cycle in seen] == [True, True, False]
    assert gc.isenabled()


def test_a_block_can_run_with_the_collector_on_over_the_whole_heap() -> None:
    clock = SimulatedClock()
    seen: list[tuple[bool, int]] = []
    gc.collect()
    gc.freeze()
    sample(lambda: seen.append((gc.isenabled(), gc.get_freeze_count())), 1, clock, garbage_collector=True)
    assert seen == [(True, 0)]
    assert gc.get_freeze_count() > 0


def test_a_call_that_raises_leaves_the_collector_as_it_was() -> None:
    def call() -> None:
        raise RuntimeError("lost")

    for on in (True, False):
        with pytest.raises(RuntimeError, match="lost"):
            sample(call, 1, SimulatedClock(), garbage_collector=on)
        assert gc.isenabled()
    gc.disable()
    try:
        with collector(on=True):
            assert gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_systems_clock_goes_forward_and_counts_page_faults() -> None:
    clock = Clock()
    readings = [clock.wall_ns() for _ in range(100)]
    assert all(a <= b for a, b in pairwise(readings))
    block, data = sample(lambda: bytearray(os.urandom(4096) * 4096), 1, clock)
    assert isinstance(data, bytearray)
    assert block.cpu_ns
    assert block.waited_ns is None  # there is no other process
    assert 0 < block.wall_ns < 60 * S
    assert block.minor_faults >= 0


PROC_STAT = """\
cpu  9313 0 3379 172755 343 0 50 284 0 0
cpu0 1162 0 867 90765 61 0 6 141 0 0
cpu1 8150 0 2511 81990 281 0 44 143 0 0
intr 144838 0 0
"""


@pytest.mark.parametrize("cpus, ticks", [({0, 1}, 142), ({0}, 141), ({1}, 143), ({5}, None)])
def test_stolen_ticks_are_averaged_over_the_cpus_we_may_use(cpus: set[int], ticks: float | None) -> None:
    assert parse_stolen_ticks(PROC_STAT, frozenset(cpus)) == ticks


def test_an_old_kernel_without_the_field_says_nothing_of_steal() -> None:
    assert parse_stolen_ticks("cpu  1 2 3 4\ncpu0 1 2 3 4\n", frozenset({0})) is None


def test_importing_the_measuring_code_imports_no_framework_and_no_scipy() -> None:
    code = (
        "import sys, gradparity.benchmark.protocol, gradparity.benchmark.schedule\n"
        "import gradparity.benchmark.stats, gradparity.benchmark.break_even\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'autograd', 'jax', 'scipy', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
