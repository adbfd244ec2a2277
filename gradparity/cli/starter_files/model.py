"""Your model, written once and run by every backend. Replace what is here by your own.

As it stands: a line through noisy points whose noise is estimated too,
    loss = mean_i [(y_i - X_i w - b)^2 / (2 s^2) + log s],   s = exp(log_s)
Check it with: gradparity check model.py
"""

import numpy as np


def parameters(rng):
    """What is differentiated: arrays of float64 (or float32), in any nesting of dicts, lists and tuples.

    `rng` is a `numpy.random.Generator` with a seed that the report records (`--seed`). Draw from it and from nothing
    else, so that all backends have the same numbers. Start at a generic point: zeros are often a symmetric one, where
    gradients vanish and mistakes with them.
    """
    return {"w": 0.5 * rng.standard_normal(3), "b": np.array(0.1), "log_s": np.array(-0.2)}


def data(rng):
    """What is held fixed: arrays in any nesting, integers and booleans among them. Read files here, or draw.

    Some hundred rows are enough to find a mistake, and are certified in a second or two.
    """
    X = rng.standard_normal((50, 3))
    return {"X": X, "y": X @ np.array([1.0, -2.0, 0.5]) + 0.3 * rng.standard_normal(50)}


def loss(params, data, xp):
    """One number, by `xp` alone: autograd.numpy, jax.numpy, array_api_compat.torch, or the certified namespace.

    Pure: it assigns into no array, draws nothing, keeps nothing. Not `np.exp`, but `xp.exp`; not `x.sum()`, but
    `xp.sum(x)`. An array made here needs its dtype said (`xp.zeros_like(x)`, `xp.eye(n, dtype=x.dtype)`): PyTorch's is
    float32 otherwise.
    """
    residual = data["y"] - data["X"] @ params["w"] - params["b"]
    return xp.mean(0.5 * residual**2 * xp.exp(-2.0 * params["log_s"])) + params["log_s"]


# A backend that has its own code: `loss_torch`, `loss_jax` or `loss_autograd` takes the place of `loss` there, on that
# framework's arrays, and is held to the same truth. Import the framework inside: the other backends lack it.
#
# def loss_torch(params, data):
#     import torch
#
#     standardised = (data["y"] - data["X"] @ params["w"] - params["b"]) / torch.exp(params["log_s"])
#     return 0.5 * torch.nn.functional.mse_loss(standardised, torch.zeros_like(standardised)) + params["log_s"]
#
#
# def loss_jax(params, data):
#     import jax.numpy as jnp
#
#     residual = data["y"] - data["X"] @ params["w"] - params["b"]
#     return jnp.mean(0.5 * jnp.square(residual / jnp.exp(params["log_s"]))) + params["log_s"]
#
#
# A gradient that you derived by hand, in NumPy and shaped like the parameters: the numpy backend checks and times it.
#
# def gradient(params, data):
#     residual = data["y"] - data["X"] @ params["w"] - params["b"]
#     scaled = residual * np.exp(-2.0 * params["log_s"])
#     return {
#         "w": -data["X"].T @ scaled / len(residual),
#         "b": -np.mean(scaled),
#         "log_s": 1.0 - np.mean(scaled * residual),
#     }
