import jax
import jax.numpy as jnp


@jax.jit
def hill(dose, ec50, n=2.0):
    return 1.0 / (1.0 + (ec50 / dose) ** n)


def loss(params, data):
    effect = hill(data["dose"][:, None], jnp.exp(params["log_ec50"]))
    predicted = params["e0"] + params["emax"] * effect
    return jnp.mean((predicted - data["response"]) ** 2)
