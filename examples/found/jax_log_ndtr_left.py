"""jax: the second derivative of log_ndtr is off by 1.4e-6 at -20.5, its slope by 3e-9.

From -20 down three terms of an asymptotic series stand for log_ndtr. Its value is off by 1.5e-11 there, and each
derivative loses more. At -19, where another branch has it, all is right to 7e-12. The values are -214, 20.5 and -0.998:
none is small. `jax.scipy.stats.norm.logcdf` and `logsf` have it too.

    import jax
    from jax.scipy.special import log_ndtr

    jax.config.update("jax_enable_x64", True)
    jax.grad(log_ndtr)(-20.5).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "slope of log_ndtr at -20.5",
    "kind": "few digits",
    "true": 20.548551052435847,
    "answer": 20.54855112032592,
    "verdicts": {"loss": "wrong", "gradient x": "wrong", "hvp x": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    x = mp.mpf(-20.5)
    return 2 * mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi) / mp.erfc(-x / mp.sqrt(2))


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([-20.5])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.log_ndtr(params["x"]))
