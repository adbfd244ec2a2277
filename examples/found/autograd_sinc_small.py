"""autograd: the second derivative of sinc is off by 78 % at 1e-8.

`(cos(pi x) pi x - sin(pi x)) / (pi x^2)` cancels near zero: the slope is 36 % off at 1e-8, and the second
derivative -5.9 where -3.29 is true. A few terms of the series have all digits.

    import autograd.numpy as np
    from autograd import grad

    grad(grad(np.sinc))(1e-8).item()
"""

import numpy as np

FOUND = {
    "framework": "autograd",
    "version": "1.9.1",
    "what": "second derivative of sinc at 1e-8",
    "kind": "cancellation",
    "true": -3.289868133696452,
    "answer": -5.869604401089354,
    "verdicts": {"hvp x": "unstable"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    x = mp.mpf(1e-8)
    return mp.diff(lambda x: mp.sin(mp.pi * x) / (mp.pi * x), x, 2, h=mp.mpf("1e-18"))


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([1e-8])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.sinc(params["x"]))


def loss_autograd(params, data):
    """As autograd has it."""
    import autograd.numpy as anp

    return anp.sum(anp.sinc(params["x"]))
