"""autograd: the gradient of det raises at a singular matrix whose LU has a pivot of exactly zero.

It is `det(A) inv(A)^T`, and inv raises `LinAlgError: Singular matrix`. The gradient is the matrix of cofactors, [[4,
-2], [-2, 1]] at [[1, 2], [2, 4]].

    import autograd.numpy as np
    from autograd import grad

    grad(np.linalg.det)(np.array([[1.0, 2.0], [2.0, 4.0]]))[0, 0].item()
"""

import numpy as np

FOUND = {
    "framework": "autograd",
    "version": "1.9.1",
    "what": "gradient of det at [[1, 2], [2, 4]], entry 0,0",
    "kind": "raises",
    "true": 4.0,
    "answer": "LinAlgError",
    "verdicts": {"gradient A": "failed"},
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


def loss_autograd(params, data):
    """As autograd has it."""
    import autograd.numpy as anp

    return anp.linalg.det(params["A"])
