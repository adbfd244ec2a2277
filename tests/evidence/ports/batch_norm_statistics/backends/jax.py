import jax
import jax.numpy as jnp


def batch_norm(p, x, eps=1e-5):
    mean, var = jax.lax.stop_gradient((x.mean(axis=0), x.var(axis=0)))
    return (x - mean) * jax.lax.rsqrt(var + eps) * p["weight"] + p["bias"]


def block(p, x):
    u = x @ p["fc"]["weight"].T + p["fc"]["bias"]
    return jnp.tanh(batch_norm(p["bn"], u))


def loss(params, data):
    h = block(params["two"], block(params["one"], data["x"]))
    return jnp.mean((h - data["y"]) ** 2)
