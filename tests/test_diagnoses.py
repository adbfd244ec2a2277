"""Each diagnosis on data where it holds and on data where it does not, with figures known from elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.judge.curvature import largest_curvature
from gradparity.judge.diagnoses import diagnose, saturated_sigmoid, separable_data, unstable_learning_rate
from gradparity.judge.separation import separating_direction
from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.numerics.optimisers import Adam, GradientDescent, Momentum
from gradparity.truth.logistic.path import trajectory
from gradparity.truth.logistic.truth import reference
from tests.contract.problems import drawn, with_params


def plain(X: Any, y: Any, **options: Any) -> Problem:
    X = np.asarray(X, float)
    return make_problem("given", Logistic(features=X.shape[1], **options), X, y)


def one_feature(x: list[float], y: list[float], **options: Any) -> Problem:
    return plain(np.array(x)[:, None], np.array(y), **options)


def real(name: str, **options: Any) -> Problem:
    data = load(name, standardise=options.pop("standardise", name != "toy"))
    return plain(data.X, data.y, **options)


# --- separable data --------------------------------------------------------------------------------------------------


def test_labels_that_follow_a_sign_are_separable_and_one_flipped_label_ends_it() -> None:
    assert separable_data(one_feature([-2, -1, 1, 3], [0, 0, 1, 1])) is not None
    assert separable_data(one_feature([-2, -1, 1, 3], [0, 1, 1, 1])) is None


def test_the_distance_said_is_that_of_the_nearest_row() -> None:
    found = separable_data(one_feature([-2, -0.25, 1, 3], [0, 0, 1, 1]))
    assert found is not None
    assert "a distance of 0.25" in found.finding
    assert "all 4 rows" in found.finding
    assert "--l2" in found.cure


def test_a_penalty_gives_the_loss_a_minimum_and_ends_the_diagnosis() -> None:
    assert separable_data(one_feature([-2, -1, 1, 3], [0, 0, 1, 1], l2=1e-6)) is None


def test_the_iris_and_breast_cancer_data_are_not_separable_by_a_direction_and_toy_is() -> None:
    # scikit-learn's unpenalised fit converges on the first two, and cannot on toy.
    assert separable_data(real("iris")) is None
    assert separable_data(real("breast_cancer")) is None
    assert separable_data(real("toy")) is not None


def test_features_twelve_orders_of_magnitude_apart_do_not_hide_a_direction() -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3))
    y = (X.sum(axis=1) > 0).astype(float)
    scales = np.array([1e-6, 1.0, 1e6])
    assert separable_data(plain(X * scales, y)) is not None
    y[0] = 1 - y[0]
    X[1], y[1] = X[0] * 0.5, 1 - y[0]  # the same ray with both labels
    assert separable_data(plain(X * scales, y)) is None


def test_rows_beyond_the_first_program_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradparity.judge.separation.ROWS_AT_ONCE", 10)
    rng = np.random.default_rng(2)
    X = rng.standard_normal((200, 3))
    y = (X @ [1.0, -2.0, 0.5] > 0).astype(float)
    direction = separating_direction(plain(X, y))
    assert direction is not None
    assert ((2 * y - 1) * (X @ direction) > 0).all()
    y[:100] = 1 - y[:100]
    assert separating_direction(plain(X, y)) is None


def test_the_growth_said_is_that_of_the_run() -> None:
    problem = one_feature([-1, 1], [0, 1])
    known = trajectory(problem, GradientDescent(1.0), 50)
    found = separable_data(problem, [known])
    assert found is not None
    assert f"from {float(known.path.losses[0]):.3g} to {float(known.path.losses[-1]):.3g}" in found.finding
    assert "50 steps of gd" in found.finding


# --- saturated sigmoid -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "inside", "beyond"), [("float64", 35.9, 36.2), ("float32", 15.8, 16.1)])
def test_the_sigmoid_is_saturated_from_where_p_has_no_room_left(dtype: Any, inside: float, beyond: float) -> None:
    problem = one_feature([1, -1, 0.1, 0.1], [1, 0, 1, 0], dtype=dtype)
    assert saturated_sigmoid(with_params(problem, w=np.array([inside]))) is None
    found = saturated_sigmoid(with_params(problem, w=np.array([beyond])))
    assert found is not None
    assert "2 of 4 rows (50%) at the start" in found.finding
    assert dtype in found.finding
    # Where it is said, 1 - p has lost all but its last bit in that dtype; where it is not, some are left.
    p = 1 / (1 + np.exp(-np.array([beyond, inside], dtype), dtype=dtype))
    assert 1 - p[0] <= np.finfo(dtype).eps


def test_the_logit_scale_counts() -> None:
    problem = with_params(one_feature([1, -1], [1, 0], logit_scale=4.0), w=np.array([10.0]))
    assert saturated_sigmoid(problem) is not None


def test_a_run_that_ends_saturated_says_after_which_steps() -> None:
    problem = one_feature([-40, 40, 41], [0, 1, 1])
    found = saturated_sigmoid(problem, [trajectory(problem, GradientDescent(1.0), 7)])
    assert found is not None
    assert "3 of 3 rows (100%) after 7 steps of gd" in found.finding
    assert "at the start" not in found.finding


# --- learning rate ---------------------------------------------------------------------------------------------------


def hessian(problem: Problem) -> Any:
    """``X^T diag(c^2 p (1 - p)) X`` of the plain model, by NumPy alone."""
    X, c = problem.data["X"], problem.spec.logit_scale
    p = 1 / (1 + np.exp(-c * X @ problem.params["w"]))
    return (X * (c * c * p * (1 - p))[:, None]).T @ X + problem.spec.l2 * np.eye(X.shape[1])


@pytest.mark.parametrize("name", ["toy", "iris", "breast_cancer"])
def test_the_curvature_is_the_largest_eigenvalue_of_the_hessian(name: str) -> None:
    problem = real(name, l2=0.5)
    largest = np.linalg.eigvalsh(hessian(problem))[-1]
    found = largest_curvature(problem, problem.params)
    assert found == pytest.approx(largest, rel=1e-3)
    assert found is not None
    assert found <= largest * (1 + 1e-12)


def test_at_the_saddle_the_positive_curvature_is_found_beside_the_negative() -> None:
    # At w = 0, W = 0 the Hessian couples w and W by g = X^T r alone: its eigenvalues are +|g|, -|g| and 0.
    data = load("toy")
    problem = make_problem("toy", ProjectedLogistic(features=3, projection=2), data.X, data.y, start="zeros")
    g = data.X.T @ (0.5 - data.y)
    assert largest_curvature(problem, problem.params) == pytest.approx(np.linalg.norm(g), rel=1e-3)


def quarter() -> Problem:
    """One row x = 1 with either label: the curvature at 0 is 2 * 1/4, and a step is stable up to 4."""
    return with_params(one_feature([1, 1], [0, 1]), w=np.array([0.1]))


def test_steps_are_called_unstable_from_two_over_the_curvature_on() -> None:
    for rate, unstable in ((3.9, False), (4.1, True), (40.0, True)):
        found = unstable_learning_rate(quarter(), [trajectory(quarter(), GradientDescent(rate), 60)])
        assert (found is not None) == unstable
    assert found is not None
    assert "--lr 40" in found.finding
    assert "4.01 at the start" in found.finding  # 2 / (2 p (1 - p)) at w = 0.1
    assert found.cure == "Use --lr 4 or less."


def test_the_heavy_ball_is_allowed_to_overshoot_up_to_its_own_limit() -> None:
    # 2 (1 + mu) / lambda is 7.6 here. Below it the loss rises now and then, as a ball does, and settles.
    for rate, unstable in ((1.0, False), (7.0, False), (9.0, True)):
        known = trajectory(quarter(), Momentum(rate, 0.9), 60)
        assert (np.diff(known.path.losses) > 1e-6).any()
        assert (unstable_learning_rate(quarter(), [known]) is not None) == unstable


def test_adam_has_no_such_limit() -> None:
    assert unstable_learning_rate(quarter(), [trajectory(quarter(), Adam(40.0), 20)]) is None


def test_a_run_that_leaves_the_range_of_its_numbers_is_beyond_stability() -> None:
    data = load("iris", standardise=True)
    problem = make_problem("iris", ProjectedLogistic(features=4, projection=5, reduction="mean"), data.X, data.y)
    found = unstable_learning_rate(problem, [trajectory(problem, GradientDescent(50.0), 100)])
    assert found is not None
    cured = float(found.cure.removeprefix("Use --lr ").removesuffix(" or less."))
    assert unstable_learning_rate(problem, [trajectory(problem, GradientDescent(cured), 100)]) is None


# --- together --------------------------------------------------------------------------------------------------------


def test_an_ordinary_problem_has_no_diagnosis() -> None:
    problem = drawn(ProjectedLogistic(features=3, projection=2, l2=0.01, reduction="mean"), 40, seed=0)
    runs = [trajectory(problem, which, 30) for which in (GradientDescent(0.1), Adam(0.01))]
    assert diagnose(problem, reference(problem), runs) == []


def test_several_diagnoses_stand_beside_each_other() -> None:
    problem = one_feature([-40, 40, 41], [0, 1, 1])
    names = [
        found.name for found in diagnose(problem, reference(problem), [trajectory(problem, GradientDescent(1), 9)])
    ]
    assert names == ["separable data", "saturated sigmoid"]
