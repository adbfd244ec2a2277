"""JAX: ``jit`` of ``value_and_grad``, and the four ways to write the descent: a Python loop over a jitted step,
``lax.scan``, plain and unrolled, and ``lax.fori_loop``.

Reference: the JAX documentation's sections on just-in-time compilation and on control flow; the loss is
``optax.sigmoid_binary_cross_entropy``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradparity.benchmark.baselines import Arrays, Baseline

#: ``value_and_gradient(params, X, y)``, not yet compiled.
ValueAndGradient = Callable[[Any, Any, Any], tuple[Any, Any]]


def cross_entropy(z: Any, y: Any) -> Any:
    """Sigmoid cross-entropy, summed."""
    return -jnp.sum(y * jax.nn.log_sigmoid(z) + (1 - y) * jax.nn.log_sigmoid(-z))


def as_written(params: Any, X: Any, y: Any) -> Any:
    """``(X W) w``."""
    return cross_entropy((X @ params["W"]) @ params["w"], y)


def reassociated(params: Any, X: Any, y: Any) -> Any:
    """``X (W w)``."""
    return cross_entropy(X @ (params["W"] @ params["w"]), y)


def blocked(block_rows: int) -> ValueAndGradient:
    """Blocks by ``lax.scan`` over X reshaped, gradients summed in the carry, and the rows that are left over."""

    def value_and_gradient(params: Any, X: Any, y: Any) -> tuple[Any, Any]:
        gradient_of = jax.value_and_grad(reassociated)
        count, rest = divmod(X.shape[0], block_rows)
        total = jax.tree.map(jnp.zeros_like, (jnp.zeros((), X.dtype), params))
        if count:
            whole = count * block_rows
            blocks = X[:whole].reshape(count, block_rows, -1), y[:whole].reshape(count, block_rows)

            def add(total: Any, block: Any) -> tuple[Any, None]:
                return jax.tree.map(jnp.add, total, gradient_of(params, *block)), None

            total, _ = lax.scan(add, total, blocks)
        if rest:
            total = jax.tree.map(jnp.add, total, gradient_of(params, X[-rest:], y[-rest:]))
        return total

    return value_and_gradient


def baselines(formulation: str, params: Arrays, data: Arrays, block_rows: int) -> Iterator[Baseline]:
    """Four loops around one jitted step."""
    X, y = data["X"], data["y"]
    of: dict[str, ValueAndGradient] = {
        "as_written": jax.value_and_grad(as_written),
        "reassociated": jax.value_and_grad(reassociated),
        "blocked": blocked(block_rows),
    }
    value_and_gradient = of[formulation]
    compiled = jax.jit(value_and_gradient)

    def update(params: Any, X: Any, y: Any, learning_rate: Any) -> tuple[Any, Any]:
        value, gradient = value_and_gradient(params, X, y)
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient), value

    compiled_update = jax.jit(update)

    def python_loop(steps: int, learning_rate: float) -> tuple[Any, Arrays]:
        at, losses = params, []
        for _ in range(steps):
            at, value = compiled_update(at, X, y, learning_rate)
            losses.append(value)
        return jax.block_until_ready((jnp.stack(losses), at))

    @partial(jax.jit, static_argnums=(3, 5))
    def scanned(params: Any, X: Any, y: Any, steps: int, learning_rate: Any, unroll: int) -> tuple[Any, Any]:
        params, losses = lax.scan(lambda at, _: update(at, X, y, learning_rate), params, length=steps, unroll=unroll)
        return losses, params

    @partial(jax.jit, static_argnums=3)
    def fori(params: Any, X: Any, y: Any, steps: int, learning_rate: Any) -> tuple[Any, Any]:
        def body(i: Any, carry: Any) -> tuple[Any, Any]:
            losses, at = carry
            at, value = update(at, X, y, learning_rate)
            return losses.at[i].set(value), at

        losses, params = lax.fori_loop(0, steps, body, (jnp.zeros(steps, X.dtype), params))
        return losses, params

    def step() -> tuple[Any, Arrays]:
        return jax.block_until_ready(compiled(params, X, y))

    loops = {
        "jit": python_loop,
        "scan": lambda steps, rate: jax.block_until_ready(scanned(params, X, y, steps, rate, 1)),
        "scan, unrolled": lambda steps, rate: jax.block_until_ready(scanned(params, X, y, steps, rate, 4)),
        "fori_loop": lambda steps, rate: jax.block_until_ready(fori(params, X, y, steps, rate)),
    }
    for name, loop in loops.items():
        yield Baseline(name=name, step=step if name == "jit" else None, loop=loop)
