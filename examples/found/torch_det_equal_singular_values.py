"""torch: the Hessian of det by torch.func is nan where singular values are equal.

Under `torch.func` the backward of det goes by the SVD for every matrix, singular or not, and the derivative of an SVD
divides by differences of squared singular values: nan where they are equal, as at the identity and at a permutation.
Double backward without `torch.func` is right. At diag(1, 1.000001), where gradparity looks, digits are lost. The
Hessian is that of a polynomial: for 2x2, d2 det / da dd = 1. See pytorch/pytorch#192521.

    import torch

    torch.func.hessian(torch.linalg.det)(torch.eye(2, dtype=torch.float64))[0, 0, 1, 1].item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "d2 det / dA[0,0] dA[1,1] at the identity",
    "kind": "not finite",
    "true": 1.0,
    "answer": "nan",
    "verdicts": {"hvp A": "unstable"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.mpf(1)


def parameters(rng):
    """Where it shows."""
    return {"A": np.array([[1.0, 0.0], [0.0, 1.000001]])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.linalg.det(params["A"])
