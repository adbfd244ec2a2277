import jax
import jax.numpy as jnp

DT = 0.1


def loss(params, data):
    length, friction = params["length"], params["friction"]

    def body(i, state):
        theta, omega, total = state
        total = total + jnp.sum((theta - data["angles"][i]) ** 2)
        omega = omega - DT * (9.81 / length * jnp.sin(theta) + friction * omega)
        return theta + DT * omega, omega, total

    start = (params["angle"], jnp.zeros_like(params["angle"]), jnp.zeros(()))
    _, _, total = jax.lax.fori_loop(0, 12, body, start)
    return total / 12
