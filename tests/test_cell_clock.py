"""The whole clock on a simulated machine, without a process or time: ratios, process pairs, turns."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.rounds import pair_values
from gradparity.benchmark.stats import compare
from gradparity.worker import messages as m
from tests.bench.simulation import NOISY, QUIET, Machine
from tests.cell_clocks import PAIR, SPEEDS, TRUE, pairs_of, timed_of, timing_of
from tests.simulated_workers import STILL, Computer, Speed, clocked

# Truth.


@pytest.mark.slow
def test_the_interval_covers_the_true_ratio_of_steps_and_of_loops_on_a_machine_that_drifts(tmp_path: Path) -> None:
    covered, seen = 0, 0
    for seed in range(16):
        problem = clocked(Computer(QUIET, SPEEDS, seed=seed), tmp_path, seed=seed).outcome
        for call, ratios in TRUE.items():
            for name, true in ratios.items():
                ratio = timed_of(problem, name, call).ratio
                assert ratio.ratio == pytest.approx(true, rel=0.1)
                covered += ratio.low <= true <= ratio.high
                seen += 1
    # Of 96 intervals of 95%, fewer than 85 cover once in 1,500 times.
    assert seen == 96
    assert covered >= 85


def test_on_a_machine_where_nothing_varies_the_ratios_are_exact(tmp_path: Path) -> None:
    problem = clocked(Computer(STILL, SPEEDS), tmp_path).outcome
    for call, ratios in TRUE.items():
        for name, true in ratios.items():
            timed = timed_of(problem, name, call)
            assert timed.ratio.ratio == pytest.approx(true, rel=1e-6)
            base = SPEEDS["numpy"].step_s if call == "step" else SPEEDS["numpy"].loop_s
            assert timed.step_ns.median == pytest.approx(1e9 * base / true, rel=1e-6)
            assert timed.speed == ("slower" if true < 1 else "faster")
            assert timed.cpu_per_wall == pytest.approx(1.0)
        reference = timed_of(problem, "numpy", call)
        assert reference.ratio is None
        assert reference.step_ns.count > 100  # of every round that any other had with it


def test_what_is_not_a_ratio_is_as_the_machine_has_it(tmp_path: Path) -> None:
    problem = clocked(Computer(STILL, SPEEDS), tmp_path).outcome
    torch = timing_of(problem, "torch")
    assert torch.import_s == 0.1
    assert torch.first_call_s == 0.01
    # A gradient takes three times as long as a loss alone, and another formulation half as long; with the collector
    # it takes twice as long, which is looked at where a backend tapes.
    assert torch.primal.ratio.ratio == pytest.approx(3.0, rel=1e-6)
    assert torch.collected is None
    taped = timing_of(problem, "autograd").collected
    assert taped.ratio.ratio == pytest.approx(0.5, rel=1e-6)
    assert [(found.formulation, found.backend) for found in problem.formulations] == [
        ("reassociated", "torch"),
        ("blocked", "torch"),
    ]
    assert [found.ratio.ratio for found in problem.formulations] == pytest.approx([2.0, 2.0], rel=1e-6)
    # 4x3x2 as written: 106 flops at 40 Gflop/s take 2.65 ns, 16 numbers at 10 GB/s 12.8 ns.
    assert torch.times_floor == pytest.approx(100e3 / 12.8, rel=1e-6)
    assert torch.loop_times_floor == pytest.approx(20e3 / 12.8, rel=1e-6)


# Process pairs.


@pytest.mark.parametrize(("machine", "pairs"), [(STILL, 5), (NOISY, 15)], ids=["still", "noisy"])
def test_the_standard_profile_takes_five_to_fifteen_pairs_of_processes_with_the_twin_in_each(
    tmp_path: Path, machine: Machine, pairs: int
) -> None:
    computer = Computer(machine, PAIR)
    problem = clocked(computer, tmp_path).outcome
    taken = Counter(name for name, _ in computer.started)
    assert taken == {"numpy": pairs, "jax": pairs, "numpy~twin": pairs, "numpy~limits": 1}
    for name in ("jax", "numpy~twin"):
        for call in ("step", "loop"):
            assert pairs_of(timed_of(problem, name, call)) == dict.fromkeys(range(pairs), 8)
    assert len(timing_of(problem, "jax").starts) == pairs
    assert problem.control.pairs == pairs


def test_only_the_backend_whose_interval_is_wide_is_started_again(tmp_path: Path) -> None:
    speeds = PAIR | {"torch": Speed(step_s=100e-6, jitter_sd=0.5)}
    computer = Computer(STILL, speeds, seed=2)
    problem = clocked(computer, tmp_path).outcome
    taken = Counter(name for name, _ in computer.started)
    assert taken["jax"] == 5
    assert taken["torch"] == taken["numpy"] == taken["numpy~twin"] > 5
    assert set(pairs_of(timed_of(problem, "jax", "step"))) == set(range(5))


@pytest.mark.parametrize(("profile", "seconds"), [("brief", 0.1), ("quick", 0.2)])
def test_a_quick_run_takes_one_pair_and_says_that_its_interval_rests_on_it(
    tmp_path: Path, profile: str, seconds: float
) -> None:
    computer = Computer(NOISY, PAIR, seed=2)
    problem = clocked(computer, tmp_path, profile=profile).outcome
    assert Counter(name for name, _ in computer.started)["jax"] == 1
    threads_s = {request.seconds for _, request in computer.asked if isinstance(request, m.CountThreads)}
    assert threads_s == {seconds}
    for call in ("step", "loop"):
        ratio = timed_of(problem, "jax", call).ratio
        assert ratio.within_process
        aa = problem.control if call == "step" else problem.loop_control
        assert ratio == compare(pair_values(timed_of(problem, "jax", call).rounds), PROFILES[profile], aa)
    assert problem.control.between_sd != problem.loop_control.between_sd


def test_processes_start_one_after_the_other_and_a_pair_ends_before_the_next_begins(tmp_path: Path) -> None:
    computer = Computer(STILL, PAIR)
    clocked(computer, tmp_path)  # a second process of a name while the first runs is refused there
    starts = [name for name, request in computer.asked if isinstance(request, m.Configure) and "limits" not in name]
    assert starts == ["numpy", "jax", "numpy~twin"] * 5


# Turns.


def test_blocks_come_in_turns_a_b_b_a_and_only_a_change_of_worker_is_rewarmed(tmp_path: Path) -> None:
    computer = Computer(STILL, PAIR)
    clocked(computer, tmp_path, profile="quick")
    samples = [(name, r) for name, r in computer.asked if isinstance(r, m.Sample) and r.call == "loop"]
    names = [name for name, _ in samples]
    rounds = [names[i : i + 4] for i in range(0, len(names), 4)]
    assert len(rounds) == 16
    for a, b, c, d in rounds:
        assert a == d != b == c
        assert "numpy" in (a, b)
    for challenger in ("jax", "numpy~twin"):
        first = [each[0] == "numpy" for each in rounds if challenger in each]
        assert first == [True, False] * 4  # A B B A, then B A A B
    changed = [True, *(before != after for before, after in pairwise(names))]
    assert [request.rewarm_calls for _, request in samples] == [int(change) for change in changed]


def test_steps_too_long_to_rewarm_are_not_rewarmed(tmp_path: Path) -> None:
    computer = Computer(STILL, {"numpy": Speed(step_s=0.3), "jax": Speed(step_s=0.2)})
    clocked(computer, tmp_path, profile="quick")
    samples = [request for _, request in computer.asked if isinstance(request, m.Sample)]
    assert samples
    assert {request.rewarm_calls for request in samples} == {0}


def test_loops_of_different_lengths_compare_by_the_gradient_step(tmp_path: Path) -> None:
    speeds = {"numpy": Speed(step_s=8e-3, loop_s=8e-3), "jax": Speed(step_s=40e-6, loop_s=10e-6)}
    problem = clocked(Computer(STILL, speeds), tmp_path).outcome
    slow, fast = timed_of(problem, "numpy", "loop"), timed_of(problem, "jax", "loop")
    assert (slow.steps, fast.steps) == (5, 1000)  # 50 ms of 8 ms, and of 40 us no more than 1000
    assert timed_of(problem, "numpy~twin", "loop").steps == 5
    assert fast.ratio.ratio == pytest.approx(800, rel=1e-6)
    assert fast.step_ns.median == pytest.approx(10e3, rel=1e-6)
    (block, _) = fast.rounds[0].challenger
    assert block.inner == 1000 * fast.inner[0]


def test_a_loop_has_the_same_length_in_every_pair(tmp_path: Path) -> None:
    # 50 ms are 100 steps of the one and 200 of the other, or a hair less: each process has another speed.
    computer = Computer(NOISY, {"numpy": Speed(step_s=500e-6), "jax": Speed(step_s=250e-6)}, seed=4)
    clocked(computer, tmp_path)
    asked = [(name, r.steps) for name, r in computer.asked if isinstance(r, m.Warm) and r.call == "loop"]
    assert len(asked) >= 15
    assert len(set(asked)) == 3
    lengths = dict(asked)
    assert lengths["numpy"] == lengths["numpy~twin"]


def test_calls_of_unequal_length_have_as_many_rounds_as_fit_with_both(tmp_path: Path) -> None:
    # Rounds of two blocks of 0.3 and two of 0.1 s are 0.8 s long: five fit in the four seconds of a comparison.
    problem = clocked(
        Computer(STILL, {"numpy": Speed(step_s=0.1), "jax": Speed(step_s=0.3)}), tmp_path, profile="quick"
    ).outcome
    assert len(timed_of(problem, "jax", "step").rounds) == 5
    assert len(timed_of(problem, "numpy~twin", "step").rounds) == 8


def test_steps_that_fill_a_block_have_no_loop_in_a_quick_run_and_one_in_a_standard_one(tmp_path: Path) -> None:
    speeds = {"numpy": Speed(step_s=0.3), "jax": Speed(step_s=0.2)}
    assert timing_of(clocked(Computer(STILL, speeds), tmp_path, profile="quick").outcome, "jax").loop is None
    assert timed_of(clocked(Computer(STILL, speeds), tmp_path).outcome, "jax", "loop").steps == 1
