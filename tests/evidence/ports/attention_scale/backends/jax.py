import math

import jax
import jax.numpy as jnp

WIDTH, HEADS = 8, 2


def loss(params, data):
    x = data["x"]
    batch, length, _ = x.shape
    q, k, v = (jnp.reshape(x @ params[n], (batch, length, HEADS, -1)) for n in ("wq", "wk", "wv"))
    scores = jnp.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(WIDTH)
    weights = jax.nn.softmax(scores, axis=-1)
    heads = jnp.einsum("bhij,bjhd->bihd", weights, v).reshape(batch, length, WIDTH)
    return jnp.mean((heads @ params["wo"] - data["y"]) ** 2)
