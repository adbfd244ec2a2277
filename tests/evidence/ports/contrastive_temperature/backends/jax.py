import jax
import jax.numpy as jnp

TEMPERATURE = 0.1


def unit(x):
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def loss(params, data):
    a = unit(data["image"] @ params["image"])
    b = unit(data["text"] @ params["text"])
    logits = jnp.einsum("id,jd->ij", a, b) / TEMPERATURE
    rows = jnp.diagonal(jax.nn.log_softmax(logits, axis=1))
    columns = jnp.diagonal(jax.nn.log_softmax(logits, axis=0))
    return -0.5 * (rows + columns).mean()
