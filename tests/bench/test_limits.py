"""What a machine can do at best: flops and bytes counted by hand, and rates measured on a machine that is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from gradparity.benchmark import roofline as limits
from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.roofline import BLOCKS, GEMM_ORDER, Limits, Work, measure_limits, work
from gradparity.benchmark.stats import MedianInterval
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from tests.bench.simulation import SimulatedClock

# S = 4 rows, F = 3 features, L = 2: a product of m x n by n x k is 2 m n k.
X_W, XW_W, W_W, X_U, XT_R, WT_G, G_W = 2 * 4 * 3 * 2, 2 * 4 * 2, 2 * 3 * 2, 2 * 4 * 3, 2 * 3 * 4, 2 * 2 * 3, 3 * 2


@pytest.mark.parametrize(
    ("formulation", "flops"),
    [
        ("as_written", X_W + XW_W + XT_R + WT_G + G_W),  # 106
        ("reassociated", W_W + X_U + XT_R + WT_G + G_W),  # 78
        ("blocked", W_W + X_U + XT_R + WT_G + G_W),
        (None, X_U + XT_R),  # without a projection
    ],
)
@pytest.mark.parametrize(("dtype", "item"), [("float64", 8), ("float32", 4)])
def test_a_step_reads_its_data_once_and_does_what_its_formulation_asks_for(
    formulation: Any, flops: int, dtype: Any, item: int
) -> None:
    spec: Logistic = Logistic(features=3, dtype=dtype)
    if formulation:
        spec = ProjectedLogistic(features=3, projection=2, formulation=formulation, dtype=dtype)
    assert work(spec, 4) == Work(bytes_read=item * (4 * 3 + 4), flops=flops)


def rate(value: float) -> MedianInterval:
    return MedianInterval(value, value, value, 6, 0.96)


def test_the_larger_of_the_two_limits_binds_and_is_the_floor() -> None:
    fields: dict[str, Any] = {"read_blocks": [], "gemm_blocks": []}
    fast, slow = rate(1e10), rate(1e10)
    memory = Limits(fast, slow, memory_ns=30.0, compute_ns=20.0, **fields)
    assert (memory.floor_ns, memory.binds) == (30.0, "memory")
    compute = Limits(fast, slow, memory_ns=30.0, compute_ns=40.0, **fields)
    assert (compute.floor_ns, compute.binds) == (40.0, "compute")


# A machine that is known.


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a simulated machine does in a second: bytes of X by a product with a vector and by a dot product, flops."""

    product: float
    dot: float
    flops: float


class Spending(np.ndarray):
    """An array whose products take simulated time and give nothing."""

    clock: SimulatedClock
    rates: Rates

    def __array_finalize__(self, of: Any) -> None:
        if isinstance(of, Spending) and hasattr(of, "clock"):
            self.clock, self.rates = of.clock, of.rates

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> None:
        assert ufunc is np.matmul
        left, right = inputs
        assert isinstance(left, Spending)
        if right.ndim == 1:
            self._spend(left.nbytes / left.rates.product)
        else:
            self._spend(2 * left.shape[0] * left.shape[1] * right.shape[1] / left.rates.flops)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is not np.dot:
            return super().__array_function__(function, types, args, options)
        self._spend(args[0].nbytes / self.rates.dot)
        return None

    def _spend(self, seconds: float) -> None:
        self.clock.spend(round(1e9 * seconds))


def measured(
    monkeypatch: pytest.MonkeyPatch, rates: Rates, spec: Logistic, rows: int, profile: str = "quick"
) -> Limits:
    clock = SimulatedClock()

    class Generator:
        def standard_normal(self, shape: Any, dtype: Any) -> Spending:
            made = np.zeros(shape, dtype).view(Spending)
            made.clock, made.rates = clock, rates
            return made

    monkeypatch.setattr(limits.np.random, "default_rng", lambda seed: Generator())
    return measure_limits(spec, rows, clock, PROFILES[profile])


SPEC = ProjectedLogistic(features=100, projection=50)


@pytest.mark.parametrize("profile", ["brief", "standard"])
def test_known_rates_are_found_and_give_the_floor(monkeypatch: pytest.MonkeyPatch, profile: str) -> None:
    found = measured(monkeypatch, Rates(product=8e9, dot=10e9, flops=4e10), SPEC, 2000, profile)
    assert found.read_bytes_per_s.median == pytest.approx(10e9, rel=1e-4)
    assert found.flops_per_s.median == pytest.approx(4e10, rel=1e-4)
    assert found.memory_ns == pytest.approx(8 * (2000 * 100 + 2000) / 10, rel=1e-4)
    # X W 20,000,000, (XW) w 200,000, X^T r 400,000, W^T g and g w^T 15,000.
    assert found.compute_ns == pytest.approx(20_615_000 / 40, rel=1e-4)
    assert found.binds == "compute"
    assert len(found.read_blocks) == len(found.gemm_blocks) == BLOCKS
    assert found.gemm_blocks[0].call_ns == pytest.approx(2 * GEMM_ORDER**3 / 40, rel=1e-4)
    assert all(block.wall_ns >= PROFILES[profile].block_ns for block in found.read_blocks + found.gemm_blocks)


@pytest.mark.parametrize("rates", [Rates(product=12e9, dot=5e9, flops=1e12), Rates(product=5e9, dot=12e9, flops=1e12)])
def test_the_faster_way_of_reading_is_what_the_machine_can_do(monkeypatch: pytest.MonkeyPatch, rates: Rates) -> None:
    found = measured(monkeypatch, rates, SPEC, 2000)
    assert found.read_bytes_per_s.median == pytest.approx(12e9, rel=1e-4)
    assert found.binds == "memory"
    assert found.floor_ns == found.memory_ns == pytest.approx(8 * 202_000 / 12, rel=1e-4)


def test_another_formulation_has_the_floor_of_its_own_work_at_the_same_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(monkeypatch, Rates(product=8e9, dot=10e9, flops=4e10), SPEC, 2000)
    # 2 S F + 2 F L + 2 S F + 3 F L = 825,000 flops take 20.6 us: reading X takes longer.
    blocked = replace(SPEC, formulation="blocked")
    assert found.floor_of(blocked, 2000) == pytest.approx(8 * 202_000 / 10, rel=1e-4)
    assert found.floor_of(SPEC, 2000) == found.floor_ns


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_tiny_problem_is_read_at_the_rate_of_a_first_level_cache(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    spec = ProjectedLogistic(features=3, projection=2, dtype=dtype)
    found = measured(monkeypatch, Rates(product=5e10, dot=6e10, flops=1e10), spec, 4)
    read_bytes = found.read_blocks[0].call_ns * 60
    assert 24 * 2**10 <= read_bytes < 24.5 * 2**10
    assert found.read_bytes_per_s.median == pytest.approx(6e10, rel=2e-3)  # whole nanoseconds of 410
    assert found.memory_ns == pytest.approx((16 * 8 if dtype == "float64" else 16 * 4) / 60, rel=2e-3)
    assert found.compute_ns == pytest.approx(106 / 10, rel=1e-4)


def test_a_real_machine_reads_and_multiplies_at_a_finite_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradparity.benchmark.clock import Clock

    found = measure_limits(ProjectedLogistic(features=3, projection=2), 4, Clock(), PROFILES["brief"])
    assert 1e7 < found.read_bytes_per_s.median < 1e13
    assert 1e7 < found.flops_per_s.median < 1e13
    assert 0 < found.floor_ns < 1e6
