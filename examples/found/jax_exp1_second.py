"""jax: exp1 cannot be differentiated twice: a TypeError about constants.

`No constant handler for type: DynamicJaxprTracer` is all that it says, with jit and without. The second derivative
is `e^-x (1/x + 1/x^2)`, 3.6 at 0.5. `expi` has it.

    import jax
    from jax.scipy.special import exp1

    jax.config.update("jax_enable_x64", True)
    jax.grad(jax.grad(exp1))(0.5).item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "second derivative of exp1 at 0.5",
    "kind": "raises",
    "true": 3.6391839582758005,
    "answer": "TypeError",
    "verdicts": {"hvp x": "not compared"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return mp.exp(mp.mpf(-0.5)) * 6


def parameters(rng):
    """Where it shows."""
    return {"x": np.array([0.5])}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """By its series, `-gamma - log x - sum (-x)^k / (k k!)`, of which twenty terms leave 1e-26 at 0.5."""
    x, factorial = params["x"], 1.0
    series = -0.5772156649015329 - xp.log(x)
    for k in range(1, 21):
        factorial *= k
        series = series - (-x) ** k / (k * factorial)
    return xp.sum(series)


def loss_jax(params, data):
    """As jax has it."""
    from jax.scipy.special import exp1

    return exp1(params["x"]).sum()
