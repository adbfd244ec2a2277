"""The loss as HIPS autograd's users write it."""

import autograd.numpy as np

L2 = 0.01


def loss(params, data):
    """Mean negative log-likelihood and the penalty."""
    margins = (2 * data["y"] - 1) * (np.dot(data["X"], params["w"]) + params["b"])
    return np.mean(np.logaddexp(0, -margins)) + 0.5 * L2 * np.dot(params["w"], params["w"])
