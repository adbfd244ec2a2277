import jax
import jax.numpy as jnp


def layer_norm(p, x, eps=1e-5):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    var = jnp.var(x, axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(var + eps) * p["weight"] + p["bias"]


def dense(p, x):
    return jnp.einsum("bi,oi->bo", x, p["weight"]) + p["bias"]


def mlp(p, h):
    return dense(p["down"], jnp.tanh(dense(p["up"], h)))


def loss(params, data):
    first, second = params["layers"]
    x = data["x"]
    x = x + mlp(first, layer_norm(first["norm"], x))
    x = x + mlp(second, layer_norm(second["norm"], x, eps=1e-6))
    return jnp.mean((dense(params["head"], x) - data["y"]) ** 2)
