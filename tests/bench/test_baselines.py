"""Each baseline gives what we give, imports its own framework only, and is timed in turns; and cost is fitted right."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.benchmark.baselines import MODULES, Baseline, baselines
from gradparity.benchmark.baselines.sklearn_baseline import fit
from gradparity.benchmark.profiles import PROFILES
from tests.bench.simulation import SimulatedClock
from tests.conftest import CORE, configured
from tests.evidence import baseline_ratios
from tests.evidence.baseline_ratios import DifferentAnswers, Measured, main, pairs_of, problem_of, require_same, timed
from tests.evidence.slopes import log_log, sizes_of

FORMULATIONS = ("as_written", "reassociated", "blocked")
FRAMEWORKS = {"autograd", "jax", "torch"}


def hand_derived(problem: Any, params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """``loss = sum log(1 + e^z) - y z`` and ``dw = W^T g``, ``dW = g w^T`` with ``g = X^T (1 / (1 + e^-z) - y)``."""
    X, y = problem.data["X"].astype(np.longdouble), problem.data["y"].astype(np.longdouble)
    w, W = (params[name].astype(np.longdouble) for name in ("w", "W"))
    z = X @ W @ w
    g = X.T @ (1 / (1 + np.exp(-z)) - y)
    return (np.log1p(np.exp(z)) - y * z).sum(), {"w": W.T @ g, "W": np.outer(g, w)}


@pytest.mark.slow
@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("backend_name", CORE)
def test_every_baseline_gives_the_hand_derived_gradient_and_descends_by_it(backend_name: str, formulation: str) -> None:
    backend, problem = configured(backend_name), problem_of("23x5x3", formulation)
    params, data = backend.put(problem.params), backend.put(problem.data)
    value, gradient = hand_derived(problem, dict(problem.params))
    at, expected = dict(problem.params), []
    for _ in range(4):
        loss, slope = hand_derived(problem, at)
        expected.append(loss)
        at = {name: at[name] - 0.01 * slope[name] for name in at}
    found = list(baselines(backend_name, formulation, params, data, block_rows=10))  # two blocks and a rest
    assert len(found) >= 3
    for baseline in found:
        if baseline.step is not None:
            loss, slope = baseline.step()
            got = backend.get({"": loss, **slope})
            assert float(got[""]) == pytest.approx(float(value), rel=1e-12)
            assert all(got[name] == pytest.approx(gradient[name].astype(float), rel=1e-9) for name in gradient)
        for _ in range(2):  # a second descent starts where the first did
            assert baseline.loop is not None
            losses, final = baseline.loop(4, 0.01)
            got = backend.get({"": losses, **final})
            assert got[""] == pytest.approx(np.array(expected, float), rel=1e-12)
            assert all(got[name] == pytest.approx(at[name].astype(float), rel=1e-9) for name in at)


def test_a_baseline_in_cpp_leaves_subnormal_numbers_to_the_process() -> None:
    pytest.importorskip("torch")
    from gradparity.benchmark.baselines.torch_fused_kernel import fused_kernel

    fused_kernel()
    least = np.array([5e-324])
    assert least[0] * 1.0 > 0  # -ffast-math at the linking of a library would have flushed it


def test_scikit_learns_fit_is_stationary_for_the_penalised_loss() -> None:
    problem = problem_of("60x4x2", "as_written")
    X, y = problem.data["X"], problem.data["y"]
    w = fit(X, y, l2=1.0, tolerance=1e-10)
    assert np.abs(X.T @ (1 / (1 + np.exp(-X @ w)) - y) + w).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "modules"),
    [
        *((name.partition("-")[0], module) for name, module in MODULES.items()),
        ("numpy", "gradparity.benchmark.baselines, tests.evidence.baseline_ratios"),  # the registry
    ],
)
def test_a_baseline_imports_its_own_framework_and_no_other(own: str, modules: str) -> None:
    pytest.importorskip(own)
    program = f"import sys, {modules}; print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout.strip() == str(sorted({own} & FRAMEWORKS))


@pytest.mark.parametrize("theirs", [[1, 1, 1 + 1e-3], [1, 1, math.nan], [1, 1, math.inf], [1]], ids=str)
def test_a_baseline_that_gives_another_answer_is_not_timed(theirs: list[float]) -> None:
    with pytest.raises(DifferentAnswers, match="step of theirs: got another answer"):
        require_same("step of theirs", lambda: np.ones(3), lambda: np.array(theirs), np.asarray, 1e-10)


def test_the_ratio_is_our_time_over_theirs_and_the_verdict_is_on_us() -> None:
    clock = SimulatedClock()

    def lasting(ns: int) -> Callable[[], None]:
        return lambda: clock.spend(ns)

    labels = ("numpy", "4x3x3", "blocked", "loop", "theirs")
    slower = timed(lasting(3_000_000), lasting(2_000_000), PROFILES["brief"], 10, labels, clock)
    assert slower.ratio == pytest.approx(1.5, rel=1e-3)
    assert slower.low is not None
    assert slower.high is not None
    assert slower.low < 1.5 < slower.high
    assert slower.verdict == "slower"
    assert slower.ours_ns == pytest.approx(300_000, rel=1e-3)
    assert slower.baseline_ns == pytest.approx(200_000, rel=1e-3)
    faster = timed(lasting(1_000_000), lasting(2_000_000), PROFILES["brief"], 1, labels, clock)
    assert faster.ratio == pytest.approx(0.5, rel=1e-3)
    assert faster.verdict == "faster"


def test_a_step_and_a_loop_are_compared_where_a_baseline_has_them() -> None:
    def loop(steps: int, learning_rate: float) -> Any:
        return steps, learning_rate

    both = Baseline(name="both", step=lambda: "its step", loop=loop)  # type: ignore[arg-type,return-value]
    pairs = list(pairs_of(both, lambda: "step", lambda: "loop", 7, 0.5))
    assert [(what, ours(), theirs(), steps) for what, ours, theirs, steps, _ in pairs] == [
        ("step", "step", "its step", 1),
        ("loop", "loop", (7, 0.5), 7),
    ]
    assert list(pairs_of(replace(both, step=None, loop=None), str, str, 7, 0.5)) == []


def test_a_real_run_of_the_smallest_size_prints_a_ratio_for_every_baseline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(baseline_ratios, "in_process", without_process)
    path = tmp_path / "ratios.json"
    main(["--sizes", "4x3x3", "--formulations", "blocked,plain", "--backends", "numpy", "--json", str(path)])
    lines = capsys.readouterr().out.splitlines()
    ours = {"textbook", "scipy_special", "one_exponential", "signs_once"}
    assert len(lines) == 1 + 2 * len(ours) + 1  # a heading, step and loop of each baseline, and the fit
    assert {line.split()[4] for line in lines[1:]} == {*ours, "scikit-learn"}
    assert path.read_text().count('"ratio"') == len(lines) - 1


def without_process(arguments: list[str]) -> list[Measured]:
    backend, size, formulation, _ = arguments
    profile = replace(PROFILES["brief"], warm_min_s=0.0, warm_cap_s=0.01, block_ns=100_000)
    if formulation == "plain":
        return [baseline_ratios.measure_fit("40x3x3", profile)]
    return list(baseline_ratios.measure(backend, size, formulation, profile))


def test_a_worker_that_fails_is_reported_with_what_it_said() -> None:
    with pytest.raises(RuntimeError, match="no such thing 4x3x3"):
        baseline_ratios.in_process(["no such thing", "4x3x3", "blocked", "brief"])


def test_slope_and_standard_error_are_those_of_numpys_fit() -> None:
    rng = np.random.default_rng(7)
    sizes = np.geomspace(10, 1000, 9)
    times = sizes**1.2 * np.exp(0.1 * rng.standard_normal(9))
    coefficients, covariance = np.polyfit(np.log(sizes), np.log(times), 1, cov=True)
    found = log_log(list(sizes), list(times))
    assert found.slope == pytest.approx(coefficients[0], rel=1e-10)
    assert found.standard_error == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-10)


def test_two_points_have_a_slope_and_no_standard_error() -> None:
    found = log_log((1, 2), (5, 10))
    assert (found.slope, found.standard_error) == (pytest.approx(1), None)


@pytest.mark.parametrize(("sizes", "times"), [((1,), (1,)), ((1, 2), (1,)), ((2, 2), (1, 1)), ((1, 2), (0, 1))])
def test_points_without_a_slope_are_refused(sizes: tuple[float, ...], times: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="points: got sizes"):
        log_log(sizes, times)


@pytest.mark.parametrize("varied", "SFL")
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_one_size_is_varied_and_the_others_stay(formulation: str, varied: str) -> None:
    points = np.array(sizes_of(formulation, varied))
    axis = "SFL".index(varied)
    assert (points[:, axis] / points[0, axis]).tolist() == [1, 2, 4, 8]
    assert (np.delete(points, axis, 1) == np.delete(points[:1], axis, 1)).all()
