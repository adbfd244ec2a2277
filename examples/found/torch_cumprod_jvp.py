"""torch: the gradient of a JVP of cumprod is nan where a factor is zero.

The function is a polynomial: with x = (a, b, c) the sum is a + ab + abc, and the derivative of its JVP along v in a
is v_b + v_b c + b v_c. Double backward and forward over reverse are right.

    import torch
    from torch.func import grad, jvp

    x, v = torch.tensor([[2.0, 0.0, 3.0], [1.0, 0.5, -0.3]], dtype=torch.float64)
    grad(lambda x: jvp(lambda x: x.cumprod(0).sum(), (x,), (v,))[1])(x)[0].item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "gradient of a JVP of sum(cumprod(x)) at (2, 0, 3), entry 0",
    "kind": "not finite",
    "true": 2.0,
    "answer": "nan",
    "verdicts": {"gradient x": "nonfinite"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.mpf(2)


def parameters(rng):
    """Three factors, one of them zero."""
    return {"x": np.array([2.0, 0.0, 3.0])}


def data(rng):
    """The direction."""
    return {"v": np.array([1.0, 0.5, -0.3])}


def loss(params, data, xp):
    """How a + ab + abc moves along v."""
    (a, b, c), (s, t, u) = ([z[i] for i in range(3)] for z in (params["x"], data["v"]))
    return s + s * b + a * t + s * b * c + a * t * c + a * b * u


def loss_torch(params, data):
    """As torch has it."""
    import torch

    return torch.func.jvp(lambda x: x.cumprod(0).sum(), (params["x"],), (data["v"],))[1]
