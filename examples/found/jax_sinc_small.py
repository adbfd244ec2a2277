"""jax: the second derivative of sinc is 2e8 at 1e-12, where -3.29 is true.

JAX has the series of sinc at zero itself, and beside it differentiates `sin(pi x) / (pi x)`, whose derivatives
cancel: the second is 2.5e-9 off at 1e-4, 2e-4 at 1e-6, 4 % at 1e-8, and 2e8 at 1e-12. The value is not small. The
series for small x, in place of zero only, mends it.

    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    jax.jit(jax.grad(jax.grad(jnp.sinc)))(1e-12).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "second derivative of sinc at 1e-12",
    "kind": "cancellation",
    "true": -3.289868133696453,
    "answer": 210828714.13315654,
    "verdicts": {"hvp x": "unstable"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    x = mp.mpf(1e-12)
    return mp.diff(lambda x: mp.sin(mp.pi * x) / (mp.pi * x), x, 2, h=mp.mpf("1e-20"))


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([1e-12])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.sinc(params["x"]))
