import jax
import jax.numpy as jnp

DT, G = 0.1, 9.81


def loss(params, data):
    rate = G * jnp.exp(-params["log_length"][0])

    def step(state, _):
        theta, omega = state
        omega = omega - DT * rate * jnp.sin(theta)
        return jnp.stack((theta + DT * omega, omega)), theta

    _, angles = jax.lax.scan(step, params["start"], length=10)
    return jnp.mean((angles - data["angles"]) ** 2)
