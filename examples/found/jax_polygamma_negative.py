"""jax: polygamma(1, x), and with it the gradient of digamma, loses its digits from -6 to -9 and is wrong below.

It is 4e-13 off at -5.7, 6e-8 at -7.3 and 0.8 % at -8.3; at -9.3 it gives -6.2e8 where 14.98 is true, at -10.3 1e18 and
at -20.3 -0.048 where 15.03 is true. `polygamma(3, x)` does the same. digamma and gammaln themselves are right there:
their derivatives go through polygamma. Reflection, as for digamma, mends it.

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
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    ("jax.grad(digamma)(-5.7)", "psi(1, mpf(-5.7))", 3.8e-13),
    ("jax.grad(digamma)(-7.3)", "psi(1, mpf(-7.3))", 6.4e-08),
    ("jax.grad(digamma)(-8.3)", "psi(1, mpf(-8.3))", 0.0084),
    ("jax.grad(digamma)(-9.3)", "psi(1, mpf(-9.3))", 42000000.0),
]


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
