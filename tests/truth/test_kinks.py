"""Points without a derivative: found with certainty, and both one-sided derivatives enclosed."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.truth.derivatives.certificate import Certificate
from gradparity.truth.derivatives.series import certify, certify_gradient

ZERO3 = np.zeros(3)
MOVE = np.array([1.0, 2.0, -3.0])


def at(f: Callable[[Any, Any], Any], x: Any, v: Any, **options: Any) -> Certificate:
    return certify(lambda p, d, xp: f(p["x"], xp), {"x": np.asarray(x)}, {}, {"x": np.asarray(v)}, **options)


def sides(result: Certificate) -> tuple[float, float]:
    return result.left.first.as_float(), result.right.first.as_float()


# Loss, point, direction, left derivative, right derivative: by hand, from the definition of the limit.
CASES: dict[str, tuple[Callable[[Any, Any], Any], Any, Any, float, float]] = {
    "abs": (lambda x, n: n.sum(n.abs(x)), ZERO3, MOVE, -6, 6),
    "relu": (lambda x, n: n.sum(n.maximum(x, 0)), ZERO3, MOVE, -3 + 0.0, 3),
    "relu6": (lambda x, n: n.sum(n.minimum(n.maximum(x, 0), 6)), [6.0, 1.0], [1.0, 0.0], 1, 0),
    "max tie": (lambda x, n: n.max(x), [2.0, 2.0, 1.0], [1.0, 5.0, 9.0], 1, 5),
    "min tie": (lambda x, n: n.min(x), [2.0, 2.0, 3.0], [1.0, 5.0, 9.0], 5, 1),
    "clip": (lambda x, n: n.sum(n.clip(x, -1.0, 1.0)), [1.0, -1.0, 0.5], [1.0, 1.0, 1.0], 2, 2),
    "clip low": (lambda x, n: n.sum(n.clip(x, -1.0, None)), [-1.0], [1.0], 0, 1),
    "where": (lambda x, n: n.sum(n.where(x >= 0, 3 * x, x)), [0.0], [1.0], 1, 3),
    "norm": (lambda x, n: n.linalg.norm(x), ZERO3, MOVE, -math.sqrt(14), math.sqrt(14)),
    "hand-written norm": (lambda x, n: n.sqrt(n.sum(x**2)), ZERO3, MOVE, -math.sqrt(14), math.sqrt(14)),
    "hypot": (lambda x, n: n.hypot(x[0], x[1]), ZERO3, MOVE, -math.sqrt(5), math.sqrt(5)),
    "std": (lambda x, n: n.std(x), [1.0, 1.0], [1.0, -1.0], -1, 1),
    "norm 1": (lambda x, n: n.linalg.norm(x, 1), ZERO3, MOVE, -6, 6),
    "norm inf": (lambda x, n: n.linalg.norm(x, np.inf), ZERO3, MOVE, -3, 3),
    "x |x| + |x|": (lambda x, n: n.sum(x * n.abs(x) + n.abs(x)), [0.0], [1.0], -1, 1),
    "floor": (lambda x, n: n.sum(n.floor(x) * x), [2.0], [1.0], 1, 2),
    "sign": (lambda x, n: n.sum(n.sign(x) * x), [0.0], [1.0], -1, 1),
    "python branch": (lambda x, n: 2 * x[0] if x[0] > 0 else -x[0], [0.0], [1.0], -1, 2),
    "leaky by product": (lambda x, n: n.maximum(x[0] * x[1], 0.0), [0.0, 0.7], [1.0, 1.0], 0, 0.7),
}


@pytest.mark.parametrize("name", CASES)
def test_both_one_sided_derivatives_are_enclosed(name: str) -> None:
    f, x, v, left, right = CASES[name]
    result = at(f, x, v)
    assert result.status == "certified", result.reason
    assert sides(result) == (pytest.approx(left, rel=1e-15), pytest.approx(right, rel=1e-15))
    assert any(kink.active for kink in result.kinks)
    assert result.is_kink == (left != right)
    assert [side.as_float() for side in result.interval] == sorted(sides(result))


def test_a_tie_that_cancellation_hides_is_found_at_a_higher_precision() -> None:
    x = [2.0**300, 0.1, -(2.0**300)]
    # 0.1 + 2^300 - 2^300 - 0.1 needs 357 bits to be seen as exactly zero.
    result = at(lambda p, n: n.abs(n.sum(p) - 0.1), x, [0.0, 1.0, 0.0])
    assert result.bits >= 512
    assert sides(result) == (-1, 1)
    assert result.is_kink


def test_a_near_tie_is_told_from_a_tie() -> None:
    result = at(lambda p, n: n.abs(n.sum(p)), [2.0**300, 5e-324, -(2.0**300)], [0.0, 1.0, 0.0])
    assert result.status == "certified"
    assert sides(result) == (1, 1)
    assert not result.kinks


def test_a_tie_that_no_precision_decides_is_reported_as_undecided() -> None:
    result = at(lambda p, n: n.maximum(n.exp(p[0]) ** 2, n.exp(2 * p[0])), [1.0], [1.0], max_bits=512)
    assert result.status == "undecided"
    assert "maximum at index ()" in result.reason
    assert not result.first.is_finite
    assert result.bits == 512


@pytest.mark.parametrize("second", [[2.0, 1.5], [1.0, 2.0]], ids=["another row", "an equal row"])
def test_ties_behind_a_smooth_function_of_equal_numbers_are_proven(second: list[float]) -> None:
    X = np.array([[1.0, 2.0], second, [0.0, 1.0]])
    result = at(lambda w, n: n.max(n.tanh(X @ w)), [0.1, 0.2], [1.0, 0.0])
    assert result.status == "certified"
    slope = 1 / math.cosh(0.5) ** 2
    assert sides(result) == (pytest.approx(slope, rel=1e-15), pytest.approx(second[0] * slope, rel=1e-15))
    assert result.is_kink == (second[0] != 1)


def test_a_square_root_at_zero_has_an_infinite_derivative_where_it_is_defined() -> None:
    result = at(lambda x, n: n.sum(n.sqrt(x)), [0.0, 0.0], [1.0, 2.0])
    assert result.status == "certified"
    assert result.right.first.as_float() == math.inf
    assert result.left.first.ball.is_nan()
    assert [side.as_float() for side in result.interval] == [math.inf] * 2
    assert result.value.is_zero


def test_a_root_of_an_absolute_value_is_infinitely_steep_on_both_sides() -> None:
    result = at(lambda x, n: n.sum(n.sqrt(n.abs(x))), [0.0], [1.0])
    assert sides(result) == (-math.inf, math.inf)
    assert [side.as_float() for side in result.interval] == [-math.inf, math.inf]


@pytest.mark.parametrize("power", [1.5, 2.5])
def test_powers_above_one_are_differentiable_at_zero(power: float) -> None:
    result = at(lambda x, n: n.sum(n.abs(x) ** power), [0.0], [1.0])
    assert sides(result) == (0, 0)
    assert not result.is_kink
    assert result.second.as_float() == (math.inf if power < 2 else 0.0)


def test_the_order_rises_by_itself_where_a_root_needs_it() -> None:
    result = at(lambda x, n: n.sqrt(n.sum(x**2)), ZERO3, MOVE, order=1)
    assert sides(result) == (pytest.approx(-math.sqrt(14), rel=1e-15), pytest.approx(math.sqrt(14), rel=1e-15))


def test_a_root_that_stays_at_zero_has_a_first_derivative_and_no_second() -> None:
    # The direction leaves x[0] alone: to second order nothing tells sqrt(x[0]) = 0 from sqrt of t^3.
    result = at(lambda x, n: n.sum(n.sqrt(x)), [0.0, 4.0], [0.0, 1.0])
    assert result.status == "certified"
    assert sides(result) == (0.25, 0.25)
    assert not result.is_kink
    assert result.second.ball.is_nan()


def test_a_norm_at_zero_keeps_its_second_derivative() -> None:
    # |x(t)| for x = (t + t^2, t^2) is |t| sqrt(1 + 2 t + 2 t^2) = |t| (1 + t + ...): second derivative 2 on the right.
    result = at(lambda x, n: n.linalg.norm(n.stack([x[0] + x[0] ** 2, x[0] ** 2])), [0.0], [1.0])
    assert (result.right.second.as_float(), result.left.second.as_float()) == (2, -2)


def test_a_jump_is_told_from_a_kink() -> None:
    result = at(lambda x, n: n.where(x[0] == 0, 1.0, x[0]), [0.0], [1.0])
    assert result.jumps
    assert result.is_kink
    assert result.value.as_float() == 1
    assert not at(lambda x, n: n.abs(x[0]), [0.0], [1.0]).jumps


def test_a_direction_that_does_not_leave_the_tie_meets_no_active_kink() -> None:
    result = at(lambda x, n: n.sum(n.abs(x) * n.array([1.0, 5.0])), [0.0, 2.0], [0.0, 1.0])
    assert not result.is_kink
    assert sides(result) == (5, 5)
    mixed = at(lambda x, n: n.sum(n.abs(x * x)), [0.0, 2.0], [1.0, 0.0])
    assert not mixed.is_kink


def test_comparing_data_is_no_kink() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.where(d["y"] == 0, p["x"], p["x"] ** 2))

    result = certify(loss, {"x": np.array([1.0, 3.0])}, {"y": np.array([0.0, 1.0])}, {"x": np.array([1.0, 1.0])})
    assert result.kinks == ()
    assert result.first.as_float() == 7


def test_losers_that_tie_are_no_kink() -> None:
    result = at(lambda x, n: n.max(x), [1.0, 1.0, 2.0], [1.0, 2.0, 4.0])
    assert result.kinks == ()
    assert result.first.as_float() == 4


def test_stabilised_softmax_is_smooth_though_its_maximum_is_tied() -> None:
    def loss(x: Any, n: Any) -> Any:
        top = n.max(x)
        return top + n.log(n.sum(n.exp(x - top)))

    result = at(loss, [1.0, 1.0, 0.0], [1.0, 0.0, 0.0])
    assert result.kinks[0].name == "max"
    assert not result.is_kink
    # softmax of (1, 1, 0): e / (2 e + 1).
    assert result.first.as_float() == pytest.approx(math.e / (2 * math.e + 1), rel=1e-15)


def test_branches_not_taken_do_not_poison_the_result() -> None:
    result = at(lambda x, n: n.sum(n.where(x > 0, n.log(x), 0.0)), [-1.0, 2.0], [1.0, 1.0])
    assert result.status == "certified"
    assert result.first.as_float() == 0.5


def test_the_gradient_lists_the_coordinates_that_are_kinks() -> None:
    x = np.array([0.0, 2.0, 0.0])
    result = certify_gradient(lambda p, d, xp: xp.sum(xp.abs(p["x"])), {"x": x}, {})
    assert set(result.kinks) == {("x", (0,)), ("x", (2,))}
    assert sides(result.kinks["x", (0,)]) == (-1, 1)
    assert result.gradient["x"][1].as_float() == 1
