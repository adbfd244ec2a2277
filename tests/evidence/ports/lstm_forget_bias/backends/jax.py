import jax
import jax.numpy as jnp
from jax.nn import sigmoid


def dense(p, z):
    return z @ p["w"] + p["b"]


def make_step(params):
    def step(state, x):
        h, c = state
        z = jnp.concatenate([x, h], axis=-1)
        i = sigmoid(dense(params["input"], z))
        f = sigmoid(dense(params["forget"], z) + 1.0)
        o = sigmoid(dense(params["output"], z))
        c = f * c + i * jnp.tanh(dense(params["cell"], z))
        return (o * jnp.tanh(c), c), None

    return step


def loss(params, data):
    zero = jnp.zeros((data["x"].shape[1], 4))
    (h, _), _ = jax.lax.scan(make_step(params), (zero, zero), data["x"])
    return jnp.mean((h @ params["head"] - data["y"]) ** 2)
