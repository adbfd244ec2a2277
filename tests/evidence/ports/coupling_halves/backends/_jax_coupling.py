import jax.numpy as jnp


def conditioner(p, a):
    out = jnp.tanh(a @ p["w1"]) @ p["w2"] + p["b2"]
    log_scale, shift = jnp.split(out, 2, axis=-1)
    return jnp.tanh(log_scale), shift


def coupling(p, x, flip):
    a, b = jnp.split(x, 2, axis=-1)
    if flip:
        a, b = b, a
    log_scale, shift = conditioner(p, a)
    b = b * jnp.exp(log_scale) + shift
    return jnp.concatenate((a, b), axis=-1), log_scale.sum(axis=-1)
