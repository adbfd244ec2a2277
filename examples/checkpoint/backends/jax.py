"""The port, in Flax's layout, without Flax: images and kernels with channels last."""

import jax
import jax.numpy as jnp


def net(variables, images):
    """Logits (S, 10) of images (S, 8, 8, 1)."""
    params, statistics = variables["params"], variables["batch_stats"]["norm"]
    order = ("NHWC", "HWIO", "NHWC")
    hidden = jax.lax.conv_general_dilated(images, params["conv"]["kernel"], (1, 1), "VALID", dimension_numbers=order)
    hidden = hidden + params["conv"]["bias"]
    scale = params["norm"]["scale"] * jax.lax.rsqrt(statistics["var"] + 1e-5)
    hidden = jnp.tanh((hidden - statistics["mean"]) * scale + params["norm"]["bias"])
    pooled = hidden.reshape(len(hidden), 3, 2, 3, 2, 2).mean((2, 4))  # (S, 6, 6, 2) in windows of 2 by 2
    return pooled.reshape(len(pooled), -1) @ params["fc"]["kernel"] + params["fc"]["bias"]


def loss(params, data):
    """The mean cross entropy."""
    logits = jax.nn.log_softmax(net(params, data["images"].transpose(0, 2, 3, 1)))
    return -jnp.mean(logits[jnp.arange(len(logits)), data["labels"]])
