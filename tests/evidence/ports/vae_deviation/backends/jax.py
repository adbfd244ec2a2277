import jax
import jax.numpy as jnp


def reparameterise(mean, log_var, noise):
    return mean + jnp.exp(log_var) * noise


def loss(params, data):
    x = data["x"]
    mean, log_var = jnp.split(x @ params["enc"]["w"] + params["enc"]["b"], 2, axis=-1)
    z = reparameterise(mean, log_var, data["noise"])
    logits = z @ params["dec"]["w"] + params["dec"]["b"]
    bce = jnp.sum(jax.nn.softplus(logits) - x * logits, axis=-1)
    kl = 0.5 * jnp.sum(jnp.exp(log_var) + mean**2 - 1 - log_var, axis=-1)
    return jnp.mean(bce + kl)
