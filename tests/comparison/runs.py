"""Runs of one backend, written down by hand, to be held against each other."""

from __future__ import annotations

from typing import Any

from gradparity.benchmark.stats import MedianInterval
from gradparity.results import (
    BackendInfo,
    Finding,
    RunResult,
    Start,
    Timed,
    Timing,
    Verdict,
)
from tests.report import samples

START = Start(pair=0, import_s=1.0, build_s=0.0, first_call_s=0.1, compile_cache="", resident_bytes=1)


def median_of(us: float, spread: float = 0.01, count: int = 16) -> MedianInterval:
    return MedianInterval(1e3 * us, 1e3 * us * (1 - spread), 1e3 * us * (1 + spread), count, 0.95)


def timed(us: float | None, *, spread: float = 0.01, pairs: int = 1, count: int = 16) -> Timed | None:
    if us is None:
        return None
    return Timed(inner=[1] * pairs, step_ns=median_of(us, spread, count))


def run(
    step_us: float | None,
    *,
    loop_us: float | None = None,
    verdict: Verdict = "agrees",
    version: str = "1",
    threads: int = 1,
    spread: float = 0.01,
    pairs: int = 1,
    count: int = 16,
    name: str = "toy",
    **spec: Any,
) -> RunResult:
    """A run of jax alone on one problem."""
    shared: dict[str, Any] = {"spread": spread, "pairs": pairs, "count": count}
    timing = Timing(backend="jax", starts=[START], step=timed(step_us, **shared), loop=timed(loop_us, **shared))
    finding = Finding(backend="jax", quantity="gradient", parameter="W", verdict=verdict, rule="")
    model = {"features": 3, "formulation": "as_written", "reduction": "mean", "dtype": "float64", **spec}
    found: dict[str, Any] = {"control": None, "reference": "numpy", "findings": [finding], "timings": [timing]}
    made = samples.problem(name, [], clock=False, spec=model, threads=threads, **found)
    settings = {"threads": threads, "thread_counts": [], "profile": "quick"}
    backends = [BackendInfo(name="jax", versions={"jax": version})]
    machine = {"cpu": "c", "cores": 2}
    return samples.run(made, gradparity_version="0", settings=settings, machine=machine, backends=backends)
