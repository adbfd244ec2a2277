"""What is faster, and what cannot be told: two runs side by side, on results written down by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import Round
from gradparity.benchmark.stats import Comparison, control
from gradparity.judge.speed.compare import compare_runs
from gradparity.results import (
    BackendInfo,
    RunResult,
)
from tests.comparison.runs import run, timed

CALM = Block(wall_ns=100, cpu_ns=100, inner=1, minor_faults=0, context_switches=0, stolen_ns=None)
#: The processor was elsewhere for half of it.
LOST = replace(CALM, cpu_ns=50)


@pytest.mark.parametrize("call", ["step", "loop"])
@pytest.mark.parametrize(
    ("new_us", "spread", "speed"),
    [
        (50.0, 0.01, "faster"),
        (200.0, 0.01, "slower"),
        (100.2, 0.01, "equivalent"),
        (104.0, 0.01, "undecided"),  # the interval reaches beyond the 5% that is not called
        (90.0, 0.1, "undecided"),
    ],
)
def test_a_speed_is_called_only_where_the_interval_allows(call: str, new_us: float, spread: float, speed: str) -> None:
    old, new = (
        run(us if call == "step" else 7.0, loop_us=us if call == "loop" else None, spread=spread)
        for us in (100.0, new_us)
    )
    (change,) = compare_runs(old, new).changes
    found = getattr(change, call)
    assert found.verdict == speed
    assert found.ratio == pytest.approx(100 / new_us)
    assert (found.old_ns, found.new_ns) == (1e5, 1e3 * new_us)


def test_the_interval_has_the_scatter_between_processes_that_no_run_saw_within_itself() -> None:
    # Medians without any spread: what is left is 1.6% between two processes, assumed with 4 degrees of freedom a run.
    # Student's t for the 8 of both is 2.306 in any table: 1.016 ** 2.306 is about 1.0376.
    (alone,) = compare_runs(run(100.0, spread=0.0), run(100.0, spread=0.0)).changes
    (many,) = compare_runs(run(100.0, spread=0.0, pairs=4), run(100.0, spread=0.0, pairs=4)).changes
    assert alone.step is not None
    assert alone.step.high == pytest.approx(1.0376, abs=2e-4)
    assert alone.step.low == pytest.approx(1 / 1.0376, abs=2e-4)
    assert many.step is not None
    assert many.step.high == pytest.approx(1.0186, abs=2e-4)  # four processes: half as wide


def test_no_speed_is_called_on_three_blocks() -> None:
    (change,) = compare_runs(run(100.0, count=3), run(50.0, count=3)).changes
    assert change.step is not None
    assert (change.step.verdict, change.step.low, change.step.high) == ("undecided", None, None)


def test_the_larger_floor_of_the_two_runs_decides_and_the_loop_has_its_own() -> None:
    old, new = run(100.0, loop_us=100.0), run(80.0, loop_us=80.0)
    new.problems[0].control = replace(control(), floor=0.3)
    (change,) = compare_runs(old, new).changes
    assert change.step is not None
    assert change.loop is not None
    assert (change.step.verdict, change.loop.verdict) == ("undecided", "faster")


@pytest.mark.parametrize(("disturbed", "reference"), [("jax", "equivalent"), ("numpy", "unstable")])
def test_a_time_that_either_run_could_not_trust_is_unstable(disturbed: str, reference: str) -> None:
    old, new = run(100.0), run(50.0)
    half = [(LOST if index < 2 else CALM, CALM) for index in range(4)]
    still = [(CALM, CALM)] * 4
    ours, theirs = (still, half) if disturbed == "jax" else (half, still)
    half_disturbed = [Round(0, index, ours[index], theirs[index]) for index in range(4)]
    (jax,) = new.problems[0].timings
    assert jax.step is not None
    for problem in (old.problems[0], new.problems[0]):
        problem.timings.append(structs.replace(jax, backend="numpy"))
        problem.findings.append(structs.replace(problem.findings[0], backend="numpy"))
    new.problems[0].timings[0] = structs.replace(jax, step=structs.replace(jax.step, rounds=half_disturbed))
    found = {change.backend: change.step for change in compare_runs(old, new).changes}
    assert {backend: speed and speed.verdict for backend, speed in found.items()} == {
        "jax": "unstable",
        "numpy": reference,  # whose times are its own, and jax's are told by both
    }


def against_numpy(numpy_us: float, jax_us: float, numpy_version: str = "2") -> RunResult:
    """A run in which jax was timed in turns with numpy, their ratio to 1%."""
    result = run(jax_us)
    (problem,), (jax,) = result.problems, result.problems[0].timings
    ratio = Comparison(numpy_us / jax_us, None, None, 0.01, pairs=1, rounds=8, discarded=0, within_process=True)
    assert jax.step is not None
    problem.timings = [
        structs.replace(jax, backend="numpy", step=timed(numpy_us)),
        structs.replace(jax, step=structs.replace(jax.step, ratio=ratio)),
    ]
    problem.findings.insert(0, structs.replace(problem.findings[0], backend="numpy"))
    result.backends.insert(0, BackendInfo(name="numpy", versions={"numpy": numpy_version}))
    return result


def steps_of(old: RunResult, new: RunResult) -> dict[str, tuple[str, float | None]]:
    return {
        change.backend: (change.step.verdict, change.step.against_reference)
        for change in compare_runs(old, new).changes
        if change.step
    }


def test_a_machine_that_was_twice_as_fast_makes_no_backend_faster() -> None:
    both = steps_of(against_numpy(100.0, 30.0), against_numpy(50.0, 15.0))
    assert both == {"numpy": ("undecided", 1.0), "jax": ("undecided", pytest.approx(1.0))}
    # Eight times as fast, of which two are the machine's.
    jax = steps_of(against_numpy(100.0, 80.0), against_numpy(50.0, 10.0))["jax"]
    assert jax == ("faster", pytest.approx(4.0))
    # As fast as before, on a machine twice as fast: slower by one reading, equivalent by the other.
    assert steps_of(against_numpy(100.0, 30.0), against_numpy(50.0, 30.0))["jax"] == ("undecided", pytest.approx(0.5))


def test_a_reference_of_another_version_or_machine_says_nothing_of_drift() -> None:
    old, new = against_numpy(100.0, 30.0), against_numpy(50.0, 15.0, numpy_version="3")
    assert steps_of(old, new) == {"numpy": ("faster", None), "jax": ("faster", None)}
    elsewhere = against_numpy(50.0, 15.0)
    elsewhere.machine["cpu"] = "d"
    assert steps_of(old, elsewhere) == {"numpy": ("faster", None), "jax": ("faster", None)}
