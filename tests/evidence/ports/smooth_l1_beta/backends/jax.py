import jax
import jax.numpy as jnp

BETA = 0.5


def smooth_l1(difference):
    absolute = jnp.abs(difference)
    return jnp.where(absolute < BETA, 0.5 * difference**2 / BETA, absolute - 0.5 * BETA)


def loss(params, data):
    features = jnp.tanh(data["x"] @ params["trunk"])
    located = jnp.mean(smooth_l1(features @ params["boxes"] - data["boxes"]))
    score = features @ params["score"]
    return located + jnp.mean(jax.nn.softplus(score) - score * data["found"])
