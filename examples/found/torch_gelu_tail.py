"""torch: exact gelu has few digits in its left tail: its slope is off by 0.7 % at -12, and its value is 0.

`gelu(x) = x Phi(x)` is computed with `1 + erf(x / sqrt 2)`, which cancels: 1.8 % off at -8, zero from -8.38 down, where
the truth is -2e-32 at -12. The entries are small: beside values near 1 nobody sees them; beside nothing else, a
logarithm or a ratio of them is wrong. With `erfc` it has all digits.

    import torch
    from torch.nn.functional import gelu

    torch.func.grad(gelu)(torch.tensor(-12.0, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "slope of gelu at -12",
    "kind": "cancellation",
    "true": -2.5578956616748956e-31,
    "answer": -2.5756604827956727e-31,
    "verdicts": {"gradient x": "unresolved"},
}
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    ("torch.func.grad(gelu)(torch.tensor(-12.0, dtype=torch.float64))", "ncdf(-12) - 12 * npdf(12)", 0.007),
    ("gelu(torch.tensor(-8.0, dtype=torch.float64))", "-8 * ncdf(-8)", 0.018),
    ("gelu(torch.tensor(-8.4, dtype=torch.float64))", "mpf(-8.4) * ncdf(mpf(-8.4))", 1.0),
]


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    x = mp.mpf(-12)
    return mp.erfc(-x / mp.sqrt(2)) / 2 + x * mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([-12.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.gelu(params["x"]))
