"""torch: special.bessel_j0 has six digits in float64 just above 5.

It is off by 1.9e-9 at 4, by 2.3e-6 at 5.1, 3.6e-7 at 6, 1.1e-8 at 8 and 1.3e-10 at 10, where SciPy's j0, from the same
Cephes, has all digits; below 1 and beyond 25 torch's has them too. Values only: torch has no derivative of it.

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
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    ("torch.special.bessel_j0(torch.tensor(4.0, dtype=torch.float64))", "besselj(0, mpf(4.0))", 1.9e-09),
    ("torch.special.bessel_j0(torch.tensor(5.1, dtype=torch.float64))", "besselj(0, mpf(5.1))", 2.3e-06),
    ("torch.special.bessel_j0(torch.tensor(6.0, dtype=torch.float64))", "besselj(0, mpf(6.0))", 3.6e-07),
    ("torch.special.bessel_j0(torch.tensor(10.0, dtype=torch.float64))", "besselj(0, mpf(10.0))", 1.3e-10),
]


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
