import jax
import jax.numpy as jnp


def rotary(x, base=10000.0):
    length, width = x.shape[-2:]
    frequencies = base ** (-jnp.arange(0, width, 2, dtype=x.dtype) / width)
    angles = jnp.arange(length, dtype=x.dtype)[:, None] * frequencies[None, :]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def loss(params, data):
    x = data["x"]
    q, k, v = (x @ params[name] for name in ("wq", "wk", "wv"))
    scores = jnp.einsum("bid,bjd->bij", rotary(q), rotary(k)) / jnp.sqrt(8.0)
    attended = jnp.einsum("bij,bjd->bid", jax.nn.softmax(scores, axis=-1), v)
    return jnp.mean((attended @ params["out"] - data["y"]) ** 2)
