"""jax: under jit on a CPU the gradient and the HVP of an unrolled Gaussian mixture are nan.

A log-sum-exp over two components with a triangular root of the precision each, written out in a loop. Without jit it is
right, so are autograd and torch; with XLA_FLAGS=--xla_cpu_use_fusion_emitters=false it is right under jit too. With
`jax.nn.logsumexp`, or `stop_gradient` about the maximum, there is no nan. The cause is that of jax_max_jit.py: no entry
equals the maximum, bit by bit, which gives 0/0. Of 400 random parameters 18 % had it with 2 points, 38 % with 5 and 82
% with 20. `jax.value_and_grad` is compiled otherwise, and right here. Met in the Gaussian mixture of ADBench.

    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x = jnp.array([[-1.61, 0.24], [0.24, 1.58]])


    def loss(m, s):
        terms = []
        for k in range(2):
            d = x - m[k]
            a, b = s[k, 0] * d[:, 0], s[k, 1] * d[:, 0] + d[:, 1]
            terms.append(-0.5 * (a * a + b * b))
        t = jnp.stack(terms)
        top = jnp.max(t, axis=0)
        return jnp.sum(top + jnp.log(jnp.sum(jnp.exp(t - top), axis=0)))


    m, s = jnp.array([[0.94, 0.51], [0.98, 0.08]]), jnp.array([[-1.64, -0.01], [-0.62, 0.15]])
    jax.jit(jax.grad(loss, argnums=(0, 1)))(m, s)[0][1, 1].item()
"""

import numpy as np

FOUND = {
    "framework": "jax",
    "version": "0.10.2",
    "what": "gradient of an unrolled Gaussian mixture, entry 1,1 of its centres",
    "kind": "not finite",
    "true": 0.5246800687496631,
    "answer": "nan",
    "verdicts": {"hvp m": "nonfinite", "hvp s": "nonfinite"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    x = [[-1.61, 0.24], [0.24, 1.58]]
    m, s = [[0.94, 0.51], [0.98, 0.08]], [[-1.64, -0.01], [-0.62, 0.15]]
    total = mp.mpf(0)
    for row in x:
        shares = []
        for k in range(2):
            d = [mp.mpf(row[i]) - mp.mpf(m[k][i]) for i in range(2)]
            b = mp.mpf(s[k][1]) * d[0] + d[1]
            shares.append((mp.exp(-((mp.mpf(s[k][0]) * d[0]) ** 2 + b * b) / 2), b))
        total += shares[1][0] * shares[1][1] / (shares[0][0] + shares[1][0])  # d(-b^2/2)/dm = b
    return total


def parameters(rng):
    """Two centres, and the lower rows of two triangular roots whose last entry is 1."""
    return {"m": np.array([[0.94, 0.51], [0.98, 0.08]]), "s": np.array([[-1.64, -0.01], [-0.62, 0.15]])}


def data(rng):
    """Two points."""
    return {"x": np.array([[-1.61, 0.24], [0.24, 1.58]])}


def loss(params, data, xp):
    """Log-likelihood without constants."""
    m, s, terms = params["m"], params["s"], []
    for k in range(2):
        d = data["x"] - m[k]
        a, b = s[k, 0] * d[:, 0], s[k, 1] * d[:, 0] + d[:, 1]
        terms.append(-0.5 * (a * a + b * b))
    t = xp.stack(terms)
    top = xp.max(t, axis=0)
    return xp.sum(top + xp.log(xp.sum(xp.exp(t - top), axis=0)))
