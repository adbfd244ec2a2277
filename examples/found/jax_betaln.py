"""jax: betaln is off by up to 4e-7 in float64 where an argument is 8 or more.

`betaln(10, 2.5)` is off by 1.2e-7, its slope by 9e-7 and its second derivative by 4e-6; `betaln(8, 2.5)` by 3e-7,
`betaln(10, 0.5)` by 4e-7, `betaln(10, 20)` by 4e-9; at 7.99 all is right. `beta` is made of it. SciPy's has all
digits.

    import jax
    from jax.scipy.special import betaln

    jax.config.update("jax_enable_x64", True)
    betaln(10.0, 2.5).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "betaln(10, 2.5)",
    "kind": "few digits",
    "true": -5.647837161382057,
    "answer": -5.647836498036118,
    "verdicts": {"loss": "wrong", "gradient x": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.log(mp.beta(10, mp.mpf(2.5)))


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([10.0])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.betaln(params["x"], 2.5 + xp.zeros_like(params["x"])))


def loss_jax(params, data):
    """As jax has it."""
    from jax.scipy.special import betaln

    return betaln(params["x"], 2.5).sum()
