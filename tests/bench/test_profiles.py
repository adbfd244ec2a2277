"""How much a profile measures and what that costs, worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.benchmark.profiles import PROFILES, Profile

QUICK, STANDARD = PROFILES["quick"], PROFILES["standard"]


def test_the_standard_profile_is_the_one_written_down() -> None:
    standard = PROFILES["standard"]
    assert (standard.pairs_min, standard.pairs_max, standard.half_width) == (5, 15, 0.05)
    assert [standard.rounds(call_s) for call_s in (1e-6, 0.4, 30.0)] == [8, 8, 8]
    assert standard.block_ns == 50_000_000


def test_a_quick_run_takes_fewer_rounds_of_long_calls() -> None:
    quick = PROFILES["quick"]
    assert [quick.rounds(call_s) for call_s in (1e-6, 0.05, 0.4, 30.0)] == [8, 8, 4, 4]


def test_the_cost_of_a_round_is_four_blocks_and_three_rewarms() -> None:
    standard = PROFILES["standard"]
    assert standard.round_s(10e-6) == pytest.approx(4 * 0.075 + 3 * 0.005)
    assert standard.round_s(0.04) == pytest.approx(4 * 0.075 + 3 * 3 * 0.04)


def test_a_call_too_long_to_rewarm_costs_its_blocks_alone() -> None:
    assert PROFILES["standard"].round_s(0.4) == pytest.approx(4 * 0.4)
    assert PROFILES["quick"].round_s(0.4) == pytest.approx(4 * 0.4)


def test_calls_up_to_fifty_milliseconds_are_rewarmed_and_longer_ones_are_not() -> None:
    assert [STANDARD.rewarm(call_s) for call_s in (1e-6, 0.05, 0.051, 30.0)] == [3, 3, 0, 0]
    assert [QUICK.rewarm(call_s) for call_s in (1e-6, 0.05, 0.051, 30.0)] == [1, 1, 0, 0]


def test_with_several_threads_blocks_last_a_fifth_of_a_second_and_with_one_what_the_profile_says() -> None:
    assert [profile.for_threads(2).block_ns for profile in PROFILES.values()] == [200_000_000] * 4
    assert [profile.for_threads(1) for profile in PROFILES.values()] == list(PROFILES.values())


@pytest.mark.parametrize(
    ("profile", "step_s", "steps"),
    [
        ("standard", 1e-6, 1000),  # 50,000 would fit
        ("standard", 12e-3, 2),  # 4.2 would
        ("standard", 0.05, 1),
        ("quick", 20e-6, 1000),  # 1000, which a division of floats makes 999.9999999999999
        ("brief", 1e-3, 10),
    ],
)
def test_a_loop_has_as_many_round_steps_as_last_a_block(profile: str, step_s: float, steps: int) -> None:
    assert PROFILES[profile].loop_steps(step_s) == steps


@given(step_s=st.floats(1e-8, 100.0), name=st.sampled_from(sorted(PROFILES)))
def test_a_loop_lasts_a_block_to_within_its_rounding_wherever_its_steps_are_not_capped(
    step_s: float, name: str
) -> None:
    profile = PROFILES[name]
    steps = profile.loop_steps(step_s)
    assert steps in {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
    loop_s, block_s = steps * step_s, profile.block_ns / 1e9
    assert steps == 1 or loop_s <= block_s * (1 + 1e-6)
    assert steps == 1000 or loop_s > block_s / 2.5 * (1 - 1e-6)


def start_s(profile: Profile, call_s: float) -> float:
    """Warm-up and calibration: 1 + 1/2 + 1/4 + ... blocks of the doubling, one more of the last, and one to confirm."""
    settle_s = max(profile.warm_min_s, 2 * profile.warm_window * call_s)
    warm_s = max(min(settle_s, profile.warm_cap_s), profile.warm_calls * call_s)
    return warm_s + max(4 * profile.block_ns / 1e9, 2 * call_s)


def pair_s(profile: Profile, workers: int, call_s: float) -> float:
    """One pair of processes, once started: every worker but the reference is compared with it once."""
    return workers * start_s(profile, call_s) + (workers - 1) * profile.rounds(call_s) * profile.round_s(call_s)


def cell_s(profile: Profile, backends: int, step_s: float) -> float:
    """About what a cell of ``bench`` takes: every kind of call that it times, and what is done once."""
    workers = backends + 1  # the reference's twin
    loop_s = profile.loop_steps(step_s) * step_s
    starts = 2 * backends * 2.0  # to be timed and to be checked; two seconds each, imports measured at 0.1 to 1.5
    threads, limits = 0.5 * workers, 2.5
    step = pair_s(profile, workers, step_s)
    loop = pair_s(profile, workers, loop_s) if profile.loop_steps(step_s) > 1 else 0.0
    warm_s = start_s(profile, step_s)
    primals = backends * (2 * warm_s + 3 * profile.round_s(step_s))
    formulations = 2 * (2 * warm_s + 3 * profile.round_s(step_s))
    return starts + threads + limits + step + loop + primals + formulations


# The steps of 4x3x3, 1000x20x10 and 200000x100x50 as written.
STEPS_S = (20e-6, 1e-3, 0.4)


def test_five_backends_and_a_twin_at_three_sizes_have_their_steps_timed_in_under_150_seconds() -> None:
    assert sum(6 * 2.0 + pair_s(QUICK, 6, step_s) for step_s in STEPS_S) < 140


def test_everything_that_bench_does_at_three_sizes_is_quick_in_under_five_minutes() -> None:
    # Of which the largest size takes three; a compiler with a cold cache comes on top, 20 s a size.
    brief, quick = (sum(cell_s(PROFILES[name], 5, step_s) for step_s in STEPS_S) for name in ("brief", "quick"))
    assert brief < quick < 300
