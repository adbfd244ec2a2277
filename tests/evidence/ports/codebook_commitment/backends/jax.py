import jax
import jax.numpy as jnp
from jax.lax import stop_gradient


def dense(p, x):
    return x @ p["weight"].T + p["bias"]


def mse(a, b):
    return jnp.mean((a - b) ** 2)


def loss(params, data):
    book = params["codebook"]["weight"]
    z = dense(params["encoder"], data["x"])
    nearest = jax.vmap(lambda row: jnp.argmin(jnp.sum((row - book) ** 2, axis=1)))(z)
    q = book[nearest]
    codes = mse(q, stop_gradient(z)) + 0.25 * mse(stop_gradient(q), z)
    reconstruction = dense(params["decoder"], z + stop_gradient(q - z))
    return mse(reconstruction, data["x"]) + codes
