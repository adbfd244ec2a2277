"""jax: betaln has five or six digits in float64 where an argument is 8 or a little more.

`betaln(8, 0.5)` is off by 1.2e-6, its slope by 4e-6 and its second derivative by 1.9e-5; `betaln(8, 2.5)` by 2.6e-7,
1.8e-6 and 7e-6; `betaln(10, 2.5)` by 1.2e-7, 9e-7 and 4e-6; `betaln(10, 20)` by 4e-9. Where betaln is near zero the
error, 1.3e-6 at most at an argument of 8, is more of it. With both arguments below 8 all is right, but where they are
equal (jax_betaln_equal.py); at 1000 it is off by 1e-13. `beta` is made of it. SciPy's is right at all of these.

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
#: Of the text: in the framework, in mpmath, and the error over what is true.
CLAIMS = [
    ("betaln(8.0, 0.5)", "log(beta(8, 0.5))", 1.24e-06),
    ("jax.grad(betaln)(8.0, 0.5)", "psi(0, 8) - psi(0, 8.5)", 4.1e-06),
    ("jax.grad(betaln)(8.0, 2.5)", "psi(0, 8) - psi(0, 10.5)", 1.8e-06),
    ("betaln(10.0, 2.5)", "log(beta(10, 2.5))", 1.2e-07),
    ("betaln(10.0, 20.0)", "log(beta(10, 20))", 4e-09),
]


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
