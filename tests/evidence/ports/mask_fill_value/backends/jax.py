import jax
import jax.numpy as jnp


def loss(params, data):
    x, keep = data["x"], data["keep"]
    q = x @ params["q"]
    k, v = jnp.split(x @ params["kv"], 2, axis=-1)
    scores = jnp.einsum("bid,bjd->bij", q, k) / jnp.sqrt(q.shape[-1])
    scores = jnp.where(keep[:, None, :], scores, -1e9)
    out = jnp.einsum("bij,bjd->bid", jax.nn.softmax(scores), v)
    return jnp.mean((out - data["y"]) ** 2)
