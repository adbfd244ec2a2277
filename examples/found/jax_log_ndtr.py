"""jax: log_ndtr is off by 7 % at 8 and by 1.5e-10 at 5.

Up to 8 it is the logarithm of ndtr, which is near 1 there: 1.5e-10 off at 5, 7 % at 8, where the truth is -6.2e-16, and
above 8, where it is `-ndtr(-x)`, right again. The values are small, and are what a log-likelihood adds; the slope is
right. `jax.scipy.stats.norm.logcdf` is the same function, and `logsf` its mirror. SciPy's has all digits.

    import jax
    from jax.scipy.special import log_ndtr

    jax.config.update("jax_enable_x64", True)
    log_ndtr(8.0).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "log_ndtr(8)",
    "kind": "cancellation",
    "true": -6.220960574271786e-16,
    "answer": -6.661338147750941e-16,
    "verdicts": {"loss": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.log1p(-mp.erfc(8 / mp.sqrt(2)) / 2)


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([8.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.log_ndtr(params["x"]))
