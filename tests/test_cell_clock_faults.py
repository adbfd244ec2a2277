"""The whole clock where something goes wrong: lost workers, doubtful timings, budgets, and what is saved of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gradparity import results
from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.rounds import pair_values
from gradparity.benchmark.stats import compare
from gradparity.cli.app import ExitCode, exit_code
from gradparity.processes.peer import OutOfTime
from gradparity.results import store
from gradparity.worker import messages as m
from gradparity.worker.wire import Request
from tests.bench.simulation import NOISY, QUIET
from tests.cell_clocks import PAIR, SPEEDS, fault, pairs_of, reasons, timed_of, timing_of
from tests.simulated_workers import STILL, Computer, SimulatedRun, SimulatedWorker, Speed, clocked

# Losses.


@pytest.mark.parametrize("budget_s", [None, 1000.0])
def test_a_worker_lost_in_its_third_round_keeps_two_and_the_others_have_all_of_theirs(
    tmp_path: Path, budget_s: float | None
) -> None:
    # Two blocks a round: its fifth is the first of the third round, and a block or two of the round are left over.
    lost = fault("jax", m.Sample, lambda worker, request: worker.samples == 5)
    computer = Computer(STILL, SPEEDS, fault=lost)
    run = clocked(computer, tmp_path, budget_s=budget_s)
    problem = run.outcome
    step = timed_of(problem, "jax", "step")
    assert pairs_of(step) == {0: 2}
    assert step.ratio.ratio == pytest.approx(2.0, rel=1e-6)
    assert len(step.blocks) == 1
    assert timing_of(problem, "jax").loop is None
    assert [(t.backend, t.stage, t.reason) for t in problem.troubles] == [("jax", "timing", "killed by SIGKILL")]
    assert problem.left_out == []  # it is not taken for one that the budget cut
    assert Counter(name for name, _ in computer.started)["jax"] == 1
    for name in ("autograd", "torch", "numpy~twin"):
        for call in ("step", "loop"):
            assert pairs_of(timed_of(problem, name, call)) == dict.fromkeys(range(5), 8)
    assert exit_code(run.result) == ExitCode.BACKEND


def test_a_worker_lost_in_the_third_pair_keeps_what_the_first_two_gave(tmp_path: Path) -> None:
    loops: list[str] = []

    def third(worker: SimulatedWorker, request: m.Warm) -> bool:
        loops.extend([request.call] if request.call == "loop" else [])
        return len(loops) == 3

    run = clocked(Computer(STILL, SPEEDS, fault=fault("jax", m.Warm, third)), tmp_path)
    assert pairs_of(timed_of(run.outcome, "jax", "step")) == {0: 8, 1: 8, 2: 8}
    assert pairs_of(timed_of(run.outcome, "jax", "loop")) == {0: 8, 1: 8}
    assert pairs_of(timed_of(run.outcome, "torch", "loop")) == dict.fromkeys(range(5), 8)


@pytest.mark.parametrize("kind", [m.Configure, m.Load, m.CountThreads, m.Warm])
def test_a_worker_lost_before_it_is_timed_is_a_failed_row_and_the_others_go_on(
    tmp_path: Path, kind: type[Request[Any]]
) -> None:
    run = clocked(Computer(STILL, SPEEDS, fault=fault("jax", kind, lambda *_: True)), tmp_path)
    assert [(trouble.backend, trouble.stage) for trouble in run.outcome.troubles] == [("jax", kind.stage)]
    assert not any(timing.step for timing in run.outcome.timings if timing.backend == "jax")
    for call in ("step", "loop"):
        assert pairs_of(timed_of(run.outcome, "torch", call)) == dict.fromkeys(range(5), 8)
    assert run.outcome.recommendation.choice == ["torch"]


def test_without_the_reference_the_others_times_are_kept_until_another_takes_its_place(tmp_path: Path) -> None:
    lost = fault("numpy", m.Sample, lambda worker, request: worker.samples == 0)
    problem = clocked(Computer(STILL, PAIR | {"torch": SPEEDS["torch"]}, fault=lost), tmp_path).outcome
    for name, step_ns in (("jax", 200e3), ("torch", 100e3)):
        step = timed_of(problem, name, "step")
        assert len(step.blocks) >= 14  # two of each round but the one that was lost
        assert step.step_ns.median == pytest.approx(step_ns, rel=1e-6)
    assert problem.reference == "jax"
    assert pairs_of(timed_of(problem, "torch", "step")) == dict.fromkeys(
        range(1, 5), 8
    )  # none of the pair that it left
    assert pairs_of(timed_of(problem, "torch", "loop")) == dict.fromkeys(range(5), 8)
    assert problem.recommendation.choice == ["torch"]


@pytest.mark.parametrize("kind", [m.Load, m.CountThreads, m.Warm])
def test_in_place_of_a_reference_that_was_never_timed_the_next_is_one(tmp_path: Path, kind: type[Request[Any]]) -> None:
    speeds = PAIR | {"torch": SPEEDS["torch"]}
    run = clocked(Computer(STILL, speeds, fault=fault("numpy", kind, lambda *_: True)), tmp_path)
    problem = run.outcome
    assert [(trouble.backend, trouble.stage) for trouble in problem.troubles] == [("numpy", kind.stage)]
    assert problem.reference == "jax"
    for call, ratio in (("step", 2.0), ("loop", SPEEDS["jax"].loop_s / SPEEDS["torch"].loop_s)):
        timed = timed_of(problem, "torch", call)
        assert timed.ratio.ratio == pytest.approx(ratio, rel=1e-6)
        assert pairs_of(timed) == dict.fromkeys(range(5), 8)
        assert timed.speed in ("faster", "slower", "equivalent")
        assert timed_of(problem, "jax", call).speed is None
        # A twin of its own from the second pair on; numpy's is none of it.
        assert pairs_of(timed_of(problem, "jax~twin", call)) == dict.fromkeys(range(1, 5), 8)
    assert problem.twin.backend == "jax~twin"


def test_without_the_twin_the_ratios_are_measured_all_the_same(tmp_path: Path) -> None:
    run = clocked(Computer(STILL, SPEEDS, fault=fault("numpy~twin", m.Sample, lambda *_: True)), tmp_path)
    assert run.outcome.control.pairs == 0
    assert pairs_of(timed_of(run.outcome, "jax", "step")) == dict.fromkeys(range(5), 8)
    assert [trouble.backend for trouble in run.outcome.troubles] == ["numpy~twin"]


def test_a_machine_whose_limits_cannot_be_measured_is_timed_without(tmp_path: Path) -> None:
    run = clocked(Computer(STILL, PAIR, fault=fault("numpy~limits", m.MeasureLimits, lambda *_: True)), tmp_path)
    assert run.outcome.limits is None
    assert timing_of(run.outcome, "jax").times_floor is None
    assert any("bandwidth" in each and "killed by SIGKILL" in each for each in run.outcome.left_out)
    assert exit_code(run.result) == ExitCode.AGREES


def test_a_last_output_that_is_wrong_is_said_once_however_many_pairs_there_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = SimulatedWorker._sample

    def drifted(self: SimulatedWorker, request: m.Sample) -> m.Sampled:
        answer = sound(self, request)
        if self.name != "jax" or request.call != "step":
            return answer
        tree = {name: 2 * value for name, value in answer.output.items() if name == "W"}
        return structs.replace(answer, output=answer.output | tree)

    monkeypatch.setattr(SimulatedWorker, "_sample", drifted)
    run = clocked(Computer(STILL, PAIR), tmp_path)
    (wrong,) = [found for found in run.outcome.findings if found.verdict == "wrong"]
    assert (wrong.backend, wrong.quantity, wrong.parameter) == ("jax", "gradient", "W")
    assert wrong.rule.startswith("last timed step: ")
    assert exit_code(run.result) == ExitCode.DISAGREES
    assert run.outcome.recommendation is None  # numpy is by hand, and jax is wrong


def test_a_backend_without_an_answer_is_not_timed(tmp_path: Path) -> None:
    computer = Computer(STILL, SPEEDS)
    run = clocked(computer, tmp_path, impure="jax")
    assert not any(name == "jax" and isinstance(r, m.Warm | m.Sample) for name, r in computer.asked)
    assert timing_of(run.outcome, "jax").step is None
    assert Counter(name for name, _ in computer.started)["jax"] == 1
    assert "jax is left out: impure in loss" in reasons(run.outcome)
    assert pairs_of(timed_of(run.outcome, "torch", "step")) == dict.fromkeys(range(5), 8)


# Doubts.


def test_a_call_that_never_settles_is_timed_and_said_to_be_so(tmp_path: Path) -> None:
    speeds = PAIR | {"jax": Speed(step_s=200e-6, settles=False)}
    problem = clocked(Computer(STILL, speeds), tmp_path).outcome
    step = timed_of(problem, "jax", "step")
    assert step.ratio.ratio == pytest.approx(2.0, rel=1e-6)
    assert [warm.converged for warm in step.warm_ups] == [False] * 5
    (doubt,) = [reason for reason in reasons(problem) if "not settled when warming up ended" in reason]
    assert "(jax's step after 5.00 s, jax's loop after 5.00 s)" in doubt
    assert all(warm.converged for warm in timed_of(problem, "numpy", "step").warm_ups)


def test_a_backend_of_which_more_than_a_quarter_of_the_rounds_is_disturbed_is_unstable(tmp_path: Path) -> None:
    speeds = SPEEDS | {"jax": replace(SPEEDS["jax"], disturbed=0.3)}
    problem = clocked(Computer(QUIET, speeds, seed=3), tmp_path).outcome
    step = timed_of(problem, "jax", "step")
    assert step.speed == "unstable"
    assert step.ratio.rounds == len(step.rounds)  # every raw round is kept, and those to discard are counted
    assert step.ratio.discarded > step.ratio.rounds / 4
    assert step.ratio.discarded == sum(each.disturbed for each in step.rounds)
    (doubt,) = [reason for reason in reasons(problem) if reason.startswith("unstable")]
    assert f"jax's step {step.ratio.discarded} of {step.ratio.rounds}" in doubt
    assert "torch" not in doubt
    assert timed_of(problem, "torch", "step").speed == "faster"


def test_a_machine_where_more_than_a_quarter_of_the_rounds_is_disturbed_claims_nothing(tmp_path: Path) -> None:
    stolen = replace(QUIET, intruder_chance=0.2)
    problem = clocked(Computer(stolen, SPEEDS, seed=3), tmp_path).outcome
    for name in ("autograd", "jax", "torch"):
        assert timed_of(problem, name, "step").speed == "unstable"


def test_a_backend_that_uses_two_cores_is_started_again_on_one(tmp_path: Path) -> None:
    speeds = PAIR | {"jax": replace(SPEEDS["jax"], cpu=(1.9, 1.0))}
    computer = Computer(STILL, speeds)
    problem = clocked(computer, tmp_path).outcome
    # At first without, then tied to one core; and in the four pairs that follow tied at once.
    assert [tied for name, tied in computer.started if name == "jax"] == [False, *[True] * 5]
    assert {tied for name, tied in computer.started if name != "jax"} == {False}
    proof = timing_of(problem, "jax").one_thread
    assert proof == results.OneThread(cpu_per_wall=1.0, pinned=True, holds=True)
    assert timing_of(problem, "numpy").one_thread == results.OneThread(cpu_per_wall=1.0, pinned=False, holds=True)
    assert not any("more than one thread" in reason for reason in reasons(problem))


def test_a_backend_that_uses_two_cores_even_on_one_is_timed_and_said_to(tmp_path: Path) -> None:
    speeds = PAIR | {"jax": replace(SPEEDS["jax"], cpu=(1.9, 1.5))}
    problem = clocked(Computer(STILL, speeds), tmp_path).outcome
    assert timing_of(problem, "jax").one_thread == results.OneThread(cpu_per_wall=1.5, pinned=True, holds=False)
    (doubt,) = [reason for reason in reasons(problem) if "more than one thread" in reason]
    assert "even on one core (jax 1.50 s of CPU a second)" in doubt
    assert pairs_of(timed_of(problem, "jax", "step")) == dict.fromkeys(range(5), 8)


def test_with_several_threads_nobody_is_held_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradparity.runner.settings.usable_cores", lambda: 2)
    computer = Computer(STILL, PAIR | {"jax": replace(SPEEDS["jax"], cpu=(1.9, 1.0))})
    problem = clocked(computer, tmp_path, threads=2).outcome
    assert not any(isinstance(request, m.CountThreads) for _, request in computer.asked)
    assert timing_of(problem, "jax").one_thread is None
    # Blocks in which pools of threads can wake and sleep, of at least 200 ms.
    assert {request.block_ns for _, request in computer.asked if isinstance(request, m.Warm)} == {200_000_000}
    first = timed_of(problem, "jax", "step").rounds[0]
    assert all(block.wall_ns >= 200_000_000 for block in first.reference + first.challenger)


# Budgets.


def spent_s(run: SimulatedRun, budget_s: float) -> float:
    return run.computer.now_s() - (run.crew.deadline.at - budget_s)


#: Seconds that are enough for all of a standard run, and that end it in its later pairs and in its first.
@pytest.mark.parametrize("budget_s", [300.0, 60.0, 25.0, 15.0])
def test_a_budget_is_kept_to_a_tenth_and_what_did_not_fit_is_named(tmp_path: Path, budget_s: float) -> None:
    run = clocked(Computer(QUIET, SPEEDS), tmp_path, budget_s=budget_s)
    assert spent_s(run, budget_s) <= 1.1 * budget_s
    assert run.outcome.troubles == []
    assert {found.verdict for found in run.outcome.findings} == {"agrees"}
    assert exit_code(run.result) == ExitCode.AGREES
    whole = sum(pairs_of(timed_of(run.outcome, "torch", "step")).values())
    assert bool(run.outcome.left_out) == (budget_s < 300)
    assert whole == 40 or run.outcome.left_out
    if budget_s == 60:  # a whole pair fits, and another would not
        assert run.outcome.left_out == ["process pairs: 1 of 5"]


def test_a_deadline_in_mid_schedule_stops_between_turns_and_says_how_many_rounds_there_were(tmp_path: Path) -> None:
    # Three calls of a second each in warm-up, then rounds of four: there is no time for all four rounds of two.
    speeds = {"numpy": Speed(step_s=1.0), "jax": Speed(step_s=1.0)}
    run = clocked(Computer(STILL, speeds), tmp_path, profile="quick", budget_s=29.0)
    rounds = [*timed_of(run.outcome, "jax", "step").rounds, *timed_of(run.outcome, "numpy~twin", "step").rounds]
    planned = 2 * PROFILES["quick"].rounds(1.0)
    assert 2 <= len(rounds) < planned
    assert all(timed_of(run.outcome, name, "step").blocks == [] for name in ("numpy", "jax", "numpy~twin"))
    assert f"step: {len(rounds)} of {planned} rounds in process pair 0" in run.outcome.left_out
    assert run.outcome.troubles == []
    assert spent_s(run, 29.0) <= 31.9


def test_a_worker_cut_off_by_the_budget_is_left_out_and_has_not_failed(tmp_path: Path) -> None:
    cut = fault("jax", m.Warm, lambda worker, request: request.call == "loop", failure=OutOfTime)
    run = clocked(Computer(STILL, SPEEDS, fault=cut), tmp_path, budget_s=1000.0)
    assert any(each.startswith("jax: cut off in warm-up") for each in run.outcome.left_out)
    assert run.outcome.troubles == []
    assert {found.verdict for found in run.outcome.findings} == {"agrees"}
    assert exit_code(run.result) == ExitCode.AGREES
    assert pairs_of(timed_of(run.outcome, "jax", "step"))[0] == 8
    assert pairs_of(timed_of(run.outcome, "torch", "loop")) == dict.fromkeys(range(5), 8)


def test_without_a_budget_nothing_is_left_out(tmp_path: Path) -> None:
    assert clocked(Computer(NOISY, SPEEDS), tmp_path).outcome.left_out == []


# Results.


def test_every_raw_block_is_in_the_results_and_survives_the_file(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    run = clocked(Computer(QUIET, PAIR, seed=5), tmp_path, saves=True)
    loaded = store.read(tmp_path / "results.json")
    assert store.encode(loaded) == store.encode(run.result)
    (problem,) = loaded.problems
    for name in ("jax", "numpy~twin"):
        for call in ("step", "loop"):
            timed = timed_of(problem, name, call)
            assert timed.rounds == timed_of(run.outcome, name, call).rounds
            assert len(timed.rounds) == 8 * len(timed.warm_ups) == 8 * len(timed.inner)
            assert all(block.wall_ns > 0 for each in timed.rounds for block in each.reference + each.challenger)
    # The ratio can be worked out again from what is in the file.
    jax = timed_of(problem, "jax", "step")
    again = compare(pair_values(jax.rounds), PROFILES["standard"])
    assert math.isclose(again.ratio or 0, jax.ratio.ratio or 0, rel_tol=1e-12)
    assert problem.limits is not None
    assert timing_of(problem, "jax").peak_resident_bytes == 40 * 2**20


def test_what_was_timed_is_on_disk_after_every_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    pairs: list[int] = []
    plain = store.save

    def save(result: results.RunResult, folder: Path, **how: bool) -> None:
        plain(result, folder, **how)
        pairs.extend(len(timing.starts) for timing in result.problems[0].timings if timing.backend == "jax")

    monkeypatch.setattr(store, "save", save)
    clocked(Computer(STILL, PAIR), tmp_path, saves=True)
    assert [count for count, _ in groupby(pairs)] == [1, 2, 3, 4, 5]


def test_rows_come_in_the_order_of_the_registry_whoever_was_ready_first(tmp_path: Path) -> None:
    run = clocked(Computer(STILL, dict(reversed(SPEEDS.items()))), tmp_path, saves=True)
    assert [timing.backend for timing in run.outcome.timings] == ["numpy", "autograd", "jax", "torch"]
