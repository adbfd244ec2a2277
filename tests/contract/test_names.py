"""Every function beyond NumPy's names, in every framework, against the certified truth: value and derivatives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.special

from gradparity import special
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.truth.derivatives.reverse import differentiate
from gradparity.truth.model.floor import Tape
from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.enclosure import Enclosures
from gradparity.truth.xp.namespace import xp
from tests.conftest import configured

X = np.random.default_rng(3).standard_normal((3, 4)) * 3
LABELS = np.array([2, 0, 3])
WEIGHTS = np.sin(1.0 + np.arange(64))

#: By what is tested: a function's name and more words; of the functions, a parameter of shape (3, 4), and labels.
CASES: dict[str, Callable[[Any, Any, Any], Any]] = {
    **{name: lambda s, x, k, name=name: getattr(s, name)(x) for name in (
        "softmax", "log_softmax", "logsumexp", "sigmoid", "log_sigmoid", "softplus", "relu", "relu6", "leaky_relu",
        "elu", "celu", "selu", "silu", "mish", "gelu", "glu", "hard_tanh", "hard_sigmoid", "hard_silu", "soft_sign",
        "erf", "erfc", "ndtr", "log_ndtr", "i0", "i0e", "i1", "i1e", "cumlogsumexp",
    )},
    **{name: lambda s, x, k, name=name: getattr(s, name)(0.01 + x * x) for name in ("gammaln", "digamma", "entr")},
    **{name: lambda s, x, k, name=name: getattr(s, name)(0.5 + x / 20) for name in ("erfinv", "ndtri", "logit")},
    "polygamma": lambda s, x, k: s.polygamma(1, 0.5 + x * x),
    "polygamma of two": lambda s, x, k: s.polygamma(2, 0.5 + x * x),
    **{name: lambda s, x, k, name=name: getattr(s, name)(0.5 + x[0] * x[0], 0.7 + x[1] * x[1])
       for name in ("beta", "betaln", "xlogy", "xlog1py")},
    "cumlogsumexp of columns": lambda s, x, k: s.cumlogsumexp(x, axis=0),
    "softmax of columns": lambda s, x, k: s.softmax(x, axis=0),
    "softmax of all": lambda s, x, k: s.softmax(x, axis=None),
    "log_softmax of two axes": lambda s, x, k: s.log_softmax(x[:, :, None] * x[:, None, :], axis=(0, 2)),
    "logsumexp of rows": lambda s, x, k: s.logsumexp(x, axis=1, keepdims=True),
    "leaky_relu of another slope": lambda s, x, k: s.leaky_relu(x, 0.2),
    "elu of another alpha": lambda s, x, k: s.elu(x, 0.5),
    "celu of another alpha": lambda s, x, k: s.celu(x, 0.5),
    "gelu by tanh": lambda s, x, k: s.gelu(x, approximate=True),
    "glu of columns": lambda s, x, k: s.glu(x[:2], axis=0),
    "one_hot": lambda s, x, k: s.one_hot(k, 4) * x[:, :4],
}  # fmt: skip

#: What takes the trigamma function, of which PyTorch's series in float64 ends at a relative error of 1e-9.
TRIGAMMA = {"gammaln", "digamma", "polygamma", "beta", "betaln"}

Blocks = dict[str, npt.NDArray[Any]]


def loss(p: Any, d: Any, xp: Any) -> Any:
    """All cases: each a sum of its elements, weighted irregularly, times a parameter, whose gradient is the sum."""
    total: Any = 0.0
    for name, case in CASES.items():
        out = case(special, p[name], d["k"])
        weights = xp.reshape(d["w"][: int(np.prod(out.shape))], tuple(out.shape))
        total = total + p[f"1 {name}"] * xp.sum(out * weights)
    return total


def inputs(dtype: str) -> tuple[Blocks, Blocks, Blocks]:
    params = {name: X.astype(dtype) for name in CASES} | {f"1 {name}": np.ones((), dtype) for name in CASES}
    direction = {name: np.cos(x) if x.ndim else 0 * x for name, x in params.items()}
    return params, direction, {"k": LABELS, "w": WEIGHTS.astype(dtype)}


@cache
def truth(dtype: str) -> tuple[Blocks, Blocks, Blocks, Blocks]:
    """Gradient and H v, and their floors."""
    params, direction, data = inputs(dtype)
    found = differentiate(loss, params, data, direction)
    assert found is not None
    assert found.settled
    blocks = {("loss", ""): found.value.as_longdouble(), ("jvp", ""): found.along.as_longdouble()}
    blocks |= {("gradient", path): each.as_longdouble() for path, each in found.gradient.items()}
    blocks |= {("hvp", path): each.as_longdouble() for path, each in found.product.items()}
    floor = Tape(loss, params, data, direction).floor(blocks, dtype, seed=0, seconds=0)
    return tuple(
        {path: each[quantity, path] for path in params} for each in (blocks, floor) for quantity in ("gradient", "hvp")
    )


@cache
def answer(backend: str, dtype: str, second: bool) -> tuple[Blocks, Blocks]:
    """Gradient and H v; where `second` says so, or no compilation takes long."""
    framework = configured(backend)
    xp = framework.namespace()
    params, direction, data = map(framework.put, inputs(dtype))
    if backend == "jax":
        import jax

        def derivatives(p: Any, v: Any) -> Any:
            gradient = jax.grad(lambda p: loss(p, data, xp))
            return jax.jvp(gradient, (p,), (v,)) if second else (gradient(p), {})

        # One program, barely optimised: compiling three of them well takes a minute.
        compiled = jax.jit(derivatives).lower(params, direction).compile({"xla_backend_optimization_level": 0})
        return tuple(map(framework.get, compiled(params, direction)))
    # autograd squares cosh x for the derivative of tanh, and an overflow there is a zero as it should be.
    with np.errstate(over="ignore"):
        program = framework.program(lambda p, d: loss(p, d, xp))
        _, gradient = program.value_and_gradient(params, data)
        product, along = program.hvp(params, data, direction), program.jvp(params, data, direction)
    assert np.isfinite(float(framework.get({"": along})[""]))  # forward mode has every function
    return framework.get(gradient), framework.get(product)


SLOW = pytest.mark.slow
COMPILED = [pytest.param("jax", dtype, True, marks=SLOW) for dtype in ("float64", "float32")]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("backend", "dtype", "second"),
    [(name, dtype, True) for name in ("torch", "autograd") for dtype in ("float64", "float32")]
    + [("jax", "float32", False), *COMPILED],
)
def test_a_function_has_the_certified_derivatives(backend: str, dtype: str, second: bool, name: str) -> None:
    gradient, product = answer(backend, dtype, second)
    exact, exact_product, floor, floor_product = truth(dtype)
    off = []
    for path in (name, f"1 {name}"):
        for found, expected, of in ((gradient, exact, floor), (product, exact_product, floor_product))[: 1 + second]:
            assert found[path].dtype == dtype
            error = np.abs(found[path] - expected[path])
            off.append(float((error / np.where(error > 0, of[path], 1)).max()))
            assert np.all(error <= 1e-8 * np.abs(expected[path]) + AGREES_FLOORS * of[path])
    # The frameworks' own faults are seen: whoever mends them is to be believed again.
    assert (max(off) > 100) is (backend == "torch" and dtype == "float64" and name in TRIGAMMA)
    assert max(off) <= AGREES_FLOORS or name in TRIGAMMA


FUNCTIONS = {name for name, each in vars(special).items() if inspect.isfunction(each) and not name.startswith("_")}


def test_every_special_function_is_among_the_cases_and_is_certified() -> None:
    assert {name.partition(" ")[0] for name in CASES} == FUNCTIONS
    assert set(Array.functions) >= FUNCTIONS


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch", "autograd"])
def test_a_framework_has_every_name_of_the_certified_namespace(backend: str) -> None:
    space = configured(backend).namespace()
    assert {name for name in dir(xp) if not name.startswith("_") and not hasattr(space, name)} == set()
    assert {name for name in dir(xp.linalg) if not name.startswith("_") and not hasattr(space.linalg, name)} == set()
    assert all(callable(getattr(space, name)) for name in FUNCTIONS)


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch", "autograd"])
def test_a_name_that_a_framework_lacks_is_said_with_a_cure(backend: str) -> None:
    space = configured(backend).namespace()
    assert not hasattr(space, "no_such_name")
    with pytest.raises(AttributeError, match=r"has no no_such_name: write it with the names that every backend has"):
        space.no_such_name(1.0)


def test_numpys_are_scipys_numbers() -> None:
    scipys = {
        "sigmoid": "expit",
        "softmax": "softmax",
        "log_softmax": "log_softmax",
        "logsumexp": "logsumexp",
        "erf": "erf",
        "erfc": "erfc",
    }
    for ours, theirs in scipys.items():
        options = {"axis": 0} if "softmax" in ours else {}
        np.testing.assert_allclose(
            getattr(special, ours)(X, **options), getattr(scipy.special, theirs)(X, **options), rtol=1e-14
        )


def test_a_function_is_that_of_its_arguments_framework() -> None:
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    autograd = pytest.importorskip("autograd")
    expected = scipy.special.softmax(X[0])
    slope = expected[0] * (np.eye(4)[0] - expected)
    x, t = jax.numpy.asarray(X[0]), torch.tensor(X[0])
    found = [
        special.softmax(X[0]), special.softmax(x), jax.jit(special.softmax)(x), jax.vmap(special.softmax)(x[None])[0],
        special.softmax(t).numpy(), torch.func.vmap(special.softmax)(t[None])[0].numpy(),
        torch.compile(lambda x: special.softmax(x), fullgraph=True, backend="eager")(t).numpy(),
        Enclosures(special.softmax(asarray(X[0])).series[0]).as_longdouble(),
    ]  # fmt: skip
    for each in found:
        np.testing.assert_allclose(each, expected, rtol=1e-14)
    slopes = [
        jax.jit(jax.grad(lambda x: special.softmax(x)[0]))(x), autograd.grad(lambda x: special.softmax(x)[0])(X[0]),
        torch.func.grad(lambda x: special.softmax(x)[0])(t).numpy(),
    ]  # fmt: skip
    for each in slopes:
        np.testing.assert_allclose(each, slope, rtol=1e-12)


def test_an_array_of_another_framework_is_refused() -> None:
    class Foreign:
        pass

    Foreign.__module__ = "elsewhere"
    with pytest.raises(TypeError, match=r"Foreign is no array of autograd, JAX, NumPy or PyTorch"):
        special.relu(Foreign())
