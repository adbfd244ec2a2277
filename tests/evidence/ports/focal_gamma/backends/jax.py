import jax
import jax.numpy as jnp


def loss(params, data):
    y = data["y"]
    logits = data["x"] @ params["w"] + params["b"]
    bce = jnp.logaddexp(0.0, logits) - y * logits
    p = jax.nn.sigmoid(logits)
    miss = jnp.where(y == 1, 1 - p, p)
    alpha = jnp.where(y == 1, 0.25, 0.75)
    return jnp.mean(alpha * jnp.power(miss, 2.0) * bce)
