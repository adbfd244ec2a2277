"""What this machine could do at best: read bandwidth and GEMM rate, and the floor they set under a gradient step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradparity.benchmark.clock import Clock
from gradparity.benchmark.profiles import Profile
from gradparity.benchmark.protocol import Block, calibrate, sample, warm_up
from gradparity.benchmark.stats import MedianInterval, median_interval
from gradparity.model_spec.spec import Logistic, ProjectedLogistic

#: Rows and columns of the square product that gives the GEMM rate: three such matrices stay in a common L2 cache,
#: and larger ones were no faster.
GEMM_ORDER = 384
#: The least that a pass reads: three quarters of a common L1 cache.
READ_BYTES = 24 * 2**10
#: Blocks of each kind.
BLOCKS = 6


@dataclass(frozen=True)
class Work:
    """What one value-and-gradient cannot do without: bytes read at least once, and floating-point operations."""

    bytes_read: int
    flops: int


@dataclass(frozen=True)
class Limits:
    """What was measured, in one process with as many threads as the backends have, and the floor it sets.

    ``read_bytes_per_s`` is of passes over an array of X's size, ``flops_per_s`` of a matrix product in X's dtype.
    ``memory_ns`` and ``compute_ns`` are what the bytes that must be read and the flops that must be done take at those
    rates; the larger ``binds``, and is ``floor_ns``.
    """

    read_bytes_per_s: MedianInterval
    flops_per_s: MedianInterval
    read_blocks: list[Block]
    gemm_blocks: list[Block]
    memory_ns: float
    compute_ns: float

    @property
    def floor_ns(self) -> float:
        """Nanoseconds that a gradient step takes at least."""
        return max(self.memory_ns, self.compute_ns)

    @property
    def binds(self) -> Literal["memory", "compute"]:
        """Which of the two limits the floor is."""
        return "memory" if self.memory_ns >= self.compute_ns else "compute"

    def floor_of(self, spec: Logistic, rows: int) -> float:
        """``floor_ns`` of another formulation of the same size, from the same rates."""
        return max(*_floors(work(spec, rows), self.read_bytes_per_s.median, self.flops_per_s.median))


def work(spec: Logistic, rows: int) -> Work:
    """The least that the formulation asks for, S rows, F features, width L.

    Every formulation reads X once: ``blocked`` shows that forward and backward can share a pass. ``as_written`` forms
    X W, ``2 S F L``, whatever its backward pass does; the others ``X u`` with ``u = W w``, ``2 S F + 2 F L``. Backward,
    ``g = X^T r``, ``dw = W^T g``, ``dW = g w^T``: ``2 S F + 3 F L``. The elementwise part is left out.
    """
    cells = rows * spec.features
    width = spec.shapes["W"][1] if isinstance(spec, ProjectedLogistic) else 0
    item = np.dtype(spec.dtype).itemsize
    if not width:
        flops = 4 * cells
    elif spec.formulation == "as_written":
        flops = 2 * cells * width + 2 * rows * width + 2 * cells + 3 * spec.features * width
    else:
        flops = 4 * cells + 5 * spec.features * width
    return Work(bytes_read=(cells + rows) * item, flops=flops)


def measure_limits(spec: Logistic, rows: int, clock: Clock, profile: Profile) -> Limits:
    """Passes over an array of X's size and square matrix products, in blocks; each after its own warm-up.

    A pass is a dot product of the array with itself or a product with a vector, whichever is faster here: both read
    every element once. An array that fits a cache is read from there, as X is in a loop of steps; one smaller than
    ``READ_BYTES`` is taken that large, since calling would otherwise take longer than reading.
    """
    rng = np.random.default_rng(0)
    rows_read = max(rows, -(-READ_BYTES // (spec.features * np.dtype(spec.dtype).itemsize)))
    X = rng.standard_normal((rows_read, spec.features), dtype=np.dtype(spec.dtype).type)
    u, flat = X[0].copy(), X.ravel()
    passes = [_blocks(call, clock, profile) for call in (lambda: X @ u, lambda: np.dot(flat, flat))]
    reads = min(passes, key=lambda blocks: median_interval([block.call_ns for block in blocks]).median)
    square = rng.standard_normal((GEMM_ORDER, GEMM_ORDER), dtype=np.dtype(spec.dtype).type)
    out = np.empty_like(square)
    products = _blocks(lambda: np.matmul(square, square, out=out), clock, profile)
    read_rate = median_interval([1e9 * X.nbytes / block.call_ns for block in reads])
    flop_rate = median_interval([1e9 * 2 * GEMM_ORDER**3 / block.call_ns for block in products])
    memory_ns, compute_ns = _floors(work(spec, rows), read_rate.median, flop_rate.median)
    return Limits(read_rate, flop_rate, reads, products, memory_ns, compute_ns)


def _blocks(call: Callable[[], object], clock: Clock, profile: Profile) -> list[Block]:
    warm_up(call, clock, profile)
    inner = calibrate(call, clock, profile.block_ns)
    return [sample(call, inner, clock)[0] for _ in range(BLOCKS)]


def _floors(least: Work, bytes_per_s: float, flops_per_s: float) -> tuple[float, float]:
    return 1e9 * least.bytes_read / bytes_per_s, 1e9 * least.flops / flops_per_s
