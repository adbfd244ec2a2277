import jax
import jax.numpy as jnp

HEADS = 2


def rms_norm(x, weight, eps=1e-6):
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + eps) * weight


def loss(params, data):
    x = data["x"]
    b, n, d = x.shape
    h = rms_norm(x, params["norm"]["weight"])
    q, k, v = jnp.split(h @ params["qkv"]["weight"].T, 3, axis=-1)
    q, k, v = (z.reshape(b, n, HEADS, d // HEADS) for z in (q, k, v))
    scores = jnp.einsum("bihd,bjhd->bhij", q, k) / jnp.sqrt(d // HEADS)
    weights = jax.nn.softmax(scores, axis=-1)
    attended = jnp.einsum("bhij,bjhd->bihd", weights, v).reshape(b, n, d)
    return jnp.mean((x + attended @ params["out"]["weight"].T - data["y"]) ** 2)
