"""jax: polygamma(1, x), and with it the gradient of digamma, is wrong below -10.

At -20.3 it gives -0.048 where 15.03 is true, at -10.3 1e18, at -5.7 4e-13 off. digamma and gammaln themselves are
right there: their derivatives go through polygamma. Reflection, as for digamma, mends it.

    import jax
    from jax.scipy.special import digamma

    jax.config.update("jax_enable_x64", True)
    jax.grad(digamma)(-20.3).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "slope of digamma at -20.3",
    "kind": "wrong",
    "true": 15.03134603262623,
    "answer": -0.04806767017606154,
    "verdicts": {"gradient x": "wrong", "hvp x": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.polygamma(1, mp.mpf(-20.3))


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([-20.3])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.digamma(params["x"]))
