"""Negative log marginal likelihood of a Gaussian process, squared-exponential kernel, by Cholesky.

    K = variance exp(-sum_d (x_d - x'_d)^2 / (2 lengthscale_d^2)) + noise I,   K = L L^T,   z = L^-1 y
    loss = z . z / 2 + sum_i log L_ii + n/2 log(2 pi)

Source: C. Rasmussen, C. Williams, Gaussian Processes for Machine Learning (2006), equation 2.30 and algorithm 2.1.

What goes wrong when it is ported: `log(det(K))`, which underflows from some fifty points on, for the sum of
logarithms; `sum(log(diag(L)))` counted as log det K and so halved twice, or not at all; jitter in one port alone;
lengthscales in one and their squares, or their logarithms, in the other; `torch.eye` in float32, which a float64
scalar does not promote.
"""

import math

import numpy as np

POINTS, DIMENSIONS = 20, 2


def parameters(rng):
    """Logarithms of `variance ()`, `lengthscales (2,)` and `noise ()`, the last being a variance too."""
    return {
        "log_variance": np.array(0.3 * rng.standard_normal()),
        "log_lengthscales": 0.3 * rng.standard_normal(DIMENSIONS),
        "log_noise": np.array(-2.0 + 0.3 * rng.standard_normal()),
    }


def data(rng):
    """Inputs `x (20, 2)` and noisy observations `y (20,)` of a smooth function."""
    x = rng.uniform(-2.0, 2.0, (POINTS, DIMENSIONS))
    return {"x": x, "y": np.sin(2.0 * x[:, 0]) + 0.5 * x[:, 1] + 0.3 * rng.standard_normal(POINTS)}


def loss(params, data, xp):
    """Negative log marginal likelihood of the observations."""
    x, y = data["x"], data["y"]
    n = y.shape[0]
    differences = (x[:, None, :] - x[None, :, :]) * xp.exp(-params["log_lengthscales"])
    kernel = xp.exp(params["log_variance"] - 0.5 * xp.sum(differences**2, axis=-1))
    L = xp.linalg.cholesky(kernel + xp.exp(params["log_noise"]) * xp.eye(n, dtype=kernel.dtype))
    z = xp.linalg.solve(L, y)
    return 0.5 * xp.sum(z * z) + xp.sum(xp.log(xp.diag(L))) + 0.5 * n * math.log(2 * math.pi)
