"""jax: the second derivative of betaln is wrong where its arguments are equal.

betaln orders its arguments by `min` and `max` first. At a tie these have half a slope each, which is right for the
gradient, as betaln is symmetric, and wrong for the second derivative: 0.024 at (2.5, 2.5) where 0.269 is true, off by
91 %, and by 78 % at (0.7, 0.7). The Hessian along (1, -1) is lost. So it is for `beta`, off by 27 % at (2.5, 2.5).

    import jax
    from jax.scipy.special import betaln

    jax.config.update("jax_enable_x64", True)
    jax.grad(jax.grad(betaln))(2.5, 2.5).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "d2 betaln(a, 2.5) / da2 at a = 2.5",
    "kind": "wrong",
    "true": 0.26903480036311955,
    "answer": 0.023855922313002126,
    "verdicts": {"hvp x": "wrong"},
}
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    ("jax.grad(jax.grad(betaln))(0.7, 0.7)", "psi(1, mpf(0.7)) - psi(1, 2 * mpf(0.7))", 0.78),
]


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.polygamma(1, mp.mpf(2.5)) - mp.polygamma(1, 5)


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([2.5])}


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
