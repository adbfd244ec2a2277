"""The whole chain on machines whose truth is known. Seeded: the figures below are the same on every run."""

import math
from collections import Counter
from dataclasses import replace
from functools import cache
from statistics import fmean, stdev

import numpy as np
import pytest

from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.protocol import calibrate, rewarm, sample, warm_up
from gradparity.benchmark.rounds import PairValue, Round, pair_values
from gradparity.benchmark.schedule import Schedule, twin
from gradparity.benchmark.stats import (
    compare,
    control,
    pairs_needed,
    t_quantile,
    verdict,
)
from tests.bench.simulation import NOISY, QUIET, ROUGH, SimulatedCall, SimulatedClock, simulate

STANDARD, QUICK = PROFILES["standard"], PROFILES["quick"]
MACHINES = {"quiet": QUIET, "rough": ROUGH, "noisy": NOISY}
RUNS = 1000
#: A true 10% difference: the challenger takes 1 / 1.1 of the reference's time.
RATIO = 1.1


@cache
def measured(machine: str, profile: str, ratio: float) -> list[list[PairValue]]:
    """A thousand runs, each as its pairs; the A/A runs (ratio 1) have a seed of their own."""
    chosen = PROFILES[profile]
    runs = simulate(MACHINES[machine], ratio, chosen, runs=RUNS, seed=20 if ratio == 1 else 10)
    return [runs.measure(run, chosen) for run in range(RUNS)]


def verdicts(machine: str, profile: str, ratio: float) -> Counter[str]:
    """Verdicts on a thousand runs, each with the floor of an A/A control of its own."""
    controls = [control(pairs) for pairs in measured(machine, profile, 1.0)]
    runs = measured(machine, profile, ratio)
    if ratio == 1.0:  # the control must not judge itself here
        controls = controls[1:] + controls[:1]
    return Counter(
        verdict(compare(pairs, PROFILES[profile], aa), aa.floor) for pairs, aa in zip(runs, controls, strict=True)
    )


def coverage(machine: str, profile: str, ratio: float) -> float:
    """Share of a thousand runs whose interval holds the true ratio."""
    chosen = PROFILES[profile]
    controls = [control(pairs) for pairs in measured(machine, profile, 1.0)]
    results = [
        compare(pairs, chosen, aa) for pairs, aa in zip(measured(machine, profile, ratio), controls, strict=True)
    ]
    known = [(r.low, r.high) for r in results if r.low is not None and r.high is not None]
    assert len(known) > 0.98 * RUNS
    return fmean(low <= ratio <= high for low, high in known)


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_the_standard_interval_holds_the_truth_in_95_of_100_runs(machine: str) -> None:
    assert 0.93 <= coverage(machine, "standard", RATIO) <= 0.97


@pytest.mark.parametrize("machine", MACHINES)
def test_the_quick_interval_errs_on_the_wide_side(machine: str) -> None:
    assert 0.93 <= coverage(machine, "quick", RATIO) <= 0.99


@pytest.mark.parametrize("profile", ["quick", "standard"])
@pytest.mark.parametrize("machine", MACHINES)
def test_identical_workers_are_called_faster_or_slower_in_under_2_percent(machine: str, profile: str) -> None:
    found = verdicts(machine, profile, 1.0)
    assert found["faster"] + found["slower"] < 0.02 * RUNS


def test_a_true_ten_percent_is_found_in_over_90_percent_of_standard_runs() -> None:
    found = verdicts("quiet", "standard", RATIO)
    assert found["faster"] > 0.9 * RUNS
    assert found["slower"] == found["equivalent"] == 0


@pytest.mark.parametrize("machine", MACHINES)
def test_a_true_ten_percent_is_never_called_slower(machine: str) -> None:
    assert verdicts(machine, "standard", RATIO)["slower"] == 0


def test_the_quiet_machine_is_as_quiet_as_the_real_one_was() -> None:
    values = [p.log_ratio for pairs in measured("quiet", "standard", 1.0) for p in pairs if p.log_ratio is not None]
    assert 0.015 < stdev(values) < 0.025


def test_asking_after_every_pair_would_stop_too_soon() -> None:
    """Why the number of pairs is fixed once: the same scatter, with the interval asked about after each pair."""
    runs = 2000
    values = np.random.default_rng(7).normal(0, 0.08, (runs, STANDARD.pairs_max))

    holds, open_still = np.zeros(runs, bool), np.ones(runs, bool)
    for n in range(STANDARD.pairs_min, STANDARD.pairs_max + 1):
        half_width = t_quantile(n - 1) * values[:, :n].std(axis=1, ddof=1) / math.sqrt(n)
        stops = open_still & ((half_width <= STANDARD.half_width) | (n == STANDARD.pairs_max))
        holds[stops] = (abs(values[:, :n].mean(axis=1)) <= half_width)[stops]
        open_still &= ~stops
    assert holds.mean() < 0.935

    def holds_when_asked_once(row: list[float]) -> bool:
        pairs = [PairValue(pair, value, None, 8, 0) for pair, value in enumerate(row)]
        result = compare(pairs[: pairs_needed(pairs[: STANDARD.pairs_min], STANDARD)], STANDARD)
        assert result.low is not None
        assert result.high is not None
        return result.low <= 1 <= result.high

    assert 0.94 < fmean(holds_when_asked_once(row) for row in values.tolist()) < 0.96


def test_a_machine_that_is_always_taken_away_is_unstable() -> None:
    runs = simulate(replace(QUIET, intruder_chance=1.0), 1.0, STANDARD, runs=20, seed=1)
    for run in range(20):
        pairs = runs.measure(run, STANDARD)
        assert len(pairs) <= STANDARD.pairs_max
        assert verdict(compare(pairs, STANDARD), 0.05) == "unstable"


def test_theft_is_discarded_and_counted() -> None:
    runs = simulate(replace(QUIET, steal_chance=0.1), 1.0, STANDARD, runs=50, seed=1)
    results = [compare(runs.measure(run, STANDARD), STANDARD) for run in range(50)]
    assert 0.1 < sum(r.discarded for r in results) / sum(r.rounds for r in results) < 0.4


# --- from the first call to the verdict, on one simulated clock -------------------------------------------------------


def worker(clock: SimulatedClock, cost_ns: float) -> SimulatedCall:
    """A call with a compilation, caches that another's turn empties, and a common speed that drifts by the minute."""
    last_end_ns = -1

    def cost(call: int, now_ns: int) -> float:
        nonlocal last_end_ns
        cold = 1.0 if now_ns == last_end_ns else 8.0
        drift = math.exp(0.3 * math.sin(now_ns / 20e9))
        compilation_ns = 700e6 if call == 0 else 0.0
        spent = round(compilation_ns + cost_ns * cold * drift)
        last_end_ns = now_ns + spent
        return spent

    return SimulatedCall(clock, cost)


def test_from_warm_up_to_verdict_the_true_ratios_are_found() -> None:
    clock = SimulatedClock()
    cost_ns = {"numpy": 40e3, twin("numpy"): 40e3, "jax": 20e3, "torch": 41e3, "autograd": 120e3}
    calls = {name: worker(clock, cost) for name, cost in cost_ns.items()}
    warm = {name: warm_up(call, clock, QUICK) for name, call in calls.items()}
    assert all(state.converged and state.seconds < 1.0 for state in warm.values())
    inner = {name: calibrate(call, clock, QUICK.block_ns) for name, call in calls.items()}
    assert inner["numpy"] * 40e3 >= 0.7 * QUICK.block_ns

    rounds: dict[str, list[Round]] = {name: [] for name in cost_ns if name != "numpy"}
    active = ""
    for turn in Schedule("numpy", dict.fromkeys(rounds, 8), pair=0, seed=11):
        blocks = []
        for name in turn.order:
            if name != active:
                rewarm(calls[name], clock, calls=QUICK.rewarm_calls)
                active = name
            blocks.append(sample(calls[name], inner[name], clock)[0])
        outer, middle = (blocks[0], blocks[3]), (blocks[1], blocks[2])
        first_is_reference = turn.order[0] == "numpy"
        reference, challenger = (outer, middle) if first_is_reference else (middle, outer)
        rounds[turn.challenger].append(Round(0, turn.round, reference, challenger))

    aa = control(pair_values(rounds[twin("numpy")]))
    results = {name: compare(pair_values(taken), QUICK, aa) for name, taken in rounds.items()}
    for name, result in results.items():
        assert result.ratio == pytest.approx(40e3 / cost_ns[name], rel=0.002)
        assert result.within_process
    assert {name: verdict(result, aa.floor) for name, result in results.items()} == {
        twin("numpy"): "equivalent",
        "jax": "faster",
        "torch": "undecided",
        "autograd": "slower",
    }
