"""The path that training is held against: its digits, its floor, and how far it goes."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np
import pytest

from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import Logistic
from gradparity.numerics.optimisers import (
    LBFGS,
    Adam,
    GradientDescent,
    Momentum,
    Optimiser,
)
from gradparity.oracle.protocol import BUILT_IN, NoTimeForTruth
from gradparity.runner import session as engine
from gradparity.runner.data import _PARENT_COPIES
from gradparity.runner.observer import NullObserver
from gradparity.runner.settings import Settings
from gradparity.truth.logistic.path import one_step_s, trajectory
from tests.contract.problems import with_params
from tests.test_training import judged, toy


def decimal_path(rule: str, steps: int) -> list[Decimal]:
    """One weight from 1/2 on rows x = 1, -2 with labels 1, 1, in 50 digits: softplus(-w) + softplus(2 w)."""
    getcontext().prec = 50
    w, v, m = Decimal("0.5"), Decimal(0), Decimal(0)
    lr, beta1, beta2, eps = (Decimal(value) for value in (0.1, 0.9, 0.999, 1e-8))  # as the doubles that they are
    path = [w]
    for t in range(1, steps + 1):
        g = 2 / (1 + (-2 * w).exp()) - 1 / (1 + w.exp())
        if rule == "gd":
            w -= lr * g
        elif rule == "momentum":
            v = beta1 * v + g
            w -= lr * v
        else:
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            w -= lr * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
        path.append(w)
    return path


@pytest.mark.parametrize("which", [GradientDescent(0.1), Momentum(0.1, 0.9), Adam(0.1)], ids=lambda o: o.name)
def test_the_reference_has_the_steps_that_fifty_digits_give(which: Optimiser) -> None:
    problem = make_problem("two rows", Logistic(features=1), np.array([[1.0], [-2.0]]), np.ones(2))
    path = trajectory(with_params(problem, w=np.array([0.5])), which, 40).path
    for got, expected in zip(path.params[:, 0], decimal_path(which.name, 40), strict=True):
        assert got == pytest.approx(np.longdouble(str(expected)), rel=1e-17)


def test_the_floor_never_shrinks_along_the_way_but_by_the_rounding_of_the_value() -> None:
    for which in (GradientDescent(0.5), Momentum(0.5), Adam(0.5), LBFGS()):
        known = trajectory(toy(), which, 60)
        u = np.finfo(np.float64).eps / 2
        rounding = u * np.abs(known.path.losses[: len(known.loss_floor)])
        assert (np.diff(known.loss_floor - rounding) >= -1e-25).all()
        assert (known.loss_floor > 0).all()


def test_a_stable_run_amplifies_rounding_no_more_than_steps_add_up() -> None:
    for which in (GradientDescent(0.5), Momentum(0.1), Adam(0.1)):
        amplification = trajectory(toy(), which, 100).amplification
        assert amplification.max() < 30


def test_the_floor_of_float32_is_that_of_float64_by_the_ratio_of_their_roundings() -> None:
    double, single = (trajectory(toy(dtype=dtype), GradientDescent(0.5), 50) for dtype in ("float64", "float32"))
    assert single.loss_floor[-1] / double.loss_floor[-1] == pytest.approx(2.0**29, rel=0.01)


def test_a_reference_that_would_take_too_long_covers_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradparity.truth.logistic.path.OPERATIONS", 12 * 9 * 20)  # 12 entries of X, 9 runs, 20 steps
    found = judged(toy(), GradientDescent(0.5), 100)
    assert (found.verdict, found.steps, found.checked_steps, found.reference_loss) == ("agrees", 100, 20, None)


def test_a_reference_run_takes_no_more_copies_of_the_data_than_are_foreseen() -> None:
    data = load("synthetic:20000x20")
    problem = make_problem("rows", Logistic(features=20), data.X, data.y)
    tracemalloc.start()
    try:
        trajectory(problem, GradientDescent(0.1), 1)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes / data.X.nbytes < _PARENT_COPIES - 1  # beside X itself, which the run was given


def test_a_reference_run_of_which_one_step_takes_longer_is_left_out_and_not_begun() -> None:
    problem = toy()
    assert BUILT_IN.trajectory(problem, GradientDescent(0.1), 3, one_step_s(problem)).path.losses[:3].size == 3
    with pytest.raises(NoTimeForTruth, match=r"^reference run of gd, of which one step takes about 0 s$"):
        BUILT_IN.trajectory(problem, GradientDescent(0.1), 3, one_step_s(problem) / 2)


def test_what_has_no_time_for_its_truth_is_left_out_by_a_check_too(tmp_path: Path) -> None:
    options = {"command": "check", "out": str(tmp_path), "backends": ["numpy"], "budget_s": 2.0}
    settings = Settings(data=("synthetic:300000x30",), **options)  # 0.072 GB, which take 3 s
    result = engine.run(settings, NullObserver())
    assert result.left_out == ["300000x30x5: about 3 s for its truth alone"]
    assert result.problems == []
