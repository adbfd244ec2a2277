import jax.numpy as jnp

B1, B2, EPS, LR = 0.9, 0.999, 1e-3, 0.1


def loss(params, data):
    h, y = jnp.tanh(data["x"] @ params["w"]), data["y"]
    v = params["v"]
    m = s = jnp.zeros_like(v)
    for t in (1, 2):
        g = 2 * h.T @ (h @ v - y) / y.size
        m, s = B1 * m + (1 - B1) * g, B2 * s + (1 - B2) * jnp.square(g)
        v = v - LR * (m / (1 - B1**t)) / (jnp.sqrt(s / (1 - B2**t)) + EPS)
    return jnp.mean((h @ v - y) ** 2)
