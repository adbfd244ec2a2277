import jax
import jax.numpy as jnp


def instance_norm(x, scale, shift, eps=1e-5):
    mean = x.mean(axis=(1, 2), keepdims=True)
    var = x.var(axis=(1, 2), keepdims=True)
    return (x - mean) / jnp.sqrt(var + eps) * scale + shift


def loss(params, data):
    images = jnp.transpose(data["images"], (0, 2, 3, 1))
    kernel = jnp.transpose(params["conv"]["kernel"], (2, 3, 1, 0))
    x = jax.lax.conv_general_dilated(
        images, kernel, window_strides=(1, 1), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jax.nn.silu(instance_norm(x + params["conv"]["bias"], **params["norm"]))
    return jnp.mean((x.mean(axis=(1, 2)) @ params["head"] - data["y"]) ** 2)
