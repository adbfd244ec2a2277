import jax
import jax.numpy as jnp


def loss(params, data):
    p = params["lstm"]

    def step(carry, x):
        h, c = carry
        gates = x @ p["weight_ih_l0"].T + h @ p["weight_hh_l0"].T + p["bias_ih_l0"] + p["bias_hh_l0"]
        i, g, f, o = jnp.split(gates, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), None

    zeros = jnp.zeros((data["x"].shape[0], 5))
    (h, _), _ = jax.lax.scan(step, (zeros, zeros), jnp.swapaxes(data["x"], 0, 1))
    return jnp.mean((h @ params["out"] - data["y"]) ** 2)
