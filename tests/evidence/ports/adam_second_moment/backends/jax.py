import jax
import jax.numpy as jnp

LR, B1, B2 = 0.05, 0.9, 0.99
EPS = 1e-8


def loss(params, data):
    x, y = data["train"]["x"], data["train"]["y"]

    def update(state, t):
        w, m, v = state
        g = 2.0 * jnp.mean(x * (x @ w + params["b"] - y)[:, None], axis=0)
        m = B1 * m + (1 - B1) * g
        v = B2 * v + (1 - B2) * g**2
        step = LR * (m / (1 - B1**t)) / (jnp.sqrt(v / (1 - B2**t)) + EPS)
        return (w - step, m, v), None

    zeros = jnp.zeros_like(params["w"])
    (w, _, _), _ = jax.lax.scan(update, (params["w"], zeros, zeros), jnp.arange(1.0, 4.0))
    residual = data["valid"]["x"] @ w + params["b"] - data["valid"]["y"]
    return jnp.mean(residual**2)
