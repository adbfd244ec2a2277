"""jax: expm loses digits at norms just below a power of two times its threshold: 1e-7 off, in float32 1 %.

The number of squarings is `floor(log2(norm / 5.37))` where it must be the ceiling: norms between 5.37 and 10.74 are
left to a rational function that is good up to 5.37 (Higham 2005): 4e-11 off at 8, 2e-8 at 10, 1.7e-7 at 10.74. So again
before 21.5, 43, ..., where each squaring doubles it: 3.1e-7 off at 21.4, 6.7e-7 at 42.9. In float32, with 3.93: 0.2 %
at 7, 1.2 % at 7.7, 6.8 % at 31.4. It shows where the eigenvalues are about as large as the norm: a random 4x4 matrix
has all digits. SciPy and torch have all digits.

    import jax
    import jax.numpy as jnp
    from jax.scipy.linalg import expm

    jax.config.update("jax_enable_x64", True)
    expm(jnp.array([[-10.5]]))[0, 0].item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "expm([[-10.5]])",
    "kind": "few digits",
    "true": 2.7536449349747158e-05,
    "answer": 2.7536446864655836e-05,
    "verdicts": {"loss": "wrong", "gradient A": "wrong"},
}
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    ("expm(jnp.array([[-8.0]]))[0, 0]", "exp(-8)", 3.9e-11),
    ("expm(jnp.array([[-10.74]]))[0, 0]", "exp(mpf(-10.74))", 1.74e-07),
    ("expm(jnp.array([[-21.4]]))[0, 0]", "exp(mpf(-21.4))", 3.1e-07),
    ('expm(jnp.array([[7.7]], "float32"))[0, 0]', "exp(mpf(7.7))", 0.0118),
]


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.exp(mp.mpf(-10.5))


def parameters(rng):
    """Where it shows."""
    return {"A": np.array([[-10.5]])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """In any array namespace."""
    return xp.sum(xp.expm(params["A"]))


def loss_jax(params, data):
    """As jax has it."""
    from jax.scipy.linalg import expm

    return expm(params["A"]).sum()
