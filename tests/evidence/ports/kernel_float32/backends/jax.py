import jax
import jax.numpy as jnp
from jax.scipy.stats import multivariate_normal


def matern32(r):
    return (1 + jnp.sqrt(3.0) * r) * jnp.exp(-jnp.sqrt(3.0) * r)


def loss(params, data):
    x, y = data["x"], data["y"]
    distances = jax.vmap(lambda a: jnp.sum((a - x) ** 2, axis=1))(x)
    K = matern32(jnp.sqrt(distances) / jnp.exp(params["log_length"]))
    K = K + jnp.exp(params["log_noise"]) * jnp.eye(len(y))
    return -multivariate_normal.logpdf(y, jnp.zeros_like(y), K)
