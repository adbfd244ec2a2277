"""Derivatives from values alone, held against closed forms, SymPy and mpmath."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.numerics.richardson import along, block_directions, derivative
from tests.pairwise.drawn_functions import draw, noise_at

mpmath = pytest.importorskip("mpmath")  # both come with PyTorch
sympy = pytest.importorskip("sympy")

x = sympy.Symbol("x")
EXPRESSIONS = [
    *("exp(x)", "sin(1 + x)", "log(1 + x)", "tanh(50*x)", "(x + 2)**9", "1/(1 + (x + 1)**2)", "sqrt(2 + x)"),
    *("exp(-(x - 1)**2)", "log(1 + exp(3*x + 1))", "sin(1000*x + 1)", "atan(x + 1)*cosh(x)", "x**2", "x"),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_derivative_of_a_smooth_function_is_right_to_ten_digits_and_within_its_error(expression: str) -> None:
    symbolic = sympy.sympify(expression)
    exact = float(sympy.diff(symbolic, x).subs(x, 0))
    found = derivative(sympy.lambdify(x, symbolic, "math"))
    assert found.kind == "smooth"
    assert abs(found.value - exact) <= found.error
    assert found.error <= 1e-10 * max(1, abs(exact))


def test_a_campaign_of_drawn_functions_settles_nearly_all_and_covers_nearly_all() -> None:
    pairs = [(drawn, derivative(drawn.function)) for drawn in map(draw, range(400))]
    usable = [(drawn, found) for drawn, found in pairs if found.usable]
    assert len(usable) >= 380  # 97% in a campaign of 8,000
    assert not [drawn.name for drawn, found in usable if abs(found.value - drawn.derivative) > 2 * found.error]
    off = [abs(f.value / d.derivative - 1) for d, f in usable if d.noise == 0]
    assert np.median(off) < 1e-12
    assert np.percentile(off, 99) < 1e-8  # two terms that cancel leave fewer digits
    assert max(found.evaluations for _, found in usable) < 200


@pytest.mark.parametrize("unit", [1e-300, 1e-8, 1.0, 1e8, 1e300])
def test_the_unit_of_the_function_changes_nothing(unit: float) -> None:
    found = derivative(lambda t: unit * math.sin(1 + t))
    assert found.kind == "smooth"
    assert found.value == pytest.approx(unit * math.cos(1), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e3, 1e8])
def test_the_scale_of_the_argument_changes_nothing_where_it_is_given(scale: float) -> None:
    found = derivative(lambda t: math.exp(math.sin(1 + t / scale)), scale)
    assert found.value * scale == pytest.approx(math.cos(1) * math.exp(math.sin(1)), rel=1e-11)


@pytest.mark.parametrize("noise", [1e-12, 1e-9, 1e-6])
def test_noise_is_measured_and_widens_the_error_by_as_much_as_it_should(noise: float) -> None:
    found = derivative(lambda t: math.exp(t) * (1 + noise * noise_at(t, 5)))
    assert noise / 3 < found.noise < 3 * noise
    assert abs(found.value - 1) <= found.error <= 3e3 * noise


def test_a_float32_loss_is_seen_to() -> None:
    found = derivative(lambda t: float(np.float32(math.exp(t))))
    assert found.noise > 1e-9
    assert abs(found.value - 1) <= found.error < 1e-4


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-9])
def test_a_kink_is_told_with_both_one_sided_derivatives_however_small(size: float) -> None:
    found = derivative(lambda t: math.exp(t) + size * abs(t))
    assert found.kind == "kink"
    assert (found.left - 1) / size == pytest.approx(-1, abs=1e-3)
    assert (found.right - 1) / size == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("distance", [0.1, 1e-2, 1e-4])
def test_a_kink_beside_the_point_is_stepped_under(distance: float) -> None:
    found = derivative(lambda t: 3 * abs(t - distance) + math.exp(t))
    assert found.kind == "smooth"
    assert abs(found.value + 2) <= found.error < 1e-8


def test_a_bump_that_large_steps_pass_over_is_found() -> None:
    found = derivative(lambda t: math.sin(1 + t) + math.exp(-((1.96 - 900 * t) ** 2)) / 10)
    exact = math.cos(1) + 90 * 2 * 1.96 * math.exp(-(1.96**2))
    assert found.kind == "smooth"
    assert found.value == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(
    ("f", "kind"),
    [
        (lambda t: t + (t > 0), "jump"),
        (lambda t: t + (t >= 0), "jump"),
        (lambda t: float(np.sign(t)), "jump"),
        (lambda t: math.sqrt(abs(t)), "unsettled"),
        (lambda t: noise_at(t, 3), "unsettled"),
        (lambda t: math.nan, "nonfinite"),
        (lambda t: math.inf if t > 0 else t, "nonfinite"),
        (lambda t: 1 / t if t else math.inf, "nonfinite"),
    ],
)
def test_a_function_without_a_derivative_is_given_none(f: Any, kind: str) -> None:
    found = derivative(f)
    assert found.kind == kind
    assert not found.usable


def test_a_function_that_is_defined_near_the_point_only_has_its_derivative_there() -> None:
    found = derivative(lambda t: math.log(1e-3 + t) if t > -1e-3 else math.nan)
    assert abs(found.value - 1000) <= found.error < 1e-8


def test_a_constant_has_derivative_zero() -> None:
    found = derivative(lambda t: 3.0)
    assert found.kind == "smooth"
    assert found.value == 0


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_the_block_of_a_badly_scaled_parameter_is_differentiated_as_well_as_any(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales = {"a": 10.0 ** rng.uniform(-8, 8), "deep.0.b": 10.0 ** rng.uniform(-8, 8)}
    params = {name: scale * rng.standard_normal((3, 2)) for name, scale in scales.items()}

    def loss(p: dict[str, Any]) -> Any:
        return sum(np.sum(np.exp(np.sin(value / scales[name]))) for name, value in p.items())

    for name, direction in block_directions(params, seed):
        assert set(direction) == {name}
        u = params[name] / scales[name]
        exact = np.sum(np.exp(np.sin(u)) * np.cos(u) * direction[name] / scales[name])
        terms = np.sum(np.abs(np.exp(np.sin(u)) * np.cos(u) * direction[name] / scales[name]))
        found = derivative(along(loss, params, direction))
        assert found.kind == "smooth"
        assert abs(found.value - exact) <= min(2 * found.error, 1e-10 * terms)


def test_directions_move_every_entry_by_about_its_own_size_and_repeat_by_seed() -> None:
    params = {"w": np.array([1e-8, 1e8, 0.0, -2.0, 3.0]), "zero": np.zeros(4)}
    first, again = dict(block_directions(params, 3)), dict(block_directions(params, 3))
    for name in params:
        assert np.array_equal(first[name][name], again[name][name])
    moved = np.abs(first["w"]["w"])
    assert (moved >= 0.5 * np.array([2.5, 1e8, 2.5, 2.5, 3.0])).all()  # 2.5: the median of what is not zero
    assert (moved <= np.array([2.5, 1e8, 2.5, 2.5, 3.0])).all()
    assert (np.abs(first["zero"]["zero"]) >= 0.5).all()
