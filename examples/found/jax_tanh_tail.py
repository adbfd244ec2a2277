"""jax: the slope of tanh is twelve times what is true at 19.

3.2e-7 off at 12, 1.6e-15 for 1.3e-16 at 19, zero from 20 on: `1 - tanh^2`, of a tanh that is some ulps low. The
entries are small beside 1; `1 / cosh^2` has all digits.

    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    jax.grad(jnp.tanh)(19.0).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "slope of tanh at 19",
    "kind": "cancellation",
    "true": 1.2556531168192118e-16,
    "answer": 1.5543122344752186e-15,
    "verdicts": {"gradient x": "unresolved"},
}
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    ("jax.grad(jnp.tanh)(12.0)", "sech(12) ** 2", 3.2e-07),
    ("jax.grad(jnp.tanh)(20.0)", "sech(20) ** 2", 1.0),
]


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.sech(19) ** 2


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([19.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.tanh(params["x"]))
