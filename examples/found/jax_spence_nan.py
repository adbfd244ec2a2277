"""jax: the gradient of spence is nan above 1 up to 2.

From the first number above 1 up to 2, with jit and without, the slope by reverse mode is nan where `log(x) / (1 - x)`
is true, -0.91 at 1.2. Values are right, and so are slopes by forward mode, below 1 and above 2. At 1 itself both modes
give 0 where -1 is true.

    import jax
    from jax.scipy.special import spence

    jax.config.update("jax_enable_x64", True)
    jax.grad(spence)(1.2).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "slope of spence at 1.2",
    "kind": "not finite",
    "true": -0.9116077839697732,
    "answer": "nan",
    "verdicts": {"gradient x": "nonfinite", "hvp x": "nonfinite"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.log(mp.mpf(1.2)) / (1 - mp.mpf(1.2))


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([1.2])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """By the series about 1, `sum (-1)^k (x - 1)^k / k^2`, of which sixty terms leave 1e-45 at 1.2."""
    return sum(xp.sum((1.0 - params["x"]) ** k) / k**2 for k in range(1, 61))


def loss_jax(params, data):
    """As jax has it."""
    from jax.scipy.special import spence

    return spence(params["x"]).sum()
