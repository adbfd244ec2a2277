"""autograd: the gradient of prod is nan where a factor is zero.

It is `prod / x`, 0/0 there. The product is a polynomial, and its gradient at (0, 3, 2) is (6, 0, 0), which JAX and
torch give.

    import autograd.numpy as np
    from autograd import grad

    grad(np.prod)(np.array([0.0, 3.0, 2.0]))[0].item()
"""

import numpy as np

FOUND = {
    "framework": "autograd",
    "version": "1.9.1",
    "what": "gradient of prod at (0, 3, 2), entry 0",
    "kind": "not finite",
    "true": 6.0,
    "answer": "nan",
    "verdicts": {"gradient x": "nonfinite"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.mpf(6)


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([0.0, 3.0, 2.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """The product of three."""
    return params["x"][0] * params["x"][1] * params["x"][2]


def loss_autograd(params, data):
    """As autograd has it."""
    import autograd.numpy as anp

    return anp.prod(params["x"])
