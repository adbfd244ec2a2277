"""GradBench's ``llsq``: a polynomial's squared distance to a step, half of it.

    t_i = -1 + 2 i / (n - 1),   s_i = sign(t_i),   loss = 1/2 sum_i (s_i - sum_j x_j t_i^j)^2

The points are part of the formula: their rounding counts in the noise floor. GradBench has m = 128, and n from 16 on.
"""

import numpy as np

from gradparity.backends.gradbench.wire import Wire, count, size

POINTS, TERMS = (32, 20), (16, 12)


def parameters(rng):
    """Coefficients `x (16,)`, or 12 of an odd seed."""
    return {"x": rng.random(size(rng, *TERMS))}


def data(rng):
    """Numbers of the points, `i (32,)`, or 20 of an odd seed."""
    return {"i": np.arange(float(size(rng, *POINTS)))}


def loss(params, data, xp):
    """Half the sum of squared residuals."""
    residuals, _ = _residuals(params["x"], data["i"], xp)
    return 0.5 * xp.sum(residuals * residuals)


def gradient(params, data):
    """`-sum_i r_i t_i^j`."""
    residuals, powers = _residuals(params["x"], data["i"], np)
    return {"x": -residuals @ powers}


def _residuals(x, i, xp):
    """`s - P x`, and the powers `P_ij = t_i^j`, doubled in number until there are enough: a loop would be long."""
    last = i.shape[0] - 1
    factor = (2.0 * i / last - 1.0)[:, None]
    powers = xp.ones_like(factor)
    while powers.shape[1] < x.shape[0]:
        powers = xp.concatenate([powers, powers * factor], axis=1)
        factor = factor * factor
    powers = powers[:, : x.shape[0]]
    return xp.sign(2.0 * i - last) - powers @ x, powers


class _Wire(Wire):
    def written(self, params, data):
        return {"x": params["x"].tolist(), "n": len(data["i"])}

    def read(self, given):
        params, _ = super().read(given)
        return params, {"i": np.arange(float(count(given, "n", 2)))}


WIRE = _Wire()
