"""jax: the slope of sigmoid is 0 from 37 on.

It is `s (1 - s)` of the rounded s: 4e-9 off at 20.5, 0.1 % at 30, zero at 40, where the truth is 4.2e-18. The entries
are small beside 0.25; on the left all digits are there. See jax-ml/jax#40342. `sigmoid(-x)` for `1 - s` mends it. torch
and autograd do the same.

    import jax

    jax.config.update("jax_enable_x64", True)
    jax.grad(jax.nn.sigmoid)(40.0).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "slope of sigmoid at 40",
    "kind": "cancellation",
    "true": 4.248354255291589e-18,
    "answer": 0.0,
    "verdicts": {"gradient x": "unresolved"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.exp(-40) / (1 + mp.exp(-40)) ** 2


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([40.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.sigmoid(params["x"]))
