import jax.numpy as jnp

BETA = 0.4


def dense(p, x):
    return x @ p["weight"].T + p["bias"]


def encode(p, x):
    h = jnp.tanh(dense(p["hidden"], x))
    return dense(p["mean"], h), dense(p["log_var"], h)


def decode(p, z):
    return dense(p["out"], jnp.tanh(dense(p["hidden"], z)))


def loss(params, data):
    x = data["x"]
    mean, log_var = encode(params["encoder"], x)
    z = mean + jnp.exp(log_var / 2) * data["noise"]
    reconstruction = 0.5 * jnp.sum((decode(params["decoder"], z) - x) ** 2, axis=-1)
    kl = 0.5 * jnp.sum(jnp.exp(log_var) + mean**2 - 1 - log_var, axis=-1)
    return jnp.mean(reconstruction + BETA * kl)
