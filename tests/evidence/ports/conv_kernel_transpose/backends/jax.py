import jax
import jax.numpy as jnp

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(x, kernel, bias):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=LAYOUT) + bias


def loss(params, data):
    x = data["x"].transpose(0, 2, 3, 1)
    h = jnp.tanh(conv(x, params["conv1"]["kernel"].transpose(2, 3, 1, 0), params["conv1"]["bias"]))
    h = jnp.tanh(conv(h, params["conv2"]["kernel"].transpose(3, 2, 1, 0), params["conv2"]["bias"]))
    out = h.mean(axis=(1, 2)) @ params["head"]
    return jnp.mean((out - data["y"]) ** 2)
