import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

GAMMA = 0.9


def critic(p, state):
    return jnp.tanh(state @ p["w"]) @ p["v"]


def loss(params, data):
    bootstrap = stop_gradient(critic(params["critic"], data["next"]))
    delta = data["reward"] + GAMMA * bootstrap - critic(params["critic"], data["state"])
    log_p = jax.nn.log_softmax(data["state"] @ params["actor"])
    chosen = jnp.take_along_axis(log_p, data["action"][:, None], axis=1)[:, 0]
    return jnp.mean(0.5 * delta**2 - chosen * stop_gradient(delta))
