"""The loss in plain JAX: one row, then `vmap`."""

import jax
import jax.numpy as jnp

L2 = 0.01


def row_loss(params, x, y):
    """Negative log-likelihood of one row."""
    z = x @ params["w"] + params["b"][0]
    return jax.nn.softplus(z) - y * z


def loss(params, data):
    """Mean over rows, and the penalty."""
    rows = jax.vmap(row_loss, in_axes=(None, 0, 0))(params, data["X"], data["y"])
    return rows.mean() + 0.5 * L2 * jnp.vdot(params["w"], params["w"])
