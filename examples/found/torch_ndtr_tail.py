"""torch: special.ndtr is 0 from -8.38 down, where the truth is 1.8e-33 at -12.

It is computed by `1 + erf` for x below -1 too, where SciPy, Cephes and JAX use `erfc`: 1.8e-10 off at -5.3, 1.8 % at
-8, 63 % at -8.35, then 0. The slope, a density, is right, so the value and its derivative contradict each other. The
values are small beside 1, and are what a tail probability is asked for.

    import torch

    torch.special.ndtr(torch.tensor(-8.0, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "ndtr(-8)",
    "kind": "cancellation",
    "true": 6.220960574271784e-16,
    "answer": 6.106226635438361e-16,
    "verdicts": {"loss": "unstable"},
}
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    ("torch.special.ndtr(torch.tensor(-5.3, dtype=torch.float64))", "ncdf(mpf(-5.3))", 1.8e-10),
    ("torch.special.ndtr(torch.tensor(-8.35, dtype=torch.float64))", "ncdf(mpf(-8.35))", 0.63),
    ("torch.special.ndtr(torch.tensor(-8.4, dtype=torch.float64))", "ncdf(mpf(-8.4))", 1.0),
]


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.erfc(8 / mp.sqrt(2)) / 2


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([-8.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.ndtr(params["x"]))
