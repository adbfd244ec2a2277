"""The engine: tight enclosures of what mpmath and SymPy say, and an honest word where there is none."""

import math
from fractions import Fraction
from typing import Any, NamedTuple

import flint
import mpmath
import numpy as np
import pytest
import sympy
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.model_spec.errors import InputError
from gradparity.truth.derivatives.series import certify, certify_gradient
from gradparity.truth.numbers import context
from gradparity.truth.numbers.context import NotCertifiableError
from gradparity.truth.numbers.enclosure import Enclosure, Enclosures, to_longdouble

TOY = {
    "X": np.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]]),
    "y": np.array([1, 1, 0, 1]),
}


def logistic(p: Any, d: Any, xp: Any) -> Any:
    z = d["X"] @ p["W"] @ p["w"]
    return xp.sum(xp.logaddexp(0.0, z) - d["y"] * z)


def naive(p: Any, d: Any, xp: Any) -> Any:
    q = 1 / (1 + xp.exp(-(d["X"] @ p["W"] @ p["w"])))
    return -xp.sum(xp.log(q * d["y"] + (1 - q) * (1 - d["y"])))


def draw(seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"w": scale * rng.standard_normal(2), "W": scale * rng.standard_normal((3, 2))}


def along(params: dict[str, np.ndarray], v: dict[str, np.ndarray]) -> list[mpmath.mpf]:
    """Loss, first and second derivative of the toy logistic loss along v, by mpmath at 60 digits."""
    exact = {k: [[mpmath.mpf(float(x)) for x in np.atleast_1d(row)] for row in a] for k, a in (params | {}).items()}
    moves = {k: [[mpmath.mpf(float(x)) for x in np.atleast_1d(row)] for row in a] for k, a in v.items()}
    rows = [[mpmath.mpf(float(x)) for x in row] for row in TOY["X"]]

    def f(t: Any) -> Any:
        W = [[a + t * b for a, b in zip(p, q, strict=True)] for p, q in zip(exact["W"], moves["W"], strict=True)]
        w = [a[0] + t * b[0] for a, b in zip(exact["w"], moves["w"], strict=True)]
        total = mpmath.mpf(0)
        for x, y in zip(rows, TOY["y"].tolist(), strict=True):
            z = sum(x[i] * W[i][j] * w[j] for i in range(3) for j in range(2))
            total += mpmath.log1p(mpmath.exp(z)) - y * z
        return total

    return [f(mpmath.mpf(0)), mpmath.diff(f, 0), mpmath.diff(f, 0, 2)]


@pytest.mark.parametrize("seed", range(3))
def test_value_and_derivatives_enclose_mpmaths_digits(seed: int) -> None:
    params, v = draw(seed), draw(seed + 100)
    result = certify(logistic, params, TOY, v)
    assert result.status == "certified"
    with mpmath.workdps(100):
        expected = [mpmath.nstr(x, 45) for x in along(params, v)]
    for enclosure, digits in zip((result.value, result.first, result.second), expected, strict=True):
        assert enclosure.ball.rel_accuracy_bits() >= 70
        with flint.ctx.workprec(300):
            assert enclosure.ball.overlaps(arb(digits) + arb(0, 1) * arb(10) ** -38)


def test_the_naive_formula_is_the_same_mathematics() -> None:
    # Row logits near 800 need about 2,400 bits for 1 - q; the truth is finite where float64 gives inf.
    params, v = {"w": np.array([40.0, 1.0]), "W": 20 * np.eye(3, 2)}, draw(5)
    results = [certify(loss, params, TOY, v) for loss in (logistic, naive)]
    assert [r.status for r in results] == ["certified", "certified"]
    assert results[1].bits > results[0].bits
    for part in ("value", "first", "second"):
        assert getattr(results[0], part).ball.overlaps(getattr(results[1], part).ball)


def test_hips_autograds_example_starts_at_its_published_loss() -> None:
    def example(p: Any, d: Any, xp: Any) -> Any:
        prediction = 0.5 * (xp.tanh(d["X"] @ p["w"]) + 1)
        return -xp.sum(xp.log(prediction * d["y"] + (1 - prediction) * (1 - d["y"])))

    result = certify(example, {"w": np.zeros(3)}, TOY, {"w": np.ones(3)}, order=0)
    assert result.value.as_float() == 2.772588722239781


@pytest.mark.parametrize(
    ("text", "f"),
    [
        ("exp(x)*sin(x) + log(1 + x**2)", lambda x, n: n.exp(x) * n.sin(x) + n.log(1 + x**2)),
        ("tanh(x)**3/(2 + cos(x))", lambda x, n: n.tanh(x) ** 3 / (2 + n.cos(x))),
        ("sqrt(1 + x**2)**(x)", lambda x, n: n.sqrt(1 + x**2) ** x),
        ("erf(x)*atan(x) - x**(5/2)", lambda x, n: n.erf(x) * n.arctan(x) - x**2.5),
        ("log(exp(x) + exp(2*x) + 1)", lambda x, n: n.log(n.sum(n.exp(n.stack([x, 2 * x, 0 * x]))))),
    ],
)
def test_composed_functions_enclose_sympys_derivatives(text: str, f: Any) -> None:
    symbol = sympy.Symbol("x")
    formula = sympy.sympify(text, rational=True)
    for x0 in (0.375, 1.7):
        result = certify(lambda p, d, xp, x0=x0: f(p["x"], xp), {"x": np.array(x0)}, {}, {"x": np.array(1.0)})
        point = {symbol: sympy.Rational(*x0.as_integer_ratio())}
        for k, enclosure in enumerate((result.value, result.first, result.second)):
            digits = str(sympy.diff(formula, symbol, k).evalf(60, subs=point))
            with flint.ctx.workprec(300):
                assert enclosure.ball.overlaps(arb(digits) + arb(0, 1) * arb(10) ** -50)


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-6, 1.0, 30.0]))
@settings(max_examples=15, deadline=None)
def test_a_higher_precision_only_narrows_the_enclosure(seed: int, scale: float) -> None:
    params, v = draw(seed, scale), draw(seed + 1)
    coarse = certify(logistic, params, TOY, v, max_bits=context.START_BITS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "START_BITS", 512)
        fine = certify(logistic, params, TOY, v)
    assert fine.bits >= 512 > coarse.bits
    for part in ("value", "first", "second"):
        assert getattr(coarse, part).ball.contains(getattr(fine, part).ball)


def test_cancellation_raises_the_precision_until_the_result_is_tight() -> None:
    # (1 + x) - 1 - x + x^3 for x = 2^-200 is 2^-600: 128 bits see only noise.
    result = certify(
        lambda p, d, xp: xp.sum((1 + xp.exp(p) - 1) - xp.exp(p) + p**3), np.array([2.0**-200]), {}, np.ones(1)
    )
    assert result.value.as_float() == 2.0**-600
    assert result.bits >= 1024


def test_a_zero_that_is_proven_is_told_from_one_that_is_not() -> None:
    zero = certify(lambda p, d, xp: xp.sum(p - p + 0 * p), np.ones(2), {}, np.ones(2))
    assert zero.status == "certified"
    assert zero.value.is_zero
    assert zero.first.is_zero
    hidden = certify(lambda p, d, xp: xp.sum(xp.sin(p) ** 2 + xp.cos(p) ** 2 - 1), np.ones(2), {}, np.ones(2))
    assert hidden.status == "zero_unproven"
    assert not hidden.first.is_zero
    assert (hidden.first.zero_within or 0) > 1140
    capped = certify(lambda p, d, xp: xp.sum(xp.sin(p) ** 2 + xp.cos(p) ** 2), np.ones(2), {}, np.ones(2), max_bits=256)
    assert capped.status == "zero_unproven"
    assert "not proven" in capped.reason


@pytest.mark.parametrize(
    ("f", "x", "why"),
    [
        (lambda p, xp: xp.sum(xp.log(p)), 0.0, "log"),
        (lambda p, xp: xp.sum(xp.log(p)), -1.0, "log"),
        (lambda p, xp: xp.sum(1 / p), 0.0, "division"),
        (lambda p, xp: xp.sum(xp.sqrt(p)), -1.0, "sqrt"),
        (lambda p, xp: xp.sum(p**-2), 0.0, "power"),
        (lambda p, xp: xp.sum(xp.linalg.inv(p * xp.ones((2, 2)))), 1.0, "solve"),
    ],
)
def test_a_loss_without_a_finite_value_says_where(f: Any, x: float, why: str) -> None:
    result = certify(lambda p, d, xp: f(p, xp), np.array([x]), {}, np.ones(1))
    assert result.status == "not_finite"
    assert why in result.reason


def test_a_budget_of_no_time_is_said_to_be_spent() -> None:
    result = certify(logistic, draw(0), TOY, draw(1), seconds=-1.0)
    assert result.status == "out_of_time"
    assert not result.value.is_finite
    gradient = certify_gradient(logistic, draw(0), TOY, seconds=-1.0)
    assert not gradient.complete
    assert not gradient.gradient["w"][0].is_finite


class Pair(NamedTuple):
    a: Any
    b: Any


def test_nested_parameters_keep_their_structure() -> None:
    params = {"layers": [Pair(np.array([1.0, 2.0]), np.array(3.0))], "c": (np.array([[0.5]]),)}

    def loss(p: Any, d: Any, xp: Any) -> Any:
        assert isinstance(p["layers"][0], Pair)
        return xp.sum(p["layers"][0].a ** 2) * p["layers"][0].b + d["k"] * p["c"][0][0, 0]

    result = certify_gradient(loss, params, {"k": 4, "name": "unused"})
    assert result.complete
    found = {path: gradient.as_longdouble().tolist() for path, gradient in result.gradient.items()}
    assert found == {"layers.0.0": [6.0, 12.0], "layers.0.1": 5.0, "c.0": [[4.0]]}


def test_the_gradient_agrees_with_directional_derivatives() -> None:
    params, v = draw(3), draw(4)
    gradient = certify_gradient(logistic, params, TOY).gradient
    total = sum(
        (arb(float(m)) * b for k in v for m, b in zip(v[k].ravel(), gradient[k].balls.ravel(), strict=True)), arb(0)
    )
    assert certify(logistic, params, TOY, v).first.ball.overlaps(total)


def test_input_at_fault_is_named() -> None:
    with pytest.raises(InputError, match="expected a scalar"):
        certify(lambda p, d, xp: p, np.ones(2), {}, np.ones(2))
    with pytest.raises(InputError, match="direction"):
        certify(logistic, draw(0), TOY, {"w": np.ones(2)})
    with pytest.raises(InputError, match="direction at w"):
        certify(logistic, draw(0), TOY, draw(0) | {"w": np.ones(3)})
    with pytest.raises(NotCertifiableError, match=r"xp\.unique"):
        certify(lambda p, d, xp: xp.unique(p), np.ones(2), {}, np.ones(2))


def test_a_derivative_that_was_not_asked_for_is_unknown_and_not_zero() -> None:
    first, value = (certify(logistic, draw(0), TOY, draw(1), order=order) for order in (1, 0))
    assert first.status == value.status == "certified"
    assert first.first.is_finite
    assert not first.second.is_finite
    assert not value.first.is_finite


def test_data_that_is_no_number_is_handed_through() -> None:
    data = TOY | {"names": np.array(["a", "b", "c"]), "title": "toy", "rows": 4, "scale": 0.5}

    def loss(p: Any, d: Any, xp: Any) -> Any:
        assert d["names"].tolist() == ["a", "b", "c"]
        assert d["title"] == "toy"
        return d["scale"] * sum(logistic(p, {"X": d["X"][i : i + 1], "y": d["y"][i]}, xp) for i in range(d["rows"]))

    halves = certify(loss, draw(0), data, draw(1))
    assert halves.status == "certified"
    assert (halves.first.ball * 2).overlaps(certify(logistic, draw(0), TOY, draw(1)).first.ball)


def test_a_loss_that_ignores_its_parameters_has_a_proven_zero_gradient() -> None:
    result = certify(lambda p, d, xp: xp.asarray(1.5), np.ones(2), {}, np.ones(2))
    assert (result.value.as_float(), result.first.is_zero, result.second.is_zero) == (1.5, True, True)


@given(numerator=st.integers(-(2**80), 2**80), power=st.integers(-1160, 940))
@settings(max_examples=200, deadline=None)
def test_float64_conversion_rounds_like_python_fractions(numerator: int, power: int) -> None:
    with flint.ctx.workprec(256):
        ball = arb(numerator) * arb(2) ** power
    exact = Fraction(numerator) * Fraction(2) ** power
    expected = exact.numerator / exact.denominator
    assert Enclosure(ball).as_float() == expected


@pytest.mark.parametrize("power", [-1075, -1074, 0, 1023, 1024, 5000, -5000])
def test_float64_conversion_handles_both_ends_of_the_range(power: int) -> None:
    value = arb(2) ** power
    expected = math.inf if power > 1023 else 2.0**power if power >= -1074 else 0.0
    assert Enclosure(value).as_float() == expected


@given(numerator=st.integers(-(2**200), 2**200), power=st.integers(-300, 100))
@settings(max_examples=50, deadline=None)
def test_longdouble_conversion_is_within_half_an_ulp(numerator: int, power: int) -> None:
    with flint.ctx.workprec(400):
        value = to_longdouble(arb(numerator) * arb(2) ** power)
    exact = Fraction(numerator) * Fraction(2) ** power
    error = abs(Fraction(*value.as_integer_ratio()) - exact)
    assert error <= abs(exact) / 2 ** (np.finfo(np.longdouble).nmant + 1)


def test_an_array_of_enclosures_answers_elementwise() -> None:
    with flint.ctx.workprec(128):
        array = Enclosures(np.array([[arb(1, 0.25), arb(0)], [arb(3) / 4, arb(2) ** -20000]], dtype=object))
    np.testing.assert_array_equal(array.is_zero, [[False, True], [False, False]])
    np.testing.assert_array_equal(array.as_longdouble(), [[1, 0], [0.75, 0]])
    np.testing.assert_allclose(array.radii(), [[0.25, 0], [0, 0]], rtol=1e-8)  # a radius has 30 bits, rounded up
    assert array.as_longdouble().dtype == array.radii().dtype == np.longdouble
    assert array[0, 0].as_float() == 1
    assert array[1].balls.shape == (2,)
