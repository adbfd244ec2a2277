import jax
import jax.numpy as jnp

H = 5


def gru_cell(p, h, x):
    xr, xz, xn = jnp.split(x @ p["w"] + p["b"], 3, axis=-1)
    hr, hz, hn = jnp.split(h @ p["u"], 3, axis=-1)
    r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
    n = jnp.tanh(xn + r * (hn + p["bn"]))
    return (1 - z) * n + z * h


def loss(params, data):
    def step(h, x):
        return gru_cell(params["gru"], h, x), ()

    start = jnp.zeros((data["x"].shape[0], H), data["x"].dtype)
    h, _ = jax.lax.scan(step, start, data["x"].transpose(1, 0, 2))
    logits = h @ params["head"]
    return jnp.mean(jnp.logaddexp(0.0, logits) - data["y"] * logits)
