"""jax: under jit on a CPU the gradient of a maximum is lost, or nan, where XLA computes an operand twice.

The gradient of `jnp.max` goes to the entries that equal the maximum, bit by bit. XLA's fused loops compute the
entries once more for that comparison, rounded another way (a fused multiply-add), and then none is equal, or not in
every loop: the gradient lacks whole components here, and elsewhere it is 0/0, nan. Without jit it is right, and
with XLA_FLAGS=--xla_cpu_use_fusion_emitters=false too. Distances to unrolled centres, as here, and unrolled
mixtures (jax_mixture_jit.py) meet it. Of `jnp.maximum` on a GPU it is in jax-ml/jax#40564.

    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x = jnp.array([[-0.3, 0.7], [1.1, -0.4], [0.2, 0.9]])


    def loss(m):
        squares = [(x[:, 0] - m[k, 0]) ** 2 + (x[:, 1] - m[k, 1]) ** 2 for k in range(2)]
        return jnp.sum(jnp.max(jnp.stack(squares), axis=0))


    jax.jit(jax.grad(loss))(jnp.array([[0.31, 0.23], [-1.27, 0.61]]))[1, 1].item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "gradient of the largest squared distances to two centres, entry 1,1",
    "kind": "wrong",
    "true": 1.26,
    "answer": 1.84,
    "verdicts": {"gradient m": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    # The second centre is the farther one from each point.
    return -2 * mp.fsum(mp.mpf(y) - mp.mpf(0.61) for y in (0.7, -0.4, 0.9))


def parameters(rng):
    """Two centres."""
    return {"m": np.array([[0.31, 0.23], [-1.27, 0.61]])}


def data(rng):
    """Three points."""
    return {"x": np.array([[-0.3, 0.7], [1.1, -0.4], [0.2, 0.9]])}


def loss(params, data, xp):
    """Squared distances to the farther centre, added."""
    x, m = data["x"], params["m"]
    squares = [(x[:, 0] - m[k, 0]) ** 2 + (x[:, 1] - m[k, 1]) ** 2 for k in range(2)]
    return xp.sum(xp.max(xp.stack(squares), axis=0))
