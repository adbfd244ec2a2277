import jax
import jax.numpy as jnp


def focal_loss(logits, labels, gamma=2.0):
    log_p = jax.nn.log_softmax(logits)
    log_p = jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    return -jnp.mean((1 - jnp.exp(log_p)) ** gamma * log_p)


def loss(params, data):
    return focal_loss(jnp.tanh(data["x"] @ params["w1"]) @ params["w2"], data["labels"])
