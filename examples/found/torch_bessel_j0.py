"""torch: special.bessel_j0 is good to ten digits in float64.

2e-11 off at 3, 1.3e-10 at 10, where SciPy's j0, from the same Cephes, has all digits. Values only: torch has no
derivative of it.

    import torch

    torch.special.bessel_j0(torch.tensor(10.0, dtype=torch.float64)).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "bessel_j0(10)",
    "kind": "few digits",
    "true": -0.24593576445134835,
    "answer": -0.24593576441958856,
    "verdicts": {"loss": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.besselj(0, 10)


def parameters(rng):
    """A factor, as torch has no derivative in the argument."""
    return {"a": np.array([1.0])}


def data(rng):
    """The argument, and the value of J0 there."""
    return {"x": np.array([10.0]), "j0": np.array([-0.2459357644513483])}


def loss(params, data, xp):
    """With the value as it is."""
    return xp.sum(params["a"] * data["j0"])


def loss_torch(params, data):
    """As torch has it."""
    import torch

    return (params["a"] * torch.special.bessel_j0(data["x"])).sum()
