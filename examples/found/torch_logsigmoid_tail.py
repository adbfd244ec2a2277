"""torch: the second derivative of logsigmoid is 0 from 37 on, and has half its digits at 19.

It is `-s (1 - s)` with s near 1: 7.7e-9 off at 19, 0.1 % at 30, zero at 40, where the truth is -4.2e-18. The entries
are small beside the 0.25 of the middle; `exp(-|x|) / (1 + exp(-|x|))^2` has all digits on both sides. The slope of
`sigmoid` and the second derivative of `silu` have the same tail.

    import torch

    torch.func.grad(torch.func.grad(torch.nn.functional.logsigmoid))(torch.tensor(40.0, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "second derivative of logsigmoid at 40",
    "kind": "cancellation",
    "true": -4.248354255291589e-18,
    "answer": 0.0,
    "verdicts": {"hvp x": "unresolved"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return -mp.exp(-40) / (1 + mp.exp(-40)) ** 2


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([40.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.log_sigmoid(params["x"]))
