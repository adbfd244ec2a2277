"""The path that training is held against: its digits, its floor, and how far it goes."""

from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest

from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import Logistic
from gradparity.numerics.optimisers import (
    LBFGS,
    Adam,
    GradientDescent,
    Momentum,
    Optimiser,
)
from gradparity.truth.logistic.path import trajectory
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
