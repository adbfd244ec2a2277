import jax
import jax.numpy as jnp
from jax import lax


def average_pool(x, size=3):
    window, strides = (1, 1, size, size), (1, 1, 1, 1)
    total = lax.reduce_window(x, 0.0, lax.add, window, strides, "SAME")
    count = lax.reduce_window(jnp.ones_like(x), 0.0, lax.add, window, strides, "SAME")
    return total / count


def loss(params, data):
    h = jax.nn.softplus(lax.conv(data["x"], params["kernel"], (1, 1), "SAME"))
    r = jnp.abs(jnp.einsum("nchw,chw->n", average_pool(h), params["head"]) - data["y"])
    return jnp.mean(jnp.where(r < 1, 0.5 * r**2, r - 0.5))
