"""torch: the gradient of det is zero at a singular matrix whose computed determinant is exactly zero.

It is the matrix of cofactors, which is zero only where the rank is at most n - 2. At [[1, 2], [2, 4]] it is [[4, -2],
[-2, 1]]; torch gives four zeros, and so it did at 243 of 300 random 3x3 matrices of small integers with rank 2. At [[1,
3], [2, 6]], of which it finds the determinant -3e-16, it is right. JAX has the cofactors. With `create_graph=True`
torch takes another way, by the SVD, and is right: the second derivative agrees and the first does not.

    import torch

    a = torch.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=torch.float64, requires_grad=True)
    torch.autograd.grad(torch.linalg.det(a), a)[0][0, 0].item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "gradient of det at [[1, 2], [2, 4]], entry 0,0",
    "kind": "wrong",
    "true": 4.0,
    "answer": 0.0,
    "verdicts": {"gradient A": "wrong", "jvp": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.mpf(4)


def parameters(rng):
    """Where it shows."""
    return {"A": np.array([[1.0, 2.0], [2.0, 4.0]])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.linalg.det(params["A"])
