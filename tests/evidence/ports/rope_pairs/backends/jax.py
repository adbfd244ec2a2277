import jax
import jax.numpy as jnp


def rotary(x, base=10000.0):
    positions, width = jnp.arange(x.shape[-2], dtype=x.dtype), x.shape[-1]
    angles = jnp.outer(positions, base ** -(jnp.arange(0, width, 2) / width))
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    a, b = x[..., 0::2], x[..., 1::2]
    turned = (a * cos - b * sin, b * cos + a * sin)
    return jnp.stack(turned, axis=-1).reshape(x.shape)


def loss(params, data):
    x = data["x"]
    q, k, v = rotary(x @ params["wq"]), rotary(x @ params["wk"]), x @ params["wv"]
    weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) / jnp.sqrt(8.0), axis=-1)
    return jnp.mean((weights @ v - data["y"]) ** 2)
