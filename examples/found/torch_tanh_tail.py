"""torch: the slope of tanh, 1 - tanh^2, has no digit left at 19.

3.2e-7 off at 12, 77 % at 19, zero from 19.07 on, where the truth is 4 e^-2x. The entries are small beside 1. A formula
from x, `1 / cosh^2`, has all digits; torch keeps the result only. autograd has that formula.

    import torch

    torch.func.grad(torch.tanh)(torch.tensor(19.0, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "slope of tanh at 19",
    "kind": "cancellation",
    "true": 1.2556531168192118e-16,
    "answer": 2.220446049250313e-16,
    "verdicts": {"gradient x": "unresolved"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.sech(19) ** 2


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([19.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.tanh(params["x"]))
