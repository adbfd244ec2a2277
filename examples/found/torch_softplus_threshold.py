"""torch: softplus is x beyond its threshold of 20, so its second derivative is zero there (documented).

The documentation says so: "For numerical stability the implementation reverts to the linear function when input x beta
> threshold", threshold 20. In float64 that costs up to 1e-10 of the value, 6e-11 at 20.5, and all of the second
derivative, 1.25e-9 at 20.5 beside 0.25 at most. `threshold=40` is enough for value and slope in float64; the second
derivative is then 0.1 % off at 30 and 0 from 37 on. It is an approximation that is documented, and no bug; a model
ported from JAX has another curvature.

    import torch
    from torch.nn.functional import softplus

    softplus(torch.tensor(20.5, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "softplus(20.5)",
    "kind": "documented",
    "true": 20.500000001250154,
    "answer": 20.5,
    "verdicts": {"loss": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.log1p(mp.exp(mp.mpf(20.5)))


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([20.5])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.softplus(params["x"]))


def loss_torch(params, data):
    """As torch has it."""
    from torch.nn.functional import softplus

    return softplus(params["x"]).sum()
