"""jax: the second derivative of the Bessel function i1 has half its digits at 1e-3, and three at 1e-6.

The slope of i1 is `i0 - i1 / x`, and its slope again divides a difference that cancels by x: 9e-10 off at 1e-3,
0.05 % at 1e-6, where the truth is 3/8 x. The entries are small beside the slope, 1/2.

    import jax
    from jax.scipy.special import i1

    jax.config.update("jax_enable_x64", True)
    jax.jit(jax.grad(jax.grad(i1)))(1e-6).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "second derivative of i1 at 1e-6",
    "kind": "cancellation",
    "true": 3.7500000000005205e-07,
    "answer": 3.7517604789538694e-07,
    "verdicts": {"hvp x": "unresolved"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.besseli(1, mp.mpf(1e-6), derivative=2)


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([1e-6])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.i1(params["x"]))
