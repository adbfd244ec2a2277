import jax
import jax.numpy as jnp
from jax.scipy.stats import norm


def loss(params, data):
    log_p = norm.logpdf(data["x"][:, None, :], params["means"], jnp.exp(params["log_scales"])).sum(-1)
    log_w = jax.nn.log_softmax(params["logits"])
    return -jnp.mean(jax.nn.logsumexp(log_w + log_p, axis=1))
