"""Poisson regression of counts with exposures: log link, ridge penalty, and the gradient by hand.

    eta = X w + b + log(exposure),   loss = mean_i [exp(eta_i) - y_i eta_i] + L2/2 |w|^2      (without log y!)
    with r = exp(eta) - y:   dw = X^T r / n + L2 w,   db = mean r

Source: P. McCullagh, J. Nelder, Generalized Linear Models (1989), chapter 6.

What goes wrong when it is ported: the exposure added to eta as it is, and not its logarithm;
`torch.nn.PoissonNLLLoss(log_input=False)`, which expects the rate and adds 1e-8 inside its logarithm; a penalty on
the intercept; `full=True` in one port alone, which moves the loss by Stirling's log y! and no gradient.
"""

import numpy as np

L2 = 0.05


def parameters(rng):
    """Coefficients `w (6,)` and the intercept `b ()`."""
    return {"w": 0.3 * rng.standard_normal(6), "b": np.array(0.1 * rng.standard_normal())}


def data(rng):
    """Features `X (100, 6)`, exposures above 0 and counts `y (100,)`, whole numbers kept as floats."""
    X = rng.standard_normal((100, 6))
    exposure = rng.uniform(0.5, 3.0, 100)
    rate = exposure * np.exp(X @ np.array([0.4, -0.3, 0.2, 0.0, 0.1, -0.2]) + 0.5)
    return {"X": X, "exposure": exposure, "y": rng.poisson(rate).astype(float)}


def loss(params, data, xp):
    """Mean negative log-likelihood without its constant, and the penalty."""
    eta = data["X"] @ params["w"] + params["b"] + xp.log(data["exposure"])
    return xp.mean(xp.exp(eta) - data["y"] * eta) + 0.5 * L2 * xp.sum(params["w"] ** 2)


def gradient(params, data):
    """The closed form above, in NumPy: what the numpy backend is checked by."""
    residual = data["exposure"] * np.exp(data["X"] @ params["w"] + params["b"]) - data["y"]
    return {"w": data["X"].T @ residual / len(residual) + L2 * params["w"], "b": np.mean(residual)}
