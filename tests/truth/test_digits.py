"""The certified namespace against digits of SymPy and mpmath, and exact sums."""

import mpmath
import numpy as np
import pytest
import sympy
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.context import Context, evaluation
from gradparity.truth.xp.namespace import xp
from tests.truth.test_namespace import close, enclosing

UNARY = {
    "exp": (sympy.exp, -5, 5), "expm1": (lambda x: sympy.exp(x) - 1, -5, 5), "log": (sympy.log, 0.01, 9),
    "log1p": (lambda x: sympy.log(1 + x), -0.9, 9), "log2": (lambda x: sympy.log(x) / sympy.log(2), 0.01, 9),
    "log10": (lambda x: sympy.log(x) / sympy.log(10), 0.01, 9), "exp2": (lambda x: 2**x, -5, 5),
    "sqrt": (sympy.sqrt, 0.01, 9), "tanh": (sympy.tanh, -3, 3), "sinh": (sympy.sinh, -3, 3),
    "cosh": (sympy.cosh, -3, 3), "sin": (sympy.sin, -9, 9), "cos": (sympy.cos, -9, 9), "tan": (sympy.tan, -1.5, 1.5),
    "arctan": (sympy.atan, -9, 9), "arcsin": (sympy.asin, -0.9, 0.9), "arccos": (sympy.acos, -0.9, 0.9),
    "arcsinh": (sympy.asinh, -9, 9), "arccosh": (sympy.acosh, 1.1, 9), "arctanh": (sympy.atanh, -0.9, 0.9),
    "erf": (sympy.erf, -3, 3), "erfc": (sympy.erfc, -3, 3), "reciprocal": (lambda x: 1 / x, 0.1, 9),
    "square": (lambda x: x**2, -9, 9), "abs": (lambda x: -x, -9, -0.1),
    "sigmoid": (lambda x: 1 / (1 + sympy.exp(-x)), -40, 40), "softplus": (lambda x: sympy.log(1 + sympy.exp(x)), -9, 9),
    "log_sigmoid": (lambda x: -sympy.log(1 + sympy.exp(-x)), -9, 9),
    "silu": (lambda x: x / (1 + sympy.exp(-x)), -9, 9), "elu": (lambda x: sympy.exp(x) - 1, -9, -0.1),
    "mish": (lambda x: x * sympy.tanh(sympy.log(1 + sympy.exp(x))), -9, 9),
    "gelu": (lambda x: x / 2 * (1 + sympy.erf(x / sympy.sqrt(2))), -9, 9),
    "soft_sign": (lambda x: x / (1 - x), -9, -0.1), "gammaln": (sympy.loggamma, 0.1, 9),
    "digamma": (sympy.digamma, 0.1, 9), "erfinv": (sympy.erfinv, -0.9, 0.9),
    "i0": (lambda x: sympy.besseli(0, x), -9, 9), "i1": (lambda x: sympy.besseli(1, x), -9, 9),
    "i0e": (lambda x: sympy.besseli(0, x) * sympy.exp(-x), 0.1, 9),
    "i1e": (lambda x: sympy.besseli(1, x) * sympy.exp(-x), 0.1, 9),
    "sinc": (lambda x: sympy.sin(sympy.pi * x) / (sympy.pi * x), 0.1, 9),
    "logit": (lambda x: sympy.log(x / (1 - x)), 0.1, 0.9), "entr": (lambda x: -x * sympy.log(x), 0.1, 9),
    "ndtr": (lambda x: sympy.erfc(-x / sympy.sqrt(2)) / 2, -9, 9),
    "ndtri": (lambda x: sympy.sqrt(2) * sympy.erfinv(2 * x - 1), 0.1, 0.9),
    "log_ndtr": (lambda x: sympy.log(sympy.erfc(-x / sympy.sqrt(2)) / 2), -9, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_a_function_and_two_derivatives_enclose_sympys_digits(name: str) -> None:
    formula, low, high = UNARY[name]
    symbol = sympy.Symbol("x")
    f = formula(symbol)
    for x0 in np.random.default_rng(len(name)).uniform(low, high, 3):
        line = Array((np.array(arb(x0), dtype=object), np.array(arb(1), dtype=object)))
        with evaluation(Context()):
            series = getattr(xp, name)(line).balls()
        for k, expected in enumerate((f, sympy.diff(f, symbol), sympy.diff(f, symbol, 2) / 2)):
            digits = str(expected.evalf(70, subs={symbol: sympy.Rational(*float(x0).as_integer_ratio())}))
            ball = series[k].item() if k < len(series) else arb(0)
            assert ball.overlaps(enclosing(digits)), (k, ball, digits)
            assert ball.is_zero() or ball.rel_accuracy_bits() > 90


@pytest.mark.parametrize("name", ["exp", "expm1", "log1p", "tanh", "sqrt", "erf", "erfc", "arctan"])
@given(
    x=hnp.arrays(
        np.float64,
        hnp.array_shapes(max_dims=3, max_side=3, min_side=0),
        elements=st.floats(0, 50, allow_subnormal=True),
    )
)
@settings(max_examples=15, deadline=None)
def test_an_enclosure_of_any_shape_contains_mpmaths_value(name: str, x: np.ndarray) -> None:
    theirs = {"arctan": "atan"}.get(name, name)
    with evaluation(Context()):
        out = getattr(xp, name)(asarray(x))
    assert out.shape == x.shape
    with mpmath.workdps(70):
        for ball, value in zip(out.balls()[0].ravel(), x.ravel(), strict=True):
            assert ball.overlaps(enclosing(mpmath.nstr(getattr(mpmath, theirs)(mpmath.mpf(float(value))), 65)))


@given(
    data=st.data(),
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3),
)
@settings(max_examples=40, deadline=None)
def test_broadcasting_follows_numpy(data: st.DataObject, shapes: hnp.BroadcastableShapes) -> None:
    numbers = st.floats(-1e3, 1e3, width=32)
    a, b = (data.draw(hnp.arrays(np.float64, shape, elements=numbers)) for shape in shapes.input_shapes)
    for f in (lambda p, q: p + q, lambda p, q: p * q, lambda p, q: p - q):
        close(f(asarray(a), b), f(a, b))
    close(xp.maximum(a, b), np.maximum(a, b))


@given(shape=st.tuples(*[st.integers(0, 3)] * 3))
@settings(max_examples=20, deadline=None)
def test_a_matrix_product_of_any_size_encloses_the_exact_sum(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    rng = np.random.default_rng(m + 10 * k + 100 * n)
    a, b = rng.standard_normal((m, k)) * 10.0 ** rng.integers(-9, 9, (m, k)), rng.standard_normal((k, n))
    with evaluation(Context(bits=512)):
        out = (asarray(a) @ asarray(b)).balls()[0]
    assert out.shape == (m, n)
    for i, j in np.ndindex(m, n):
        total = sum((sympy.Rational(a[i, p]) * sympy.Rational(b[p, j]) for p in range(k)), sympy.Rational(0))
        assert out[i, j].is_exact()
        mantissa, exponent = (int(part) for part in out[i, j].man_exp())
        assert sympy.Rational(mantissa) * sympy.Rational(2) ** exponent == total
