"""``bench`` end to end with real processes, small and few: complete results, threads apart, a budget that is kept."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gradparity.benchmark import profiles
from gradparity.processes.machine import usable_cores
from gradparity.results import ProblemResult, RunResult, Timed, Timing, store
from tests.conftest import Command

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> Callable[..., tuple[RunResult, str, float]]:
    """Runs ``bench`` from this process: what it wrote, what it printed, and how many seconds it took."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[RunResult, str, float]:
        began_s = time.monotonic()
        code, printed, said = command("bench", "--verbose", "--profile", "brief", *arguments)
        took_s = time.monotonic() - began_s
        result = store.read(tmp_path / "gradparity-report" / "results.json")
        assert code == (3 if result.unanswered else 0), said  # a budget may not reach the last backend
        assert result.complete
        return result, printed, took_s

    return run


def require_raw_blocks(timed: Timed | None, *, rounds: int) -> None:
    """So many rounds of four blocks, each of some time, with their warm-up and the median of their steps."""
    assert len(timed.rounds) == rounds
    blocks = [block for each in timed.rounds for block in each.reference + each.challenger]
    assert all(block.wall_ns > 0 and block.inner % timed.steps == 0 for block in blocks)
    assert [warm.calls >= 3 for warm in timed.warm_ups] == [True]
    assert timed.step_ns.low <= timed.step_ns.median <= timed.step_ns.high


def require_complete(problem: ProblemResult) -> None:
    """Everything that a run of numpy alone gives: the closed form and, for A/A, its twin."""
    assert {found.verdict for found in problem.findings} == {"agrees"}
    # Five steps of the loop alone are held to the reference.
    assert [len(trained.losses) for trained in problem.training] == [6]
    (timing,) = problem.timings
    twin = problem.twin
    assert isinstance(twin, Timing)
    for each in (timing, twin):
        (start,) = each.starts
        assert min(start.import_s, start.build_s, start.first_call_s) > 0
        assert each.one_thread is not None
    assert timing.peak_resident_bytes > timing.import_resident_bytes > 2**20
    for call in ("step", "loop"):
        require_raw_blocks(getattr(timing, call), rounds=0)  # its blocks are in the rounds of those it is compared with
        require_raw_blocks(getattr(twin, call), rounds=4)
    require_raw_blocks(timing.primal, rounds=3)
    for call, aa in (("step", problem.control), ("loop", problem.loop_control)):
        assert aa.pairs == any(not each.disturbed for each in getattr(twin, call).rounds)
    assert len(problem.limits.read_blocks) == len(problem.limits.gemm_blocks) == 6
    assert problem.limits.floor_ns > 0
    assert timing.times_floor > 1
    assert problem.left_out == []


def require_exported(file: str, problem: ProblemResult) -> None:
    """Numpy's timings are in the file for pytest-benchmark as they are in the results."""
    (timing,) = problem.timings
    found = {each["name"]: each["stats"] for each in json.loads(Path(file).read_text())["benchmarks"]}
    for call in ("step", "loop"):
        stats, median = found[f"{call}[numpy-{problem.label}]"], getattr(timing, call).step_ns.median
        assert stats["rounds"] == getattr(timing, call).step_ns.count
        assert 1e9 * stats["median"] == pytest.approx(median, rel=1e-12)
        assert 1e9 * np.median(stats["data"]) == pytest.approx(median, rel=1e-12)


def test_every_formulation_of_a_size_leaves_complete_results_and_exports_them(
    bench: Callable[..., tuple[RunResult, str, float]], tmp_path: Path
):
    asked = ("--backends", "numpy", "--sizes", "50x4x2", "--formulations", "all")
    result, printed, _ = bench(*asked, "--export", "pytest-benchmark", "bench.json")
    labels = ["50x4x2", "50x4x2, reassociated", "50x4x2, blocked"]
    assert [problem.label for problem in result.problems] == labels
    assert [problem.spec["formulation"] for problem in result.problems] == ["as_written", "reassociated", "blocked"]
    for problem in result.problems:
        require_complete(problem)
    # 2 S F L + 2 S L + 2 S F + 3 F L and 4 S F + 5 F L flops at the rate of each, and 50 * 5 numbers to be read.
    for problem, flops in zip(result.problems, (1424, 840, 840), strict=True):
        limits = problem.limits
        assert limits.compute_ns == pytest.approx(1e9 * flops / limits.flops_per_s.median)
        assert limits.memory_ns == pytest.approx(1e9 * 2000 / limits.read_bytes_per_s.median)
    assert all(re.search(rf"^{label} ─", printed, re.MULTILINE) for label in labels)
    assert "quickest step" in printed
    assert "Timings for pytest-benchmark: bench.json" in printed
    require_exported(str(tmp_path / "bench.json"), result.problems[0])


@pytest.mark.skipif(usable_cores() < 2, reason="one core has no two threads")
def test_each_number_of_threads_has_a_table_of_its_own(
    bench: Callable[..., tuple[RunResult, str, float]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(profiles, "THREADS_BLOCK_NS", 50_000_000)  # of 200 ms
    result, printed, _ = bench("--backends", "numpy", "--sizes", "4x3x3", "--threads", "1,2")
    assert [(problem.label, problem.threads) for problem in result.problems] == [("4x3x3", 1), ("4x3x3, 2 threads", 2)]
    for problem in result.problems:
        (timing,) = problem.timings
        rounds = problem.twin.step.rounds
        assert rounds
        assert (timing.one_thread is not None) == (problem.threads == 1)
        least_ns = 5_000_000 if problem.threads == 1 else 25_000_000  # half of 10 and of 50 ms
        assert np.median([block.wall_ns for each in rounds for block in each.reference]) > least_ns
    words = " ".join(printed.split())  # a caption is as wide as its table
    assert words.count("A gradient step: one value-and-gradient call from Python") == 2
    assert "1 or 2 threads a backend" in printed


def test_a_budget_on_three_sizes_is_kept_and_says_what_it_left_out(bench: Callable[..., tuple[RunResult, str, float]]):
    arguments = ("--backends", "numpy,autograd", "--sizes", "4x3x3,50x4x2,200x5x2", "--budget", "12")
    result, printed, took_s = bench(*arguments)
    assert took_s < 13.2
    left_out = [*result.left_out, *(what for problem in result.problems for what in problem.left_out)]
    assert left_out
    assert all(what in " ".join(printed.split()) for what in left_out)
    # Twelve seconds are enough for something, if only for numpy's own steps.
    timed = [timing.step for problem in result.problems for timing in problem.timings]
    assert any(step is not None and step.step_ns is not None for step in timed)
    assert result.troubles == []
