"""What a certified truth costs beside a matrix product: ``pytest bench/test_truth.py``.

A network of two layers over rows of features, its first product the largest: what an evaluation in extended precision
takes, reverse mode over enclosures, a series along a line, and a whole truth with its floor. Beside each is the CPU
time of that product in float64 by BLAS, in the same process. Over a sweep of widths the slope on logarithmic axes is
that of the product, 1, once arrays are large. Nothing is asserted about time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from gradparity.truth.derivatives.reverse import enclosed_whole
from gradparity.truth.derivatives.series import certify
from gradparity.truth.model.floor import Tape
from gradparity.truth.model.truth import neutral_reference

#: Rows, features, width.
SIZES = [(4, 3, 3), (100, 60, 30), (400, 200, 100), (1000, 784, 256)]
#: Widths of the sweep, over so many rows and features.
WIDTHS, ROWS, FEATURES = (64, 128, 256, 512), 400, 400
CLASSES = 10


def network(p: Any, d: Any, xp: Any) -> Any:
    """Softmax cross-entropy of ``tanh(x W0 + b0) W1``."""
    out = xp.tanh(d["x"] @ p["W0"] + p["b0"]) @ p["W1"]
    top = xp.max(out, axis=1, keepdims=True)
    return xp.mean(xp.log(xp.sum(xp.exp(out - top), axis=1)) + top[:, 0] - xp.sum(out * d["labels"], axis=1))


def drawn(rows: int, features: int, width: int) -> tuple[Any, Any, Any]:
    """Parameters, data and a direction."""
    rng = np.random.default_rng(0)
    params = {
        "W0": rng.standard_normal((features, width)) / np.sqrt(features), "b0": rng.standard_normal(width),
        "W1": rng.standard_normal((width, CLASSES)) / np.sqrt(width),
    }  # fmt: skip
    data = {"x": rng.uniform(0, 1, (rows, features)), "labels": np.eye(CLASSES)[rng.integers(0, CLASSES, rows)]}
    return params, data, {name: rng.standard_normal(value.shape) for name, value in params.items()}


def cpu_s(call: Callable[[], Any], rounds: int = 3) -> float:
    """Least CPU time of a call."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times)


def dgemm_s(rows: int, features: int, width: int) -> float:
    """CPU time of the first product in float64."""
    params, data, _ = drawn(rows, features, width)
    repeat = max(1, 10**7 // (rows * features * width))
    return cpu_s(lambda: [data["x"] @ params["W0"] for _ in range(repeat)]) / repeat


#: A calibration is not worth it where a call takes seconds.
pytestmark = pytest.mark.benchmark(min_rounds=1, max_time=0.1, warmup=False)

PARTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "extended": lambda p, d, v: Tape(network, p, d, v).values(),
    "reverse": lambda p, d, v: enclosed_whole(network, p, d, v),
    "forward": lambda p, d, v: certify(network, p, d, v, whole=True),
    "truth": lambda p, d, v: neutral_reference(network, p, d, v, seed=0, budget_s=120.0),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_part_of_a_truth(benchmark: BenchmarkFixture, size: tuple[int, int, int], part: str) -> None:
    inputs = drawn(*size)
    benchmark.group = "truth " + "x".join(map(str, size))
    product_s = dgemm_s(*size)
    took = cpu_s(lambda: PARTS[part](*inputs), rounds=1)
    benchmark.extra_info |= {"dgemm_cpu_s": product_s, "cpu_s": took, "dgemms": took / product_s}
    found = benchmark(PARTS[part], *inputs)
    expected = float(network(inputs[0], inputs[1], np))
    values = {"extended": lambda: found["loss", ""], "truth": lambda: found.truth["loss", ""]}
    assert float(values.get(part, lambda: found.value.as_longdouble())()) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("part", ["reverse", "forward"])
def test_slope_over_a_sweep_of_widths(benchmark: BenchmarkFixture, part: str) -> None:
    benchmark.group = "truth, slope over widths"
    times = {"dgemm": [dgemm_s(ROWS, FEATURES, width) for width in WIDTHS], part: []}
    for width in WIDTHS:
        inputs = drawn(ROWS, FEATURES, width)
        times[part].append(cpu_s(lambda inputs=inputs: PARTS[part](*inputs)))  # type: ignore[misc]
    slopes = {name: float(np.polyfit(np.log(WIDTHS), np.log(each), 1)[0]) for name, each in times.items()}
    benchmark.extra_info |= {"widths": WIDTHS, "slopes": slopes, "cpu_s": times}
    benchmark(PARTS[part], *inputs)
    assert all(np.isfinite(list(slopes.values())))
