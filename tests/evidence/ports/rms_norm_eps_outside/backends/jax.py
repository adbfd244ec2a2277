import jax
import jax.numpy as jnp


def rms_norm(x, gain, eps=1e-3):
    ms = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(ms + eps) * gain


def loss(params, data):
    x = data["x"]
    for block in params["blocks"]:
        x = x + jnp.tanh(rms_norm(x, block["g"]) @ block["w"])
    return jnp.mean((x @ params["out"] - data["y"]) ** 2)
