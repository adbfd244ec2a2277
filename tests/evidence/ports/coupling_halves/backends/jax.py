import jax.numpy as jnp

from backends._jax_coupling import coupling


def loss(params, data):
    z = data["x"]
    log_det = jnp.zeros(len(z))
    for i, p in enumerate(params["couplings"]):
        z, change = coupling(p, z, flip=i % 2 == 1)
        log_det = log_det + change
    return jnp.mean(0.5 * jnp.sum(z**2, axis=-1) - log_det)
