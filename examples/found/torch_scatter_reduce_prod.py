"""torch: the JVP of scatter_reduce by prod is zero, and its forward-over-reverse HVP is wrong.

`scatter_reduce(..., "prod")` with factors that are not zero, and without ties: reverse mode is right, and forward
mode gives 0 without a word. Forward over reverse gives another HVP than double backward, which is right.
`index_reduce` says that it has no forward mode.

    import torch

    x, v = torch.tensor([[2.0, 5.0, 3.0, 7.0], [1.0, 0.5, -0.3, 0.2]], dtype=torch.float64)
    places = torch.tensor([0, 0, 1, 1])
    torch.func.jvp(lambda x: torch.ones_like(x[:2]).scatter_reduce(0, places, x, "prod").sum(), (x,), (v,))[1].item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "JVP of a b + c d at (2, 5, 3, 7)",
    "kind": "wrong",
    "true": 4.5,
    "answer": 0.0,
    "verdicts": {"jvp": "wrong", "hvp x": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return 5 + mp.mpf(2) * 0.5 - 7 * mp.mpf(0.3) + 3 * mp.mpf(0.2)


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([2.0, 5.0, 3.0, 7.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """Products of pairs, added."""
    return params["x"][0] * params["x"][1] + params["x"][2] * params["x"][3]


def loss_torch(params, data):
    """As torch has it."""
    import torch

    x = params["x"]
    return torch.ones_like(x[:2]).scatter_reduce(0, torch.tensor([0, 0, 1, 1]), x, "prod").sum()
