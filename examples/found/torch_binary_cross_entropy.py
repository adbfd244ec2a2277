"""torch: the second derivative of binary_cross_entropy has an epsilon in its denominator.

`binary_cross_entropy_double_backward` divides by `((p + 1e-12) (1 - p + 1e-12))^2`, so it is off by about `2e-12 / (p
(1 - p))`: 1e-11 at 0.3, 2e-10 at 0.99, 2e-6 at 1e-6, 0.2 % at 1e-9. The gradient is right.
`binary_cross_entropy_with_logits` has no such epsilon.

    import torch
    from torch.nn.functional import binary_cross_entropy

    p = torch.tensor([0.3], dtype=torch.float64)
    one = torch.ones_like(p)
    torch.func.hessian(lambda p: binary_cross_entropy(p, one))(p).item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "second derivative of binary_cross_entropy(p, 1) at p = 0.3",
    "kind": "few digits",
    "true": 11.111111111111112,
    "answer": 11.111111111005295,
    "verdicts": {"hvp p": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return 1 / mp.mpf(0.3) ** 2


def parameters(rng):
    """Where it shows."""
    return {"p": np.array([0.3])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return -xp.sum(xp.log(params["p"]))


def loss_torch(params, data):
    """As torch has it."""
    import torch
    from torch.nn.functional import binary_cross_entropy

    return binary_cross_entropy(params["p"], torch.ones_like(params["p"]))
