import jax
import jax.numpy as jnp


def loss(params, data):
    e = params["embedding"][data["tokens"]].mean(axis=1)
    h = jnp.tanh(e @ params["hidden"]["w"] + params["hidden"]["b"])
    logits = h @ jax.lax.stop_gradient(params["embedding"]).T
    chosen = jnp.take_along_axis(logits, data["next"][:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)
