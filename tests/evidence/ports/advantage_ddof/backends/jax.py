import jax
import jax.numpy as jnp


def standardise(x):
    return (x - x.mean()) / (x.std(ddof=1) + 1e-8)


def loss(params, data):
    log_probs = jax.nn.log_softmax(data["states"] @ params["policy"])
    log_prob = jnp.take_along_axis(log_probs, data["actions"][:, None], axis=1)[:, 0]
    error = data["returns"] - data["states"] @ params["value"]
    return 0.5 * jnp.mean(error**2) - jnp.mean(log_prob * standardise(error))
