"""torch: the gradient of a JVP of linalg.solve is wrong; so it is for det, slogdet and logdet.

The forward rule solves with the saved LU factors, which are constants to a second differentiation: what A contributes
through them is lost, without a word. `grad` of `jvp`, `jacrev` of `jacfwd` and `jvp` of `jvp` are off, by 38 % to 100 %
at this A; forward over reverse and double backward are right. `linalg.inv` is right. See pytorch/pytorch#192540. Losses
with a directional derivative in them (physics-informed networks, score matching) meet it.

    import torch
    from torch.func import grad, jvp

    A = torch.tensor([[2.0, 1.0], [0.5, 3.0]], dtype=torch.float64)
    V = torch.tensor([[0.3, -0.2], [0.5, 0.1]], dtype=torch.float64)
    b = torch.tensor([1.0, 2.0], dtype=torch.float64)
    grad(lambda A: jvp(lambda A: torch.linalg.solve(A, b).sum(), (A,), (V,))[1])(A)[0, 0].item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "gradient of a JVP of sum(solve(A, b)), entry 0,0",
    "kind": "wrong",
    "true": -0.007062359128474834,
    "answer": 0.02374154770848986,
    "verdicts": {"gradient A": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    A, E = mp.matrix([[2, 1], [0.5, 3]]), mp.matrix([[1, 0], [0, 0]])
    V = mp.matrix([[mp.mpf(0.3), mp.mpf(-0.2)], [0.5, mp.mpf(0.1)]])
    B, b, ones = A**-1, mp.matrix([1, 2]), mp.matrix([[1, 1]])
    return (ones * B * (E * B * V + V * B * E) * B * b)[0]


def parameters(rng):
    """A matrix."""
    return {"A": np.array([[2.0, 1.0], [0.5, 3.0]])}


def data(rng):
    """The direction, and a right hand side."""
    return {"V": np.array([[0.3, -0.2], [0.5, 0.1]]), "b": np.array([1.0, 2.0])}


def loss(params, data, xp):
    """`-sum(A^-1 V A^-1 b)`: how the sum of `A^-1 b` moves along V."""
    return -xp.sum(xp.linalg.solve(params["A"], data["V"] @ xp.linalg.solve(params["A"], data["b"])))


def loss_torch(params, data):
    """As torch has it."""
    import torch

    return torch.func.jvp(lambda A: torch.linalg.solve(A, data["b"]).sum(), (params["A"],), (data["V"],))[1]
