"""Reverse mode: every name of the namespace has an adjoint, held against forward mode, which knows of no tape."""

from collections.abc import Callable, Iterator
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
import sympy
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.model_spec.trees import leaves
from gradparity.truth.derivatives.inputs import lines_of
from gradparity.truth.derivatives.reverse import KinkError, coefficient, differentiate, pull_back
from gradparity.truth.derivatives.series import certify, certify_gradient
from gradparity.truth.logistic import closed_form
from gradparity.truth.logistic.neutral import neutral_loss
from gradparity.truth.numbers.arrays import METHODS, asarray
from gradparity.truth.numbers.balls import exact_balls, extended
from gradparity.truth.numbers.context import Context, NotCertifiableError, evaluation
from gradparity.truth.xp.namespace import Namespace, xp
from tests.truth import test_namespace as cases

A, P, C, V, SPD = cases.A, cases.P, cases.C, cases.V, cases.SPD

#: What the expressions of test_namespace leave out.
MORE: list[Callable[..., Any]] = [
    *(lambda n, w, f=f: getattr(n, f)(w(A)) for f in (
        "abs", "absolute", "arcsinh", "arctan", "asinh", "atan", "conj", "copy", "cos", "cosh", "erf", "erfc", "exp",
        "exp2", "expm1", "fliplr", "flipud", "negative", "positive", "rot90", "sin", "sinh", "tan", "tanh",
        "atleast_1d", "amax", "amin", "cumulative_sum",
    )),
    *(lambda n, w, f=f: getattr(n, f)(w(P)) for f in (
        "acos", "arccos", "arcsin", "arctanh", "asin", "atanh", "log", "log10", "log1p", "log2", "sqrt",
    )),
    *(lambda n, w, f=f: getattr(n, f)(w(A)) for f in (
        "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid",
        "log_softmax", "logsumexp", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softmax",
        "softplus", "sinc", "i0", "i0e", "i1", "i1e", "ndtr", "log_ndtr", "gammaln", "digamma", "cumlogsumexp",
    )),
    *(lambda n, w, f=f: getattr(n, f)(w(P)) for f in ("erfinv", "ndtri", "logit", "entr")),
    *(lambda n, w, f=f: getattr(n, f)(w(P), w(P)[0] + 0.5) for f in ("beta", "betaln", "xlogy", "xlog1py")),
    lambda n, w: n.polygamma(1, w(A)), lambda n, w: n.polygamma(2, w(P)), lambda n, w: n.beta(w(P) - 2, w(P) + 0.5),
    lambda n, w: n.xlogy(np.array([0.0, 1.0, 2.0, 0.0]), w(P)), lambda n, w: n.xlogy(w(A), w(P)),
    lambda n, w: n.cumlogsumexp(w(C), axis=1), lambda n, w: n.segment_sum(w(A), np.array([1, 0, 1]), 3),
    lambda n, w: n.logsumexp(w(C), axis=(0, 2)), lambda n, w: n.softmax(w(C), axis=1),
    lambda n, w: n.log_softmax(w(C), axis=None), lambda n, w: n.gelu(w(A), approximate=True),
    lambda n, w: n.logsumexp(w(A), axis=0, keepdims=True), lambda n, w: n.glu(w(A), axis=1),
    lambda n, w: n.arccosh(1 + w(P)), lambda n, w: n.acosh(1 + w(P)), lambda n, w: n.add(w(A), w(P)),
    lambda n, w: n.subtract(w(A), w(P)), lambda n, w: n.multiply(w(A), w(P)), lambda n, w: n.divide(w(A), w(P)),
    lambda n, w: n.true_divide(w(A), w(V)[:, None]), lambda n, w: n.pow(w(P), 2), lambda n, w: n.mod(w(A), 0.7),
    lambda n, w: n.remainder(w(A), w(P)), lambda n, w: n.astype(w(A), n.float64), lambda n, w: n.array([w(V), w(V)]),
    lambda n, w: n.asarray([[w(V)[0], 1.0], [2.0, w(V)[1]]]), lambda n, w: n.full((2, 2), w(V)[0]),
    lambda n, w: n.full_like(w(A), w(V)[1]), lambda n, w: n.linspace(w(V)[0], w(V)[1], 5),
    lambda n, w: n.linalg.matrix_norm(w(A)), lambda n, w: n.linalg.vector_norm(w(A), axis=1),
    lambda n, w: n.take(w(A), np.array([1, 1, 0, 1]), axis=0), lambda n, w: n.max(w(A) * w(A), axis=0),
    lambda n, w: n.where(w(A) > 0, n.log(w(A)), 0.0), lambda n, w: n.where(w(A) > 0, w(A) ** 0.5 / w(A), 1.0),
    lambda n, w: n.where(np.array([True, False]), 1 / (w(V)[:2] - V[:2] * np.array([0.0, 1.0])), 2.0),
    lambda n, w: n.conv(w(C), w(C)[:, :, :2], 2, 1, 2),
    lambda n, w: n.conv(w(C)[None], w(C)[:, None, :2, :2], groups=2),
    lambda n, w: n.avg_pool(w(C)[None], (2, 3), 1, 1), lambda n, w: n.max_pool(w(C)[None], 2, padding="same"),
    lambda n, w: n.expm(w(SPD)), lambda n, w: n.expm(w(C)[:, :3, :3] * 2), lambda n, w: n.expm(w(SPD) @ w(SPD)),
    lambda n, w: n.solve_triangular(w(SPD), w(A)), lambda n, w: n.linalg.eigh(w(SPD) @ w(SPD))[1],
    lambda n, w: n.linalg.svd(w(A) * w(A), full_matrices=False)[0],
    lambda n, w: n.linalg.qr(w(cases.M) * w(cases.M))[0],
    lambda n, w: w(A).sum(axis=0) @ w(A).T @ w(V), lambda n, w: w(A)[np.array([0, 0, 2])] * 2,
    *(lambda n, w, f=f: getattr(w(A), f)() for f in (
        "conj", "cumprod", "cumsum", "flatten", "max", "mean", "min", "prod", "ravel", "squeeze", "std", "sum",
        "transpose", "var", "diagonal", "trace",
    )),
    lambda n, w: w(A).clip(-0.5, 0.5), lambda n, w: w(A).dot(w(cases.M)), lambda n, w: w(A).repeat(2, axis=0),
    lambda n, w: w(A).swapaxes(0, 1), lambda n, w: w(A).take(np.array([1, 2]), axis=1), lambda n, w: 1 - w(V),
    lambda n, w: w(A).mT, lambda n, w: w(A).real, lambda n, w: w(A).astype(float), lambda n, w: next(iter(w(A))),
]  # fmt: skip

#: Names with nothing to differentiate: constants, types, what creates arrays, and what is constant between jumps.
CONSTANT = {
    "allclose", "argsort", "around", "array_equal", "count_nonzero", "diag_indices", "digitize", "empty", "empty_like",
    "fix", "isclose", "isneginf", "isposinf", "ndim", "rint", "round", "searchsorted", "shape", "size", "tril_indices",
    "triu_indices", "trunc",
    "all", "any", "arange", "argmax", "argmin", "bitwise_and", "bitwise_or", "bitwise_xor", "bool", "bool_", "ceil",
    "e", "equal", "eye", "finfo", "float32", "float64", "floor", "floor_divide", "greater", "greater_equal",
    "identity", "inf", "int32", "int64", "isfinite", "isinf", "isnan", "less", "less_equal", "linalg", "logical_and",
    "logical_not", "logical_or", "logical_xor", "nan", "ndarray", "newaxis", "nonzero", "not_equal", "one_hot",
    "ones", "ones_like", "pi", "sign", "zeros", "zeros_like", "__name__",
}  # fmt: skip

EXPRESSIONS = [*cases.EXPRESSIONS, *MORE]


class Watched:
    """The namespace, remembering which names were called."""

    def __init__(self, space: Any, seen: set[str]) -> None:
        self._space, self._seen = space, seen

    def __getattr__(self, name: str) -> Any:
        self._seen.add(name)
        value = getattr(self._space, name)
        return Watched(value, self._seen) if isinstance(value, Namespace) else value


def as_loss(expression: Callable[..., Any], seen: set[str]) -> tuple[Any, dict[str, np.ndarray]]:
    """A loss of everything real that an expression gives, weighted irregularly; its real inputs are the parameters."""
    params: dict[str, np.ndarray] = {}

    def weighed(parts: Iterator[Any]) -> Any:
        total: Any = asarray(0.0)
        for part in parts:
            array = asarray(part)
            if array.is_real:
                weights = np.sin(1.0 + np.arange(array.size)).reshape(array.shape)
                total = total + xp.sum(weights * array)
        return total

    def value(source: Callable[[Any], Any]) -> Any:
        made = expression(Watched(xp, seen), source)
        return weighed(iter(made if isinstance(made, tuple | list) else (made,)))

    def collect(x: Any) -> Any:
        array = np.asarray(x)
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            return asarray(x)
        params[str(len(params))] = array
        return asarray(x)

    value(collect)

    def loss(p: Any, d: Any, space: Any) -> Any:
        given = iter(p.values())
        return value(lambda x: next(given) if np.asarray(x).dtype.kind == "f" and np.isfinite(x).all() else asarray(x))

    return loss, params


def normal(params: Any, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {path: np.asarray(rng.standard_normal(np.shape(leaf))) for path, leaf in leaves(params)}


def dot(balls: dict[str, Any], v: dict[str, np.ndarray]) -> arb:
    return sum((np.sum(balls[path].balls * exact_balls(v[path])) for path in v), arb(0))


@pytest.mark.parametrize("position", range(len(EXPRESSIONS)))
def test_reverse_and_forward_mode_agree_on_an_expression(position: int) -> None:
    loss, params = as_loss(EXPRESSIONS[position], set())
    if not params:
        return
    v, other = normal(params, 1), normal(params, 2)
    try:
        found = differentiate(loss, params, {}, v)
    except NotCertifiableError as refused:
        assert refused.what == "conversion to integers"  # noqa: PT017
        return
    assert found is not None
    assert found.settled
    forward = certify(loss, params, {}, v)
    assert forward.status == "certified"
    assert found.value.ball.overlaps(forward.value.ball)
    assert dot(found.gradient, v).overlaps(forward.first.ball)
    assert dot(found.product, v).overlaps(forward.second.ball)
    assert dot(found.gradient, other).overlaps(certify(loss, params, {}, other, order=1).first.ball)
    # In extended precision the same tape gives the same numbers, with a direction and without.
    for direction, order in ((v, 1), (None, 0)):
        with evaluation(Context(order=order, extended=True)):
            lines = lines_of(params, direction, extended)
            _, adjoints = pull_back(loss, params, lines, {})
            for path, line in lines.items():
                for k, exact in enumerate((found.gradient, found.product)[: order + 1]):
                    values = exact[path].as_longdouble()
                    error = np.abs(coefficient(adjoints[path], k, line[0].shape) - values)
                    assert np.all(error <= 1e-15 * max(1, np.abs(values).max(initial=0)))


def test_every_differentiable_name_is_among_the_expressions() -> None:
    seen: set[str] = set()
    for expression in EXPRESSIONS:
        as_loss(expression, seen)
    assert (set(dir(xp)) | set(dir(xp.linalg))) - CONSTANT <= seen


@pytest.mark.parametrize("method", sorted(METHODS - {"all", "any", "argmax", "argmin"}))
def test_a_method_of_an_array_is_traced(method: str) -> None:
    arguments = {"astype": (float,), "clip": (-0.5, 0.5), "dot": (cases.M,), "repeat": (2,), "reshape": (2, 6),
                 "swapaxes": (0, 1), "take": (np.array([1, 2]),)}.get(method, ())  # fmt: skip
    params = {"x": A}

    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.sin(getattr(p["x"], method)(*arguments)))

    found = differentiate(loss, params, {}, normal(params, 3))
    assert found is not None
    expected = certify_gradient(loss, params, {}).gradient["x"]
    pairs = zip(found.gradient["x"].balls.ravel(), expected.balls.ravel(), strict=True)
    assert all(ours.overlaps(theirs) for ours, theirs in pairs)
    assert found.ignored == ()


@pytest.mark.parametrize("seed", range(3))
def test_the_built_in_models_closed_form_overlaps_in_every_entry(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spec = ProjectedLogistic(features=4, projection=3, l2=0.1, reduction="mean", logit_scale=2.0)
    params, v = ({"W": rng.standard_normal((4, 3)), "w": rng.standard_normal(3)} for _ in range(2))
    data = {"X": rng.standard_normal((9, 4)), "y": rng.integers(0, 2, 9)}
    found = differentiate(neutral_loss(spec), params, data, v)
    assert found is not None
    assert found.settled
    expected = closed_form.enclose(spec, params, data, v)
    assert found.value.ball.overlaps(expected.value.ball)
    assert found.along.ball.overlaps(expected.along.ball)
    for ours, theirs in ((found.gradient, expected.gradient), (found.product, expected.product)):
        for path in params:
            pairs = zip(ours[path].balls.ravel(), theirs[path].balls.ravel(), strict=True)
            assert all(a.overlaps(b) for a, b in pairs)


def test_gradient_and_hessian_enclose_sympys_digits() -> None:
    # Rosenbrock's function times a saturating one; H v by SymPy's own derivatives at 40 digits.
    x, y = sympy.symbols("x y")
    expression = (1 - x) ** 2 + 100 * (y - x**2) ** 2 + sympy.log(1 + sympy.exp(x * y)) * sympy.atan(x)
    point, v = {"x": np.array(0.3), "y": np.array(-1.7)}, {"x": np.array(0.5), "y": np.array(2.0)}

    def loss(p: Any, d: Any, xp: Any) -> Any:
        a, b = p["x"], p["y"]
        return (1 - a) ** 2 + 100 * (b - a**2) ** 2 + xp.logaddexp(0.0, a * b) * xp.arctan(a)

    found = differentiate(loss, point, {}, v)
    assert found is not None
    exact = {x: sympy.Rational(0.3), y: sympy.Rational(-1.7)}
    along = {name: sum(sympy.diff(expression, name, other) * sympy.Rational(float(v[other.name])) for other in (x, y))
             for name in (x, y)}  # fmt: skip
    for name in (x, y):
        for ours, theirs in ((found.gradient, sympy.diff(expression, name)), (found.product, along[name])):
            assert overlaps_digits(ours[name.name][()].ball, sympy.N(theirs.subs(exact), 40))


def test_log_determinant_and_solve_have_the_published_derivatives() -> None:
    # d log det A / dA = A^-T and d b^T A^-1 b / dA = -A^-T b b^T A^-T (Giles, 2008), by mpmath at 60 digits.
    params = {"A": SPD + np.triu(np.ones((3, 3)), 1) / 8}
    loss = lambda p, d, xp: xp.linalg.slogdet(p["A"])[1] + d["b"] @ xp.linalg.solve(p["A"], d["b"])  # noqa: E731
    found = differentiate(loss, params, {"b": V}, normal(params, 4))
    assert found is not None
    with mpmath.workdps(60):
        inverse = mpmath.matrix(params["A"].tolist()) ** -1
        b = mpmath.matrix(V.tolist())
        expected = inverse.T - (inverse.T * b) * (b.T * inverse.T)
        for index in np.ndindex(3, 3):
            assert overlaps_digits(found.gradient["A"][index].ball, mpmath.nstr(expected[index], 50))


def overlaps_digits(ball: arb, digits: Any) -> bool:
    with flint.ctx.workprec(300):
        return bool(ball.overlaps(arb(str(digits)) + arb(0, 1) * arb(10) ** -33))


_STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "tanh": lambda x, xp: xp.tanh(x), "product": lambda x, xp: x @ x.T @ x, "square": lambda x, xp: x * x + x,
    "soft": lambda x, xp: xp.exp(x - xp.max(x, axis=1, keepdims=True)), "centre": lambda x, xp: x - xp.mean(x, axis=0),
    "scan": lambda x, xp: xp.cumsum(x, axis=1), "flip": lambda x, xp: xp.concatenate([x[:, 1:], x[:, :1]], axis=1),
    "ratio": lambda x, xp: x / (1 + x * x), "relu": lambda x, xp: xp.maximum(x, 0.1 * x),
    "whiten": lambda x, xp: xp.linalg.solve(x @ x.T + xp.eye(x.shape[0]), x),
    "norm": lambda x, xp: x / xp.linalg.norm(x, axis=0),
}  # fmt: skip


@given(
    st.lists(st.sampled_from(sorted(_STEPS)), min_size=1, max_size=5), st.integers(1, 4), st.integers(2, 4),
    st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_composition_has_the_derivatives_of_forward_mode(names: list[str], m: int, n: int, seed: int) -> None:
    params = {"x": np.random.default_rng(seed).standard_normal((m, n))}
    v = normal(params, seed)

    def loss(p: Any, d: Any, xp: Any) -> Any:
        x = p["x"]
        for name in names:
            x = _STEPS[name](x, xp) / 2
        return xp.sum(xp.sin(x))

    try:
        found = differentiate(loss, params, {}, v, max_bits=2048)
    except KinkError:
        return  # one row less its mean is zero, the place of a kink
    forward = certify(loss, params, {}, v, max_bits=2048)
    if found is None:  # likewise, where the zero cannot be proven
        assert forward.status == "undecided"
        return
    assert dot(found.gradient, v).overlaps(forward.first.ball)
    assert dot(found.product, v).overlaps(forward.second.ball)


def test_an_unused_parameter_is_ignored_and_exactly_zero() -> None:
    params = {"used": np.array([1.0, 2.0]), "layers": [{"W": np.ones((2, 2))}]}
    found = differentiate(
        lambda p, d, xp: xp.sum(p["used"] ** 2), params, {}, {"used": V[:2], "layers": [{"W": np.ones((2, 2))}]}
    )
    assert found is not None
    assert found.ignored == ("layers.0.W",)
    assert found.gradient["layers.0.W"].is_zero.all()
    assert found.settled


@pytest.mark.parametrize(
    "loss",
    [
        lambda p, d, xp: xp.sum(xp.maximum(p["x"], 0.0)),
        lambda p, d, xp: xp.linalg.norm(p["x"] - p["x"] * 1.0),
        lambda p, d, xp: xp.max(xp.exp(xp.stack([p["x"][1], p["x"][1], p["x"][0]]))),
    ],
)
def test_a_tie_is_a_kink_whatever_the_direction(loss: Any) -> None:
    params = {"x": np.array([0.0, 1.0])}
    for v in (np.array([1.0, 1.0]), np.array([0.0, 1.0])):
        with pytest.raises(KinkError):
            differentiate(loss, params, {}, {"x": v})


def test_what_is_no_scalar_or_does_not_fit_is_refused() -> None:
    params = {"x": np.ones(2)}
    with pytest.raises(InputError, match="scalar"):
        differentiate(lambda p, d, xp: p["x"], params, {}, params)
    with pytest.raises(InputError, match="direction"):
        differentiate(lambda p, d, xp: xp.sum(p["x"]), params, {}, {"x": np.ones(3)})


@pytest.mark.parametrize("power", [2, 3, 5])
def test_a_power_of_what_may_be_zero_has_a_value(power: int) -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum((xp.log(xp.exp(p["x"])) - p["x"] + d["gap"]) ** power)

    params, gap = {"x": np.array([0.2, -1.3])}, np.array([0.0, 0.5])
    found = differentiate(loss, params, {"gap": gap}, {"x": np.array([1.0, 2.0])}, max_bits=256)
    assert found is not None
    assert found.value.ball.overlaps(arb(0.5) ** power)
    assert all(each.is_finite.all() for each in found.blocks.values())
