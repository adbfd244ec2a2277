import jax.numpy as jnp


def weight_norm(p, axis=1):
    return p["g"] * p["v"] / jnp.linalg.norm(p["v"], axis=axis, keepdims=True)


def loss(params, data):
    w1 = weight_norm(params["first"])
    w2 = weight_norm(params["second"], axis=0)
    h = jnp.tanh(data["x"] @ w1.T + params["first"]["b"])
    out = h @ w2.T + params["second"]["b"]
    return jnp.mean((out - data["y"]) ** 2)
