import jax
import jax.numpy as jnp


def dense(p, x):
    return x @ p["weight"].T + p["bias"]


def attention(p, x, heads=2):
    b, n, d = x.shape
    q, k, v = jnp.moveaxis(dense(p["qkv"], x).reshape(b, n, 3, heads, d // heads), 2, 0)
    scores = jnp.einsum("bihd,bjhd->bhij", q, k) * (d // heads) ** -0.5
    causal = jnp.tril(jnp.ones((n, n), dtype=bool))
    scores = jnp.where(causal, scores, -jnp.inf)
    out = jnp.einsum("bhij,bjhd->bihd", jax.nn.softmax(scores), v)
    return dense(p["proj"], out.reshape(b, n, d))


def feed_forward(p, x):
    return dense(p["down"], jax.nn.gelu(dense(p["up"], x), approximate=False))


def loss(params, data):
    x = data["x"] + attention(params["attn"], data["x"])
    x = x + feed_forward(params["ff"], x)
    return jnp.mean((x - data["y"]) ** 2)
