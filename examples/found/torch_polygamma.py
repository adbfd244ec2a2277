"""torch: trigamma, and with it the gradient of digamma and the Hessian of lgamma, is off by up to 5e-10.

`torch.special.polygamma(1, x)` adds six terms of the series before it goes over to the asymptotic expansion, which is
then good to nine digits in float64 at x about 1 and to all of them only beyond 30 (4.8e-10 off at 1, 6e-11 at 5, 5e-12
at 10). SciPy and JAX have it to the last digits at positive x. `polygamma(2, x)` is right, so the third derivative of
lgamma is better than the second.

    import torch

    torch.special.polygamma(1, torch.tensor(1.0, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "slope of digamma at 1",
    "kind": "few digits",
    "true": 1.6449340668482264,
    "answer": 1.6449340676383375,
    "verdicts": {"gradient x": "wrong", "jvp": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.polygamma(1, 1)


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([1.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.digamma(params["x"]))
