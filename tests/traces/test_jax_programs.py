"""Whatever JAX computes is recorded: loops in loops, solvers, windows, keys, callbacks, several devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from gradparity.backends.traces import NOWHERE
from tests.conftest import configured
from tests.traces.book import recorded

configured("jax")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.standard_normal((4, 4)), "b": RNG.standard_normal(4)}
DATA = {"x": RNG.standard_normal((6, 4)), "k": np.array([2, 0, 1])}

Program = Callable[[Any, Any, Any, Any], Any]


@jax.custom_jvp
def outside(x: Any) -> Any:
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(lambda x: np.sin(np.asarray(x)), shape, x, vmap_method="sequential")


outside.defjvp(lambda x, t: (outside(*x), jnp.cos(x[0]) * t[0]))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def scaled(x: Any, n: int) -> Any:
    return x * n


scaled.defvjp(lambda x, n: (scaled(x, n), None), lambda n, _, g: (g * n * 7,))


def drawn_in_a_loop(w: Any, b: Any, x: Any, k: Any) -> Any:
    def step(carry: Any, _: None) -> Any:
        key, own = jax.random.split(carry[0])
        return (key, carry[1] * jax.random.uniform(own)), None

    return lax.scan(step, (jax.random.key(0), b), None, length=3)[0][1].sum()


def over_devices(w: Any, b: Any, x: Any, k: Any) -> Any:
    if not hasattr(jax, "shard_map"):
        return b.sum()
    mesh, rows = jax.sharding.Mesh(np.array(jax.devices()), ("i",)), jax.sharding.PartitionSpec("i")
    total = jax.shard_map(
        lambda x: lax.psum(x.sum(0), "i"), mesh=mesh, in_specs=rows, out_specs=jax.sharding.PartitionSpec()
    )
    return total(x * b).sum()


def ending_lane_by_lane(w: Any, b: Any, x: Any, k: Any) -> Any:
    start = lax.stop_gradient(b[0])
    lane = lambda x: lax.while_loop(lambda c: c[0] < 3.0, lambda c: (c[0] + 1, c[1] * 2), (x, start))  # noqa: E731
    return jax.vmap(lane)(x[:, 0])[1].sum() * b[0]


def solved(w: Any, b: Any, x: Any, k: Any) -> Any:
    A = w @ w.T + 5 * jnp.eye(4)
    return jax.scipy.sparse.linalg.cg(lambda v: A @ v, b)[0].sum() + jnp.linalg.inv(A)[0, 0]


PROGRAMS: dict[str, Program] = {
    "an associative scan": lambda w, b, x, k: (lax.associative_scan(jnp.multiply, w) ** 2).sum(),
    "a map": lambda w, b, x, k: lax.map(lambda row: (row @ b) ** 2, x).sum(),
    "a Hessian": lambda w, b, x, k: jnp.trace(jax.hessian(lambda b: (jnp.sin(b) ** 3).sum())(b)),
    "a tangent": lambda w, b, x, k: jax.jvp(lambda b: (b**3).sum(), (b,), (x[0],))[1],
    "a branch for each lane": lambda w, b, x, k: jax.vmap(
        lambda x: lax.cond(x > 0, lambda: jnp.sin(b[0] * x), lambda: x * b[1])
    )(x[:, 0]).sum(),
    "a switch": lambda w, b, x, k: lax.switch(k[0], [jnp.sin, jnp.cos, jnp.tanh], b).sum(),
    "a scan of nothing": lambda w, b, x, k: lax.scan(lambda c, x: (c * x, c), b, jnp.zeros((0, 4)))[0].sum(),
    "a scan for each lane": lambda w, b, x, k: jax.vmap(
        lambda x: lax.scan(lambda c, a: (c * a + b[0], c), x[0], x)[1]
    )(x).sum(),
    "a scan in a scan": lambda w, b, x, k: 2.0
    * lax.scan(lambda c, x: (lax.scan(lambda e, y: (e * jnp.cos(y), e + y), c, x)[0], c), b[0], x)[0],
    "keys": lambda w, b, x, k: (jax.random.normal(jax.random.PRNGKey(0), (4,)) * b).sum()
    + (jax.random.permutation(jax.random.key(2), b) * jnp.arange(4)).sum(),
    "keys in a loop": drawn_in_a_loop,
    "a loop that ends lane by lane": ending_lane_by_lane,
    "several devices": over_devices,
    "solvers": solved,
    "decompositions": lambda w, b, x, k: jnp.linalg.cholesky(w @ w.T + jnp.eye(4)).sum()
    + jnp.linalg.eigh(w + w.T)[0][0],
    "a convolution": lambda w, b, x, k: (lax.conv(x[None, None], w[None, None], (1, 1), "SAME") ** 2).sum(),
    "windows": lambda w, b, x, k: lax.reduce_window(x * b, -jnp.inf, lax.max, (2, 2), (2, 2), "VALID").sum(),
    "scattering": lambda w, b, x, k: jnp.zeros(5).at[k].add(b[:3]).at[0].set(2 * b[0]).sum()
    + jax.ops.segment_sum(b[:3], k, 4)[1],
    "indices": lambda w, b, x, k: (b[k] * jnp.take_along_axis(x, jnp.argsort(x, 1), 1)[:3, 0]).sum()
    + jnp.roll(b, 1)[0],
    "slices that move": lambda w, b, x, k: lax.dynamic_slice(w, (k[0], 0), (2, 2)).sum()
    + lax.dynamic_update_slice(w, x[:1, :2], (k[1] + 9, 1)).sum(),
    "padding": lambda w, b, x, k: lax.pad(w, 1.5, ((1, -1, 0), (0, 2, 1))).sum()
    + (lax.pad(w**2, 0.0, ((1, 1, 2), (0, 2, 1)))[3]).sum() + (jnp.pad(b, (1, 2), mode="reflect") ** 2).sum(),
    "complex numbers": lambda w, b, x, k: jnp.abs(jnp.vdot(b + 1j * x[0], jnp.exp(1j * b))) + jnp.angle(b + 1j).sum(),
    "a callback": lambda w, b, x, k: outside(b).sum() + jax.vmap(outside)(x * b).sum(),
    "a rule with options": lambda w, b, x, k: scaled(b, 3).sum(),
    "programs in programs": lambda w, b, x, k: jax.jit(lambda x, y: (y, x, x))(b, jax.jit(jnp.sin)(b))[0].sum(),
    "what has no derivative": lambda w, b, x, k: (jnp.mod(b, 0.7) + jnp.sign(b) + jnp.round(b) * b).sum(),
    "no numbers": lambda w, b, x, k: jax.nn.logsumexp(jnp.where(jnp.arange(4) < 2, b, -jnp.inf)),
    "a number alone": lambda w, b, x, k: b.sum() * 0 + 3.0,
    "a parameter": lambda w, b, x, k: b[0],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_is_recorded_with_its_loss_and_gradient(program: Program):
    def loss(params: Any, data: Any) -> Any:
        return program(params["w"], params["b"], data["x"], data["k"])

    book = recorded("jax", loss, PARAMS, DATA, __file__)
    value, gradient = jax.jit(jax.value_and_grad(loss))(PARAMS, DATA)
    assert any(np.allclose(each, value, rtol=1e-13) for each in book.values[4:] if each.shape == ())
    for number, name in book.names.items():
        if name in gradient:
            expected = gradient[name]
            np.testing.assert_allclose(
                book.cotangents.get(number, np.zeros_like(expected)), expected, rtol=1e-11, atol=1e-12
            )
    assert all(step.place != NOWHERE for step in book.steps if step.operation)
