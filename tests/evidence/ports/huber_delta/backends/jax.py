import jax
import jax.numpy as jnp


def huber(errors, delta=1.0):
    absolute = jnp.abs(errors)
    quadratic = jnp.minimum(absolute, delta)
    return 0.5 * quadratic**2 + delta * (absolute - quadratic)


def loss(params, data):
    h = jax.nn.relu(data["x"] @ params["w1"] + params["b1"])
    prediction = h @ params["w2"] + params["b2"]
    return jnp.mean(huber(prediction - data["y"], delta=0.5))
