"""torch: the slope of sinc is off by a third at 1e-8, the second derivative by more than half.

`(cos(pi x) pi x - sin(pi x)) / (pi x^2)` cancels near zero: 1.7e-9 off at 1e-4, 7e-6 at 1e-6, 36 % at 1e-8. The slope
is about -3.29 x there, small beside 1; the second derivative, -3.29, is not small and is 58 % off. A few terms of the
series have all digits.

    import torch

    torch.func.grad(torch.func.grad(torch.sinc))(torch.tensor(1e-8, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "second derivative of sinc at 1e-8",
    "kind": "cancellation",
    "true": -3.289868133696452,
    "answer": -5.2119816946063,
    "verdicts": {"hvp x": "unstable"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    x = mp.mpf(1e-8)
    return mp.diff(lambda x: mp.sin(mp.pi * x) / (mp.pi * x), x, 2, h=mp.mpf("1e-18"))


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([1e-8])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.sinc(params["x"]))
