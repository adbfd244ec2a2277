"""The cost of an all-reduce on more machines, held to a simulated ring and to what is known of its limits."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity.benchmark.scaling import Link, Measured, fitted, predicted, widened

LINK = Link(20e-6, 0.4e-9)


def ring_s(ranks: int, size: int, link: Link) -> float:
    """Step by step: in each of 2 (p - 1) rounds every process sends a chunk of n / p bytes to the next."""
    clock = [0.0] * ranks
    for _ in range(2 * (ranks - 1)):
        sent = [ready + link.latency_s + size / ranks * link.byte_s for ready in clock]
        clock = [max(clock[i], sent[i - 1]) for i in range(ranks)]
    return max(clock)


@pytest.mark.parametrize("ranks", [2, 3, 8, 64])
@pytest.mark.parametrize("size", [8, 4096, 2**23])
def test_the_formula_is_what_a_ring_takes_round_by_round(ranks: int, size: int) -> None:
    assert LINK.all_reduce_s(ranks, size) == pytest.approx(ring_s(ranks, size, LINK), rel=1e-9)


def measured(noise: float, seed: int = 0) -> list[Measured]:
    rng = np.random.default_rng(seed)
    sizes = (8, 512, 2**15, 2**21)
    return [
        Measured(2, size, LINK.all_reduce_s(2, size) * (1 + noise * rng.standard_normal()))
        for size in sizes
        for _ in range(5)
    ]


def test_the_link_is_found_from_what_it_takes() -> None:
    found = fitted(measured(0.0))
    assert (found.latency_s, found.byte_s) == pytest.approx((LINK.latency_s, LINK.byte_s), rel=1e-9)


def test_a_link_has_no_negative_time() -> None:
    found = fitted([Measured(2, 8, 1e-3), Measured(2, 2**20, 5e-4)])
    assert found.latency_s >= 0 <= found.byte_s


def test_one_size_tells_no_link() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        fitted([Measured(2, 8, 1e-3), Measured(2, 8, 2e-3)])


def test_an_interval_holds_what_is_true_in_most_runs() -> None:
    true = 0.05 / 8 + LINK.all_reduce_s(8, 40_000)
    held = 0
    for seed in range(12):
        steps = 0.05 * (1 + 0.02 * np.random.default_rng([seed, 1]).standard_normal(15))
        said = predicted(measured(0.05, seed), list(steps), 40_000, 8)
        assert said.low_s <= said.step_s <= said.high_s
        held += said.low_s <= true <= said.high_s
    assert held >= 9  # of 95 in 100; a bootstrap of few measurements is narrower


def test_many_machines_wait_for_messages_alone() -> None:
    steps = [0.05] * 5
    by_count = {count: predicted(measured(0.0), steps, 40_000, count) for count in (1, 8, 1000, 10**6)}
    assert by_count[1].speedup == pytest.approx(1)
    assert by_count[8].speedup > 7
    assert by_count[10**6].step_s == pytest.approx(2e6 * LINK.latency_s, rel=1e-2)
    wide = widened(by_count[8], 2.0)
    assert (wide.low_s, wide.high_s) == (by_count[8].low_s / 2, by_count[8].high_s * 2)
