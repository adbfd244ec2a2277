"""Functions at their edges: zeros, infinities, and equal elements that are computed from unequal constants.

Values are those of IEEE 754 as NumPy has them, and of mpmath at 60 digits; derivatives are worked out by hand.
"""

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.truth.derivatives.reverse import differentiate
from gradparity.truth.derivatives.series import certify
from gradparity.truth.model.floor import Tape
from gradparity.truth.model.truth import neutral_reference
from gradparity.truth.numbers.arrays import asarray
from gradparity.truth.numbers.context import Context, evaluation
from gradparity.truth.xp.namespace import xp

INF = np.inf


def values(x: Any) -> np.ndarray:
    x = asarray(x)
    return np.array([float(v) for v in x.balls()[0].ravel()]).reshape(x.shape)


@given(
    st.lists(st.sampled_from([0.5, 1.25, 2.0, -0.75]), min_size=2, max_size=6),
    st.lists(st.sampled_from([0, 1, 2, 3, -1, 0.5, 1.5]), min_size=2, max_size=5),
)
@settings(deadline=None, max_examples=60)
def test_equal_bases_under_unequal_exponents_share_no_result(bases: list[float], exponents: list[float]):
    """Sharing proves ties: `t ** 0`, `t ** 1` and `t ** 2` of one t must not become one number."""
    base = np.abs(bases) if any(p % 1 for p in exponents) else np.array(bases)
    with evaluation(Context(share=True)):
        got = asarray(base)[:, None] ** np.array(exponents)
    with mpmath.workdps(60):
        for (i, b), (j, p) in itertools.product(enumerate(base), enumerate(exponents)):
            expected = mpmath.mpf(float(b)) ** mpmath.mpf(p)
            ball = got.balls()[0][i, j]
            assert abs(mpmath.mpf(ball.mid().str(40, radius=False)) - expected) <= 1e-30 * abs(expected)


def test_a_polynomial_beside_a_tie_has_the_truth_of_one_without():
    """The tie makes the engine share results; 2 (F w - y) F by hand, F being the powers 1, t, t^2, t^3."""
    t, k, w = np.array([0.3, -1.2, 0.7, -1.2]), np.arange(4.0), np.array([0.1, -0.4, 0.2, 0.3])
    y = np.array([1.0, 0.5, -0.2, 0.5])

    def loss(params: Any, data: Any, xp: Any) -> Any:
        s = xp.exp(-data["t"])
        return xp.sum(s / xp.max(s) * (data["t"][:, None] ** data["k"] @ params["w"] - data["y"]) ** 2)

    found = differentiate(loss, {"w": w}, {"t": t, "k": k, "y": y}, {"w": np.ones(4)})
    assert found is not None
    powers, weight = t[:, None] ** k, np.exp(-t) / np.exp(-t).max()
    expected = powers.T @ (2 * weight * (powers @ w - y))
    np.testing.assert_allclose(found.gradient["w"].as_longdouble().astype(float), expected, rtol=1e-13)


def test_whole_and_fractional_exponents_of_zero_each_follow_their_own_rule():
    base, exponents = np.array([0.0, 0.0, 0.0, 0.0, 4.0]), np.array([0.0, 0.5, 1.0, 1.5, 0.5])
    assert values(xp.power(asarray(base), exponents)).tolist() == (base**exponents).tolist()  # 0 ** 0 is 1


def test_a_whole_power_of_a_parameter_at_zero_keeps_its_derivative_beside_fractional_ones():
    """``x_0^1 + x_1^2 + x_2^0.5`` at (0, 0, 4): gradient (1, 0, 1/4), Hessian diag(0, 2, -1/32)."""

    def loss(params: Any, data: Any, xp: Any) -> Any:
        return xp.sum(params["x"] ** data["p"])

    x, p = {"x": np.array([0.0, 0.0, 4.0])}, {"p": np.array([1.0, 2.0, 0.5])}
    found = differentiate(loss, x, p, {"x": np.ones(3)})
    assert found is not None
    assert found.gradient["x"].as_longdouble().tolist() == [1, 0, 0.25]
    assert found.product["x"].as_longdouble().tolist() == [0, 2, -1 / 32]


def test_a_base_of_zero_under_a_parameter_moves_with_nothing():
    """``0^n`` is 0 for every n > 0 near; ``2^n`` beside it has the derivatives ``2^n log 2`` and ``2^n log^2 2``."""
    found = differentiate(
        lambda params, data, xp: xp.sum(data["x"] ** params["n"]),
        {"n": np.array(1.5)}, {"x": np.array([0.0, 2.0])}, {"n": np.array(1.0)},
    )  # fmt: skip
    assert found is not None
    np.testing.assert_allclose(float(found.value.as_float()), 2**1.5, rtol=1e-15)
    np.testing.assert_allclose(float(found.gradient["n"].as_longdouble()), 2**1.5 * np.log(2), rtol=1e-15)
    np.testing.assert_allclose(float(found.product["n"].as_longdouble()), 2**1.5 * np.log(2) ** 2, rtol=1e-15)


ENDS = [-INF, -1.5, 0.0, 700.0, INF]


@pytest.mark.parametrize("extended", [False, True])
def test_logaddexp_of_every_pair_of_ends_is_numpys(extended: bool):
    a, b = np.array(list(itertools.product(ENDS, ENDS))).T
    with evaluation(Context(extended=extended)):
        got = values(xp.logaddexp(asarray(a), asarray(b)))
    np.testing.assert_allclose(got, np.logaddexp(a, b), rtol=1e-15)


@pytest.mark.parametrize("swapped", [False, True])
def test_logaddexp_beside_minus_infinity_has_the_derivatives_of_the_other_one(swapped: bool):
    """``sum logaddexp(a, w)^2``: where a is -inf it is ``w^2``, with derivatives 2 w and 2."""

    def loss(params: Any, data: Any, xp: Any) -> Any:
        pair = (data["a"], params["w"])
        return xp.sum(xp.logaddexp(*(pair[::-1] if swapped else pair)) ** 2)

    w = {"w": np.array([0.5, -1.0])}
    found = differentiate(loss, w, {"a": np.array([-INF, 0.0])}, {"w": np.ones(2)})
    assert found is not None
    soft, slope = np.logaddexp(0, -1.0), 1 / (1 + np.exp(1.0))
    expected = [2 * 0.5, 2 * soft * slope], [2, 2 * slope**2 + 2 * soft * slope * (1 - slope)]
    np.testing.assert_allclose(found.gradient["w"].as_longdouble().astype(float), expected[0], rtol=1e-15)
    np.testing.assert_allclose(found.product["w"].as_longdouble().astype(float), expected[1], rtol=1e-15)


@pytest.mark.parametrize("order", [INF, -INF, 0, 1, 2, 3, -1, 0.5])
def test_vector_norms_of_every_order_are_numpys(order: float):
    x = np.array([3.0, -1.0, 2.5, 0.5])
    np.testing.assert_allclose(values(xp.linalg.norm(asarray(x), order)), np.linalg.norm(x, order), rtol=1e-14)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_choice_between_shapes_that_stretch_differentiates_in_full(swapped: bool):
    """``sum where(x > 0, x, d)`` with d of more axes: x counts once in each of its rows."""

    def loss(params: Any, data: Any, xp: Any) -> Any:
        picked = (data["d"], params["x"]) if swapped else (params["x"], data["d"])
        return xp.sum(xp.where((params["x"] < 0) if swapped else (params["x"] > 0), *picked) ** 2)

    x = {"x": np.array([3.0, -1.0]) * (-1 if swapped else 1)}
    x["x"] = np.abs(x["x"]) if swapped else x["x"]
    found = differentiate(loss, x, {"d": np.full((3, 1), 2.0)}, {"x": np.ones(2)})
    assert found is not None
    taken = np.array([1.0, 1.0]) if swapped else np.array([1.0, 0.0])
    assert found.gradient["x"].as_longdouble().tolist() == (3 * 2 * x["x"] * taken).tolist()
    assert found.product["x"].as_longdouble().tolist() == (3 * 2 * taken).tolist()
    assert found.value.as_float() == 3 * (x["x"] ** 2 * taken + 4 * (1 - taken)).sum()


@pytest.mark.parametrize("name", [
    "arccosh", "arcsinh", "arctan", "ceil", "cosh", "erf", "erfc", "exp", "exp2", "expm1", "floor", "log", "log1p",
    "sign", "sinh", "sqrt", "square", "tanh", "reciprocal", "sin", "cos", "tan", "arctanh", "arcsin",
])  # fmt: skip
@pytest.mark.parametrize("extended", [False, True])
def test_functions_at_their_ends_are_numpys(name: str, extended: bool):
    """A finite number, an infinity or none, where NumPy has that; erf and erfc as SciPy has them."""
    x = np.array([-INF, -1.0, 1.0, INF])
    with np.errstate(all="ignore"):
        expected = getattr(scipy.special if name.startswith("erf") else np, name)(x)
    with evaluation(Context(extended=extended)):
        got = getattr(xp, name)(asarray(x)).balls()[0]
        assert [bool(np.isfinite(v) if extended else v.is_finite()) for v in got] == np.isfinite(expected).tolist()
        np.testing.assert_allclose([float(v) for v in got], expected, rtol=1e-13)


@pytest.mark.parametrize("power", [-3, -2, -1, 0, 1, 2, 3, 0.5, 1.5, -0.5])
def test_powers_of_infinities_are_numpys(power: float):
    x = np.array([INF, -INF] if power % 1 == 0 else [INF])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(values(xp.power(asarray(x), power)), x**power)


def test_equal_infinities_are_told_to_be_equal():
    """Masks of -inf: nothing to choose between, and IEEE 754 has them equal."""
    x, y = np.array([INF, -INF, 1.0]), np.array([INF, -INF, -INF])
    assert values(xp.maximum(asarray(x), y)).tolist() == [INF, -INF, 1.0]
    assert values(xp.max(asarray(np.array([INF, 0.0, INF])))) == INF
    assert (asarray(x) == y).series[0].tolist() == [True, True, False]


def test_traces_of_many_matrices_are_numpys():
    x = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(values(xp.trace(asarray(x))), np.trace(x))
    np.testing.assert_array_equal(values(asarray(x).trace()), x.trace())
    np.testing.assert_array_equal(values(xp.trace(asarray(x), 1, 1, 2)), np.trace(x, 1, 1, 2))
    np.testing.assert_array_equal(values(xp.linalg.trace(asarray(x))), np.linalg.trace(x))


@pytest.mark.parametrize("matrix", [np.full((2, 2), 0.3), np.zeros((1, 1)), np.zeros((3, 3)), np.diag([1.0, 2.0, 0.0])])
def test_a_determinant_of_zero_has_its_cofactors_in_extended_precision_too(matrix: np.ndarray):
    def loss(params: Any, data: Any, xp: Any) -> Any:
        return xp.linalg.det(params["a"])

    v = np.arange(1.0, 1 + matrix.size).reshape(matrix.shape)
    found = differentiate(loss, {"a": matrix}, {}, {"a": v})
    assert found is not None
    extended = Tape(loss, {"a": matrix}, {}, {"a": v}).values()
    for quantity, balls in (("gradient", found.gradient["a"]), ("hvp", found.product["a"])):
        np.testing.assert_allclose(extended[quantity, "a"], balls.as_longdouble(), rtol=1e-15, atol=1e-18)


@pytest.mark.parametrize(
    ("name", "x"),
    [("log", -1.5), ("log1p", -2.0), ("log2", -1.0), ("arccosh", -3.0), ("arctanh", 2.0), ("arcsin", 2.0)],
)
def test_a_function_without_a_value_has_no_slope(name: str, x: float):
    """Its formula has one: ``1 / x`` for the logarithm. Where the branch is not taken it counts for nothing."""

    def loss(params: Any, data: Any, xp: Any) -> Any:
        return getattr(xp, name)(params["x"])

    def guarded(params: Any, data: Any, xp: Any) -> Any:
        return xp.where(data["taken"], getattr(xp, name)(params["x"]), 3 * params["x"])

    at = {"x": np.array(x)}
    found = differentiate(loss, at, {}, {"x": np.array(1.0)}, max_bits=256)
    assert found is not None
    assert found.value.ball.is_nan()
    assert found.gradient["x"].balls.item().is_nan()
    assert found.product["x"].balls.item().is_nan()
    extended = Tape(loss, at, {}, {"x": np.array(1.0)}).values()
    assert all(np.isnan(value).all() for value in extended.values())
    found = differentiate(guarded, at, {"taken": np.array(False)}, {"x": np.array(1.0)})
    assert found is not None
    assert found.gradient["x"].balls.item() == 3
    assert found.product["x"].is_zero


def test_an_exponent_that_is_not_known_is_no_square_root():
    """Of balls, "not unequal to 1/2" is no proof of being it: `std` of one number is no number at any precision."""

    def loss(params: Any, data: Any, xp: Any) -> Any:
        return xp.sum(xp.abs(params["x"]) ** xp.std(xp.exp(data["d"])))

    found = differentiate(loss, {"x": np.array([4.0])}, {"d": np.array([0.3])}, {"x": np.ones(1)}, max_bits=256)
    assert found is not None
    assert not found.value.is_finite
    assert not found.gradient["x"].balls.item().is_finite()
    with evaluation(Context()):
        nearly_half = xp.exp(xp.log(asarray(0.5))) + 2.0**-200  # a ball around both
        power = xp.power(asarray(4.0), nearly_half).balls()[0].item()
        assert power.contains(2)
        assert not power.is_exact()


@pytest.mark.parametrize("shift", [-1.0, 0.0, 1.0])
def test_zero_to_an_exponent_that_is_not_known_has_no_slope(shift: float):
    """``x^(1 + e)`` at 0 has a slope of 0, 1 or infinity as e is above, at or below 0: a ball around 0 does not say."""
    exponent = lambda xp: 3 * (xp.asarray(1.0) / 3) + shift  # noqa: E731

    def loss(params: Any, data: Any, xp: Any) -> Any:
        return params["x"] ** exponent(xp)

    certificate = certify(loss, {"x": np.array(0.0)}, {}, {"x": np.array(1.0)}, max_bits=256)
    assert certificate.right.first.ball.is_nan() or (shift > 0 and certificate.right.first.is_zero)
    assert certificate.value.is_zero or (shift < 0 and certificate.value.ball.is_nan())


def test_a_zero_under_a_negative_exponent_leaves_the_other_elements_their_derivatives():
    """``sum x^-0.5`` at (0, 4) is infinite; its slope in the second is ``-x^-1.5 / 2 = -1/16``, in the first none."""

    def loss(params: Any, data: Any, xp: Any) -> Any:
        return xp.sum(params["x"] ** -0.5)

    found = differentiate(loss, {"x": np.array([0.0, 4.0])}, {}, {"x": np.array([0.0, 1.0])}, max_bits=256)
    assert found is not None
    assert found.value.as_float() == INF
    assert found.gradient["x"].balls[0].is_nan()
    assert found.gradient["x"].balls[1] == -1 / 16
    assert found.product["x"].balls[0].is_nan()
    assert found.product["x"].balls[1] == 3 / 128


@pytest.mark.parametrize("swapped", [False, True])
def test_logaddexp_of_a_logarithm_of_zero_certifies_no_slope(swapped: bool):
    """``logaddexp(0, log x)`` is ``log(1 + x)``, with slope 1 at 0: that of the logarithm is infinite and counts."""

    def loss(params: Any, data: Any, xp: Any) -> Any:
        pair = (0.0, xp.log(params["x"]))
        return xp.logaddexp(*(pair[::-1] if swapped else pair))

    at, v = {"x": np.array(0.0)}, {"x": np.array(1.0)}
    found, series = differentiate(loss, at, {}, v, max_bits=256), certify(loss, at, {}, v, max_bits=256)
    assert found is not None
    assert found.value.is_zero
    assert found.gradient["x"].balls.item().is_nan()
    assert found.product["x"].balls.item().is_nan()
    assert series.value.is_zero
    assert series.first.ball.is_nan()


def test_logaddexp_with_a_mask_of_minus_infinity_keeps_the_others_slopes():
    """``logaddexp(x, y + mask)``: a mask of -inf is data, and x's slope is 1."""

    def loss(params: Any, data: Any, xp: Any) -> Any:
        return xp.sum(xp.logaddexp(params["x"], params["y"] + data["mask"]))

    found = differentiate(
        loss,
        {"x": np.array(0.5), "y": np.array(2.0)},
        {"mask": np.array(-INF)},
        {"x": np.array(1.0), "y": np.array(1.0)},
    )
    assert found is not None
    assert found.gradient["x"].balls.item() == 1
    assert found.gradient["y"].is_zero


@pytest.mark.parametrize("x", [1e-8, 0.5, -5.0, 710.0, 720.0, -1000.0, 1e5])
@pytest.mark.parametrize("order", [0, 1])
def test_scaled_bessel_functions_have_a_floor_where_bessel_functions_overflow(order: int, x: float) -> None:
    """mpmath's derivatives; and as frameworks compute them, from SciPy's functions by i0e' = i1e - sign(x) i0e."""
    point, v = {"x": np.array([x])}, {"x": np.ones(1)}
    found = neutral_reference(
        lambda p, d, xp: xp.sum(getattr(xp, f"i{order}e")(p["x"])), point, {}, v, seed=0, budget_s=20.0
    )
    assert not found.unknown
    s, zero, one = np.sign(x), *(scipy.special.ive(n, x) for n in (0, 1))
    d_zero, d_one = one - s * zero, zero - s * one - one / x
    frameworks = [
        (zero, d_zero, d_one - s * d_zero),
        (one, d_one, d_zero - s * d_one - (d_one - one / x) / x),
    ][order]
    with mpmath.workdps(60):
        at = mpmath.mpf(x)
        for k, key in enumerate((("loss", ""), ("gradient", "x"), ("hvp", "x"))):
            expected = mpmath.diff(lambda z: mpmath.exp(-abs(z)) * mpmath.besseli(order, z), at, k)
            truth, floor = found.truth[key].item(), found.floor[key].item()
            assert abs(mpmath.mpf(float(truth)) - expected) <= 2.0**-52 * abs(expected)
            assert abs(frameworks[k] - truth) <= 8 * floor
            # Of i0e - i1e, some i0e / (2 x), a rounding is 2 x of it; of the second derivative, x^2.
            assert floor <= 64 * 2.0**-53 * abs(truth) * max(1, 2 * abs(x), 1 / abs(x)) ** k
