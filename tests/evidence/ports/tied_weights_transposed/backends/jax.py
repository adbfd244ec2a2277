import jax
import jax.numpy as jnp


@jax.jit
def logits(params, context):
    e = params["table"][context].sum(axis=1)
    h = jnp.tanh(e @ params["mix"])
    return jnp.einsum("bd,vd->bv", h, params["table"])


def loss(params, data):
    scores = logits(params, data["context"])
    chosen = jnp.take_along_axis(scores, data["target"][:, None], axis=1)
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - chosen[:, 0])
