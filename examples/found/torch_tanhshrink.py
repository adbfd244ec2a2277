"""torch: tanhshrink, x - tanh(x), is computed as that, and loses its digits near zero.

5e-11 off at 1e-3, 8e-5 at 1e-6, where the truth is x^3 / 3; the slope, `1 - (1 - tanh^2)`, is off by 6e-12 and
2e-5. The values are small beside x, which is what they are the difference of. tanh(x)^2 is the slope with all
digits.

    import torch

    torch.nn.functional.tanhshrink(torch.tensor(1e-6, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "tanhshrink(1e-6)",
    "kind": "cancellation",
    "true": 3.3333333333319997e-19,
    "answer": 3.333074647445672e-19,
    "verdicts": {"loss": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.mpf(1e-6) - mp.tanh(mp.mpf(1e-6))


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([1e-6])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """By its series, which has all digits near zero."""
    x = params["x"]
    return xp.sum(x**3 / 3 - 2 * x**5 / 15 + 17 * x**7 / 315)


def loss_torch(params, data):
    """As torch has it."""
    from torch.nn.functional import tanhshrink

    return tanhshrink(params["x"]).sum()
