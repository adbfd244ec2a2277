"""Points where pieces of a loss meet, or a formula has no value: by hand, from the definition of the limit."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.truth.model import seam as seams
from gradparity.truth.model.floor import Tape
from gradparity.truth.model.seam import JUMP, NO_VALUE, seam_in_extended
from gradparity.truth.model.truth import neutral_reference
from gradparity.truth.reference import Reference

V = np.array([0.3, -1.1, 0.7])


def at(f: Callable[[Any, Any], Any], x: Any, v: Any = V, **data: Any) -> Reference:
    x = np.asarray(x, float)
    v = np.asarray(v, float)[: x.size].reshape(x.shape)
    return neutral_reference(lambda p, d, xp: f(p["x"], xp), {"x": x}, data, {"x": v}, seed=0, budget_s=60.0)


def safe(z: Any, n: Any) -> Any:
    return n.where(z == 0, 1.0, z)


ZERO3 = np.zeros(3)

# Loss, point, gradient, and the second derivatives H v along V: from Taylor series at 0.
SMOOTH: dict[str, tuple[Callable[[Any, Any], Any], Any, Any, Any]] = {
    "norm squared": (lambda x, n: n.linalg.norm(x) ** 2, ZERO3, ZERO3, 2 * V),
    "sinc by where": (lambda x, n: n.sum(n.where(x == 0, 1.0, n.sin(safe(x, n)) / safe(x, n))), ZERO3, ZERO3, -V / 3),
    "sin(x) / x": (lambda x, n: n.sum(n.sin(x) / x), ZERO3, ZERO3, -V / 3),
    "(1 - cos x) / x^2": (lambda x, n: n.sum((1 - n.cos(x)) / x**2), ZERO3, ZERO3, -V / 12),
    "log1p(x) / x": (lambda x, n: n.sum(n.log1p(x) / x), ZERO3, -np.ones(3) / 2, 2 * V / 3),
    "expm1(x) / x": (lambda x, n: n.sum(n.expm1(x) / x), ZERO3, np.ones(3) / 2, V / 3),
    "tanh(x) / x": (lambda x, n: n.sum(n.tanh(x) / x), ZERO3, ZERO3, -2 * V / 3),
    "sqrt(x) sqrt(x)": (lambda x, n: n.sum(n.sqrt(x) * n.sqrt(x)), ZERO3, np.ones(3), ZERO3),
    "x / |x| |x|": (lambda x, n: n.sum(x / n.linalg.norm(x) * n.linalg.norm(x)), ZERO3, np.ones(3), ZERO3),
    "|x|^3": (lambda x, n: n.sum(n.abs(x) ** 3), ZERO3, ZERO3, ZERO3),
    "relu(x) - relu(-x)": (lambda x, n: n.sum(n.maximum(x, 0.0) - n.maximum(-x, 0.0)), ZERO3, np.ones(3), ZERO3),
    "|x| |x|": (lambda x, n: n.sum(n.abs(x) * n.abs(x)), ZERO3, ZERO3, 2 * V),
    "max(x, -x) max(x, -x)": (lambda x, n: n.sum(n.maximum(x, -x) * n.maximum(x, -x)), ZERO3, ZERO3, 2 * V),
    "max(x, -x)^2": (lambda x, n: n.sum(n.maximum(x, -x) ** 2), ZERO3, ZERO3, 2 * V),
    "(relu(x) - relu(-x))^2": (
        lambda x, n: n.sum((n.maximum(x, 0.0) - n.maximum(-x, 0.0)) ** 2), ZERO3, ZERO3, 2 * V,
    ),
    "sqrt(x^2) |x|": (lambda x, n: n.sum(n.sqrt(x**2) * n.abs(x)), ZERO3, ZERO3, 2 * V),
    "x |x| x": (lambda x, n: n.sum(x * n.abs(x) * x), ZERO3, ZERO3, ZERO3),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_a_formula_without_a_value_at_the_point_has_the_truth_of_its_limit(name: str) -> None:
    f, x, gradient, product = SMOOTH[name]
    found = at(f, x)
    assert not found.kinks
    assert not found.unknown
    np.testing.assert_allclose(found.truth["gradient", "x"], gradient, rtol=1e-18, atol=1e-60)
    np.testing.assert_allclose(found.truth["hvp", "x"], product, rtol=1e-15, atol=1e-60)
    np.testing.assert_allclose(found.truth["jvp", ""], gradient @ V, rtol=1e-14, atol=1e-60)
    for key, floor in found.floor.items():
        assert np.isfinite(floor).all(), key


def test_an_entry_at_a_kink_leaves_the_truth_of_all_others() -> None:
    def loss(x: Any, n: Any) -> Any:
        return n.sum(n.tanh(x) ** 2) + 0.1 * n.sum(n.abs(x))

    x = np.array([0.0, 0.5, -0.7])
    found = at(loss, x)
    t = np.tanh(x)
    # d/dx tanh^2 = 2 t (1 - t^2), and its derivative 2 (1 - t^2)^2 - 4 t^2 (1 - t^2).
    gradient = 2 * t * (1 - t * t) + 0.1 * np.sign(x)
    np.testing.assert_allclose(found.truth["gradient", "x"][1:].astype(float), gradient[1:], rtol=1e-15)
    curvature = 2 * (1 - t * t) ** 2 - 4 * t * t * (1 - t * t)
    np.testing.assert_allclose(found.truth["hvp", "x"].astype(float), curvature * V, rtol=1e-13)
    rest = gradient[1:] @ V[1:]
    assert found.kinks["gradient", "x", (0,)] == (-0.1, 0.1)
    assert found.kinks["jvp", "", ()] == pytest.approx((rest - 0.1 * V[0], rest + 0.1 * V[0]), rel=1e-14)
    assert len(found.kinks) == 2
    assert not found.unknown


def test_a_jvp_at_two_kinks_is_between_what_both_are_on_one_side_and_on_the_other() -> None:
    found = at(lambda x, n: n.sum(n.abs(x)), [0.0, 0.0, 2.0])
    assert found.kinks["jvp", "", ()] == pytest.approx((V[2] - 0.3 - 1.1, V[2] + 0.3 + 1.1), rel=1e-14)


def test_a_second_derivative_that_differs_from_side_to_side_has_both() -> None:
    # x^2 on the right of 0 and 3 x^2 on the left: second derivatives 2 and 6, the gradient 0 from both.
    found = at(lambda x, n: n.sum(n.where(x > 0, x**2, 3 * x**2)), [0.0, 1.0, -1.0])
    assert found.kinks == {("hvp", "x", (0,)): pytest.approx((2 * V[0], 6 * V[0]))}
    np.testing.assert_allclose(found.truth["hvp", "x"][1:].astype(float), [2 * V[1], 6 * V[2]], rtol=1e-15)


def test_a_second_derivative_at_few_ties_is_between_all_pieces_and_at_many_is_not_judged() -> None:
    def loss(x: Any, n: Any) -> Any:
        return n.sum(n.maximum(x[:-1], 0.0)) * x[-1]

    few = at(loss, [0.0, 0.0, 2.0])
    assert few.kinks["hvp", "x", (2,)] == pytest.approx((V[1], V[0]))
    many = at(loss, [*[0.0] * 5, 2.0], np.ones(6))
    assert np.isnan(many.truth["hvp", "x"][5])
    assert many.kinks["hvp", "x", (5,)] == NO_VALUE
    found = few
    assert not found.unknown
    assert found.kinks["gradient", "x", (0,)] == (0.0, 2.0)


def test_a_second_derivative_that_one_side_has_and_the_other_has_not_is_judged() -> None:
    # x^2 above zero and 0 below, with slopes of both maxima chosen by themselves: from -2 v to 2 v.
    found = at(lambda x, n: n.maximum(x[0], 0.0) * n.maximum(x[0], -x[0]) + x[1] ** 2, [0.0, 1.0])
    assert found.kinks == {("hvp", "x", (0,)): pytest.approx((-2 * V[0], 2 * V[0]))}


def test_a_second_derivative_where_the_gradient_has_a_step_has_no_value() -> None:
    """max(x0, x1)^2 at a tie: with means of both branches 2 s (s.v), s = (1/2, 1/2), which no branch bounds."""
    found = at(lambda x, n: n.max(x[:2]) ** 2 + x[2] ** 2, [1.0, 1.0, 3.0])
    assert [found.kinks["hvp", "x", (i,)] for i in (0, 1)] == [NO_VALUE] * 2
    assert found.truth["hvp", "x"][2] == 2 * V[2]
    assert not found.unknown


def test_a_jump_has_no_derivative_across_it_and_one_along_it() -> None:
    def loss(x: Any, n: Any) -> Any:
        return x[1] * n.where(x[0] == 0, 1.0, x[0]) + x[2] ** 2

    found = at(loss, [0.0, 3.0, 2.0])
    assert found.truth["loss", ""] == 7
    assert np.isnan(found.truth["gradient", "x"][0])
    assert found.truth["gradient", "x"].tolist()[1:] == [1.0, 4.0]
    assert found.truth["hvp", "x"][2] == 2 * V[2]
    assert found.unknown["gradient", "x"] == JUMP
    assert np.isnan(found.truth["jvp", ""])


def test_an_infinite_derivative_is_not_known_and_no_zero() -> None:
    found = at(lambda x, n: n.sum(n.sqrt(x)), [0.0, 4.0, 1.0])
    assert np.isnan(found.truth["gradient", "x"][0])
    assert found.truth["gradient", "x"].tolist()[1:] == [0.25, 0.5]
    assert "infinite" in found.unknown["gradient", "x"]
    assert np.isnan(found.truth["jvp", ""])


def test_a_norm_at_zero_has_a_gradient_between_and_the_rest_of_the_loss_is_judged() -> None:
    found = at(lambda x, n: n.linalg.norm(x[:2]) + x[2] ** 3, [0.0, 0.0, 2.0])
    assert found.kinks["gradient", "x", (1,)] == (-1.0, 1.0)
    assert float(found.truth["hvp", "x"][2]) == pytest.approx(12 * V[2], rel=1e-15)
    assert np.isnan(found.truth["hvp", "x"][:2]).all()


def test_ties_that_decide_nothing_are_no_kinks() -> None:
    def loss(x: Any, n: Any) -> Any:
        top = n.max(x)
        return top + n.log(n.sum(n.exp(x - top)))

    found = at(loss, [1.0, 1.0, 0.0])
    assert not found.kinks
    assert not found.unknown
    p = np.array([math.e, math.e, 1]) / (2 * math.e + 1)
    np.testing.assert_allclose(found.truth["gradient", "x"].astype(float), p, rtol=1e-15)
    np.testing.assert_allclose(found.truth["hvp", "x"].astype(float), p * V - p * (p @ V), rtol=1e-14)


def test_entries_that_no_drawn_line_moves_first_are_at_a_kink_all_the_same() -> None:
    # Along a line the largest wins; each entry's own axis has the sides -1 and 1.
    found = at(lambda x, n: n.max(n.abs(x)), np.zeros(40), np.arange(1.0, 41.0))
    assert {place: sides for place, sides in found.kinks.items() if place[0] == "gradient"} == {
        ("gradient", "x", (i,)): (-1.0, 1.0) for i in range(40)
    }
    second = at(lambda x, n: n.max(x**2), np.zeros(40), np.arange(1.0, 41.0))
    assert np.isnan(second.truth["hvp", "x"]).all()


@pytest.mark.parametrize("name", ["mean", "kink"])
def test_extended_precision_tells_smooth_entries_from_kinks_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seams, "certify", lambda *_, **__: pytest.fail("no time for that"))

    def loss(p: Any, d: Any, xp: Any) -> Any:
        kinked = xp.sum(xp.abs(p["x"])) if name == "kink" else xp.mean(xp.maximum(d["pad"] * p["x"][0], 0.0))
        return xp.sum(xp.sin(p["x"])) + kinked

    x = np.array([0.0, 0.5, -0.7])
    tape = Tape(loss, {"x": x}, {"pad": np.zeros(4)}, {"x": V})
    found = seam_in_extended(tape, tape.values(), seed=0, deadline=0.0)
    slope = np.cos(x) + (np.sign(x) if name == "kink" else 0)
    known = slice(1, 3) if name == "kink" else slice(0, 3)
    sides = {("gradient", "x", (0,)): (0.0, 2.0)}
    np.testing.assert_allclose(found.truth["gradient", "x"][known].astype(float), slope[known], rtol=1e-15)
    np.testing.assert_allclose(found.truth["hvp", "x"].astype(float), -np.sin(x) * V, rtol=1e-15)
    kinks = {key: ends for key, ends in found.kinks.items() if key[0] == "gradient"}
    assert kinks.keys() == (sides.keys() if name == "kink" else set())
    for place, ends in kinks.items():
        assert ends == pytest.approx(sides[place], abs=1e-12)
    assert not found.unknown


@pytest.mark.parametrize("operation", [np.floor_divide, np.remainder])
def test_a_whole_number_over_zero_is_no_number(operation: Any) -> None:
    name = operation.__name__
    found = neutral_reference(
        lambda p, d, xp: xp.sum(p["x"] * getattr(xp, name)(d["a"], d["b"])), {"x": np.array([1.0, 2.0])},
        {"a": np.array([0, 7]), "b": np.array([0, 2])}, {"x": np.ones(2)}, seed=0, budget_s=1.0,
    )  # fmt: skip
    assert np.isnan(found.truth["gradient", "x"][0])
    assert found.truth["gradient", "x"][1] == operation(7, 2)
    assert np.isnan(found.truth["loss", ""])
    assert ("gradient", "x") in found.unknown


def test_the_inverse_of_a_matrix_with_an_infinite_entry_is_no_limit() -> None:
    found = neutral_reference(
        lambda p, d, xp: xp.sum(xp.linalg.inv(d["A"]) @ p["x"]), {"x": np.array([1.0, 2.0])},
        {"A": np.array([[np.inf, 0.0], [0.0, 2.0]])}, {"x": np.ones(2)}, seed=0, budget_s=1.0,
    )  # fmt: skip
    assert np.isnan(found.truth["loss", ""])
    assert found.unknown["loss", ""]


def test_extended_precision_that_has_something_else_refutes_an_enclosure(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradparity.truth.numbers.lanes import Lanes

    right = Lanes.log1p
    monkeypatch.setattr(Lanes, "log1p", lambda self: right(self) * (1 + 1e-12))
    found = at(lambda x, n: n.log1p(x[0]) + x[1] ** 2, [1.0, 2.0, 3.0])
    assert "defect" in found.unknown["loss", ""]
    assert np.isnan(found.truth["loss", ""])
    assert np.isfinite(found.truth["gradient", "x"]).all()


def test_a_branch_that_turns_on_less_than_a_rounding_is_not_resolved() -> None:
    # 1 + 1e-30 is above 1, and in any program's arithmetic 1: where frameworks take the other branch, all of them do.
    found = at(lambda x, n: n.sum(n.where(1 + x[:1] > 1, 5 * x[1:], 7 * x[1:])), [1e-30, 2.0, 3.0])
    assert np.isnan(found.truth["gradient", "x"]).all()
    assert "less than a rounding" in found.unknown["gradient", "x"]


def test_an_entry_of_mixed_precision_has_the_floor_of_what_flows_into_it() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal(4), rng.standard_normal(4).astype(np.float32), rng.standard_normal(4)
    params = {"a": a, "b": b, "c": c}

    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.sin(p["a"])) + xp.sum(p["b"] * p["b"]) + xp.sum(p["c"] * p["b"])

    found = neutral_reference(loss, params, {}, params, seed=0, budget_s=2.0)
    u = {name: np.finfo(name).eps / 2 for name in ("float32", "float64")}
    share = {key: floor / np.abs(found.truth[key]) for key, floor in found.floor.items()}
    assert np.all(share["gradient", "a"] < 20 * u["float64"])
    assert np.all(share["hvp", "a"] < 20 * u["float64"])
    assert np.all(share["gradient", "b"] > u["float32"] / 2)  # float32 itself
    assert np.all(share["gradient", "c"] > u["float32"] / 2)  # its value is b
    assert u["float32"] / 10 < share["loss", ""] < 100 * u["float32"]


def test_a_softmax_of_equal_rows_has_a_truth_through_its_own_maximum() -> None:
    """Scores that are equal whatever the parameters: no line tells them apart, and no choice of the largest matters."""
    rng = np.random.default_rng(3)
    x, v = rng.standard_normal((2, 2)), rng.standard_normal((2, 2))
    rows = np.repeat(rng.standard_normal((1, 2)), 4, 0)

    def scores(p: Any, n: Any) -> Any:
        return (rows @ p) @ rows.T

    def softmax(s: Any, n: Any) -> Any:
        e = n.exp(s - n.max(s, axis=1, keepdims=True))
        return e / n.sum(e, axis=1, keepdims=True)

    found = neutral_reference(
        lambda p, d, n: n.sum((softmax(scores(p["x"], n), n) @ d["rows"]) ** 2) + n.sum(p["x"] ** 2),
        {"x": x}, {"rows": rows}, {"x": v}, seed=0, budget_s=60.0,
    )  # fmt: skip
    assert not found.unknown
    assert not found.kinks
    # The mean of equal rows is the row, whatever the scores: only the square of x has a derivative.
    np.testing.assert_allclose(found.truth["gradient", "x"].astype(float), 2 * x, rtol=1e-15)
    np.testing.assert_allclose(found.truth["hvp", "x"].astype(float), 2 * v, rtol=1e-15)
