"""A traced JAX function evaluated by NumPy gives what XLA gives, to rounding: value and gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.conftest import configured

LOSSES: dict[str, Callable[..., Any]] = {}


def loss(function: Callable[..., Any]) -> Callable[..., Any]:
    LOSSES[function.__name__] = function
    return function


@loss
def normalised(jax, p, d):
    jnp = jax.numpy
    u = d["x"] @ p["w"]
    u = (u - u.mean(-1, keepdims=True)) * jax.lax.rsqrt(u.var(-1, keepdims=True) + 1e-5)
    return (jax.nn.gelu(u) @ p["h"]).sum() + jax.nn.logsumexp(u) + jnp.where(u > 0, u, 0.1 * u).sum() ** 3


@loss
def scanned(jax, p, d):
    def step(h, x):
        h = jax.numpy.tanh(h @ p["h"] + x @ p["w"])
        return h, h.sum()

    h, s = jax.lax.scan(step, jax.numpy.zeros(8), d["x"], reverse=True)
    return (h**2).sum() + (s * jax.numpy.arange(20.0)).mean()


@loss
def gathered(jax, p, d):
    jnp = jax.numpy
    logits = jax.nn.log_softmax(p["e"][d["i"]] @ p["h"])
    chosen = jnp.take_along_axis(logits, d["i"][:, None], 1).mean()
    return jnp.sort(p["w"], 0)[0].sum() - chosen + jnp.cumsum(p["w"], 1)[:, ::-1].prod()


@loss
def convolved(jax, p, d):
    y = jax.lax.conv_general_dilated(d["im"], p["k"], (1, 1), "SAME")
    pooled = jax.lax.reduce_window(y, -jax.numpy.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return jax.numpy.pad(pooled, ((0, 0), (0, 0), (1, 2), (0, 1)), constant_values=0.5).mean() ** 2


@loss
def branched(jax, p, d):
    jnp = jax.numpy
    looped = jax.lax.fori_loop(0, 5, lambda i, x: x * 0.5 + jnp.sin(x) / (i + 1), p["w"]).sum()
    either = jax.lax.cond(looped > 1e9, jnp.sin, jnp.cos, looped)
    clipped = jax.jit(lambda x: jnp.clip(x, -0.5, 0.5).sum())(p["e"])
    return either * clipped + jnp.einsum("ij,kj->", p["w"], jnp.tril(p["h"])) + jax.nn.softplus(p["k"]).mean()


@loss
def ruled(jax, p, d):
    @jax.custom_vjp
    def halved(x):
        return x**2

    halved.defvjp(lambda x: (x**2, x), lambda x, g: (g * x,))
    special = jax.scipy.special.gammaln(jax.numpy.abs(p["w"]) + 1) + jax.scipy.special.erf(p["w"])
    return halved(p["e"]).sum() + special.sum() + jax.checkpoint(jax.numpy.exp)(p["h"]).mean()


@pytest.mark.parametrize(
    "name", [name if name == "scanned" else pytest.param(name, marks=pytest.mark.slow) for name in LOSSES]
)
def test_numpy_evaluates_what_xla_does(name: str):
    backend = configured("jax")
    import jax

    rng = np.random.default_rng(0)
    params = {n: rng.standard_normal(s) for n, s in {"w": (5, 8), "h": (8, 8), "e": (7, 8), "k": (4, 1, 3, 3)}.items()}
    data = {"x": rng.standard_normal((20, 5)), "i": rng.integers(0, 7, 20), "im": rng.standard_normal((2, 1, 9, 9))}

    def of(p: Any, d: Any) -> Any:
        return LOSSES[name](jax, p, d)

    interpreted = backend.interpreted(of)  # type: ignore[attr-defined]
    loss, gradient = interpreted.value_and_gradient(params, data)
    expected, blocks = jax.jit(jax.value_and_grad(of))(params, data)
    np.testing.assert_allclose(interpreted.value(params, data), expected, rtol=1e-12)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    for block, other in blocks.items():
        np.testing.assert_allclose(gradient[block], other, rtol=1e-10, atol=1e-12 * float(np.abs(other).max()) + 1e-13)


def twice(of: Callable[..., Any]) -> Any:
    """What two calls give, of a loss of ``x``; and how many programs XLA compiled for it."""
    backend = configured("jax")
    x = backend.put({"x": np.array([0.3, -1.2, 2.0])})
    before = backend.compilations()  # type: ignore[attr-defined]
    found = backend.interpreted(of).twice(x, {})  # type: ignore[attr-defined]
    return found, backend.compilations() - before  # type: ignore[attr-defined]


def test_two_calls_compile_nothing_and_give_the_same() -> None:
    import jax.numpy as jnp

    ((first, second), raised), compiled = twice(lambda p, d: jnp.log1p(jnp.exp(jnp.tanh(p["x"]))).sum())
    np.testing.assert_allclose(first, np.log1p(np.exp(np.tanh([0.3, -1.2, 2.0]))).sum(), rtol=1e-14)
    assert first.tobytes() == second.tobytes()
    assert raised is None
    assert compiled == 0


def test_what_the_first_call_leaves_behind_is_seen_by_the_second() -> None:
    kept: list[Any] = [0.0]

    def counts(p: Any, d: Any) -> Any:
        kept[0] += 1
        return p["x"].sum() * kept[0]

    def keeps_a_value(p: Any, d: Any) -> Any:
        d["last"] = d.get("last", 0.0) + p["x"].sum()
        return d["last"]

    def draws(p: Any, d: Any) -> Any:
        return (p["x"] * np.random.default_rng().standard_normal(3)).sum()

    for loss in (counts, keeps_a_value, draws):
        ((first, second), raised), _ = twice(loss)
        assert first.tobytes() != second.tobytes()
        assert raised is None


def test_a_callback_is_called_twice() -> None:
    import jax

    calls = iter(range(9))

    def loss(p: Any, d: Any) -> Any:
        shape = jax.ShapeDtypeStruct((), "float64")
        return p["x"].sum() * jax.pure_callback(lambda: np.float64(next(calls)), shape)

    ((first, second), _), _ = twice(loss)
    assert first != second


def test_what_the_second_call_raises_is_told_and_loops_are_left_to_xla() -> None:
    import jax

    calls = iter(range(9))

    def once(p: Any, d: Any) -> Any:
        if next(calls):
            raise ArithmeticError("once is enough")
        return p["x"].sum()

    (values, raised), _ = twice(once)
    assert [float(value) for value in values] == [pytest.approx(1.1)]
    assert str(raised) == "once is enough"
    assert twice(lambda p, d: jax.lax.fori_loop(0, 3, lambda i, x: x * 2, p["x"]).sum())[0] is None
