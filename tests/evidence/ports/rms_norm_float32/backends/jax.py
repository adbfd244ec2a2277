import jax
import jax.numpy as jnp


def rms_norm(gain, x, dtype=None):
    z = x.astype(dtype or x.dtype)
    z = z * jax.lax.rsqrt(jnp.mean(z * z, axis=-1, keepdims=True) + 1e-6)
    return gain * z.astype(x.dtype)


def loss(params, data):
    h = data["x"]
    for i in range(2):
        h = h + jax.nn.silu(rms_norm(params["gains"][i], h) @ params["weights"][i])
    h = h + jax.nn.silu(rms_norm(params["gains"][2], h, dtype=jnp.float32) @ params["weights"][2])
    return jnp.mean((h - data["y"]) ** 2)
