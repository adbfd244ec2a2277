"""torch: the second derivative of the Bessel function i1 has half its digits at 1e-3, and three at 1e-6.

The slope of i1 is `i0 - i1 / x`, and its slope again divides a difference that cancels by x: 8e-10 off at 1e-3, 0.1
% at 1e-6, where the truth is 3/8 x. The entries are small beside the slope, 1/2. `(i0 + i2) / 2` and its like do
not cancel.

    import torch

    torch.func.grad(torch.func.grad(torch.special.i1))(torch.tensor(1e-6, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "second derivative of i1 at 1e-6",
    "kind": "cancellation",
    "true": 3.7500000000005205e-07,
    "answer": 3.753812052309513e-07,
    "verdicts": {"hvp x": "unresolved"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.besseli(1, mp.mpf(1e-6), derivative=2)


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([1e-6])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.i1(params["x"]))
