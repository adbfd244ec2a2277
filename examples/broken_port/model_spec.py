"""Focal loss of a linear classifier, ported with a mistake: the loss is the same and the gradient is not.

    p = sigmoid(X w + b),   p_t = p where y = 1 and 1 - p where y = 0
    loss = mean_i (1 - p_t)^2 (-log p_t)

Source: T.-Y. Lin et al., "Focal loss for dense object detection", ICCV (2017), equation 4, with gamma = 2.

The PyTorch port in `backends/torch.py` treats `(1 - p_t)^2` as a weight, and weights as constants. Every loss that
anyone prints agrees to the last digit, and training goes elsewhere: the first term of the product rule is missing.
All ports tap the weight, so that the report names it.
"""

import numpy as np

from gradparity import tap


def parameters(rng):
    """Weights `w (5,)` and the bias `b (1,)`."""
    return {"w": 0.5 * rng.standard_normal(5), "b": 0.1 * rng.standard_normal(1)}


def data(rng):
    """Features `X (60, 5)` and labels `y (60,)` of 0 and 1, a fifth of them 1."""
    return {"X": rng.standard_normal((60, 5)), "y": (np.arange(60) % 5 == 0).astype(float)}


def loss(params, data, xp):
    """The definition, in any array namespace; -log p_t = softplus(-m) and 1 - p_t = exp(-m - softplus(-m))."""
    m = (2.0 * data["y"] - 1.0) * (data["X"] @ params["w"] + params["b"])
    cross_entropy = xp.logaddexp(xp.zeros_like(m), -m)
    weight = tap("weight", xp.exp(2.0 * (-m - cross_entropy)))
    return xp.mean(weight * cross_entropy)
