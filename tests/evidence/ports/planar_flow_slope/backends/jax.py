import jax.numpy as jnp


def planar(p, z):
    h = jnp.tanh(z @ p["w"] + p["b"])
    slope = jnp.outer(1 - h * h, p["w"])
    return z + jnp.outer(h, p["u"]), jnp.log(jnp.abs(1 + slope @ p["u"]))


def loss(params, data):
    z = data["z"] * jnp.exp(params["log_scale"])
    log_det = jnp.sum(params["log_scale"])
    for p in params["flows"]:
        z, change = planar(p, z)
        log_det = log_det + change
    energy = 0.5 * jnp.sum(jnp.square(z - data["target"]), axis=-1)
    return jnp.mean(energy - log_det)
