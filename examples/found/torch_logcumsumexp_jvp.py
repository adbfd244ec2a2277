"""torch: the JVP of logcumsumexp is wrong where a later entry is much larger.

The first output is the first entry, so its slope is 1. Forward mode gives 1 - 2e-9 where the second entry is larger by
10, 0.99995 where by 20, 0.48 where by 30 and 4e-5 where by 40: it is off by 1e-13 times the exponential of that, as if
1e-13 stood in a denominator. Reverse mode is right.

    import torch

    x, v = torch.tensor([[0.0, 30.0], [1.0, 0.5]], dtype=torch.float64)
    torch.func.jvp(lambda x: torch.logcumsumexp(x, 0)[0], (x,), (v,))[1].item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "JVP of the first output at (0, 30), along (1, 0.5)",
    "kind": "wrong",
    "true": 1.0,
    "answer": 0.4834076468946147,
    "verdicts": {"jvp": "wrong", "hvp x": "wrong"},
}
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    (
        "torch.func.jvp(lambda x: torch.logcumsumexp(x, 0)[0], (torch.tensor([0.0, 10.0]).double(),), (v,))[1]",
        "mpf(1)",
        2.2e-09,
    ),
    (
        "torch.func.jvp(lambda x: torch.logcumsumexp(x, 0)[0], (torch.tensor([0.0, 20.0]).double(),), (v,))[1]",
        "mpf(1)",
        4.9e-05,
    ),
    (
        "torch.func.jvp(lambda x: torch.logcumsumexp(x, 0)[0], (torch.tensor([0.0, 40.0]).double(),), (v,))[1]",
        "mpf(1)",
        1.0,
    ),
]


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.mpf(1)


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([0.0, 30.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return params["x"][0]


def loss_torch(params, data):
    """As torch has it."""
    import torch

    return torch.logcumsumexp(params["x"], 0)[0]
