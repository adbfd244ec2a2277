import jax
import jax.numpy as jnp


def loss(params, data):
    A, dt = -jnp.exp(params["log_a"]), jnp.exp(params["log_dt"])
    A_bar, B_bar = jnp.exp(dt * A), dt * params["B"]

    def step(h, u):
        h = A_bar * h + B_bar * u[:, None]
        return h, h @ params["C"]

    start = jnp.zeros((data["u"].shape[1], 4))
    _, outputs = jax.lax.scan(step, start, data["u"])
    return jnp.mean((outputs - data["y"]) ** 2)
