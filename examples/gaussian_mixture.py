"""Log-likelihood of a Gaussian mixture with diagonal covariances, by log-sum-exp.

    loss = -mean_i log sum_k exp(log pi_k + sum_d [-(x_id - mu_kd)^2 / (2 s_kd^2) - log s_kd - log(2 pi) / 2])
    with log pi = log softmax(logits) and s = exp(log_scales)

Source: C. Bishop, Pattern Recognition and Machine Learning (2006), section 9.2, equation 9.14.

What goes wrong when it is ported: `log(sum(exp(...)))` without the maximum, which underflows for points far from
every component; variances where standard deviations are meant, or their logarithms off by the factor 2; a missing
`log s`, with which the scales collapse; weights that are not normalised; the maximum taken over components for all
points at once.
"""

import math

import numpy as np

COMPONENTS, DIMENSIONS = 3, 2


def parameters(rng):
    """`logits (3,)` of the weights, `means (3, 2)` and `log_scales (3, 2)`, logarithms of standard deviations."""
    return {
        "logits": 0.5 * rng.standard_normal(COMPONENTS),
        "means": 2.0 * rng.standard_normal((COMPONENTS, DIMENSIONS)),
        "log_scales": 0.3 * rng.standard_normal((COMPONENTS, DIMENSIONS)),
    }


def data(rng):
    """Points `x (60, 2)`, of three clusters."""
    centres = np.array([[-2.0, 0.0], [1.0, 2.0], [2.0, -2.0]])
    return {"x": np.repeat(centres, 20, axis=0) + rng.standard_normal((60, DIMENSIONS))}


def log_sum_exp(a, xp):
    """`log sum exp(a)` over the last axis, which it keeps; the largest term is exp(0)."""
    largest = xp.max(a, axis=-1, keepdims=True)
    return largest + xp.log(xp.sum(xp.exp(a - largest), axis=-1, keepdims=True))


def loss(params, data, xp):
    """Mean negative log-likelihood of the points."""
    log_weights = params["logits"] - log_sum_exp(params["logits"], xp)
    standardised = (data["x"][:, None, :] - params["means"]) * xp.exp(-params["log_scales"])
    log_densities = xp.sum(-0.5 * standardised**2 - params["log_scales"] - 0.5 * math.log(2 * math.pi), axis=-1)
    return -xp.mean(log_sum_exp(log_weights + log_densities, xp))
