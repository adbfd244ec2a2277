import jax.numpy as jnp


def loss(params, data):
    a, b = jnp.tanh(data["x"] @ params["w"]), jnp.tanh(data["x"] @ params["v"])
    gram_a, gram_b = a @ a.T, b @ b.T
    centred = gram_a - gram_a.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=0, keepdims=True)
    return -jnp.vdot(centred, gram_b) / (jnp.linalg.norm(centred) * jnp.linalg.norm(gram_b))
