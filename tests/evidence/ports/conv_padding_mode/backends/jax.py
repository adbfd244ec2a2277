import jax
import jax.numpy as jnp


def loss(params, data):
    x = jnp.pad(data["x"], ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    h = jax.nn.softplus(jax.lax.conv(x, params["k"], (1, 1), "VALID"))
    out = jnp.einsum("nchw,chw->n", h, params["v"])
    return jnp.abs(out - data["y"]).mean()
