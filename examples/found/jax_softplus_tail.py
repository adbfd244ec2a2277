"""jax: the second derivative of softplus is 0 from 33.3 on, and has half its digits at 19.

It goes through `logaddexp`, whose slope is made of `exp(a - out)`: 7e-7 off at 20.5, 1.3 % at 30, zero at 40, where
the truth is 4.2e-18. The entries are small beside the 0.25 of the middle.

    import jax

    jax.config.update("jax_enable_x64", True)
    jax.grad(jax.grad(jax.nn.softplus))(40.0).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "second derivative of softplus at 40",
    "kind": "cancellation",
    "true": 4.248354255291589e-18,
    "answer": 0.0,
    "verdicts": {"hvp x": "unresolved"},
}
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    ("jax.grad(jax.grad(jax.nn.softplus))(20.5)", "sech(mpf(20.5) / 2) ** 2 / 4", 7e-07),
    ("jax.grad(jax.grad(jax.nn.softplus))(30.0)", "sech(15) ** 2 / 4", 0.013),
    ("jax.grad(jax.grad(jax.nn.softplus))(33.3)", "sech(mpf(33.3) / 2) ** 2 / 4", 1.0),
]


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
    return xp.sum(xp.softplus(params["x"]))
