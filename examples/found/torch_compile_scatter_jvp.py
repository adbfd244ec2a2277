"""torch: compiled for one thread, forward mode through index_add or index_put gives every entry the sum of all.

The gradient of an indexed array adds up what falls on each entry; a JVP of that, which makes the HVP, gives every entry
all of it: (7.2, 7.2, 7.2) is answered here, and (1.2, 2.4, 3.6) is true. So it is with `torch.set_num_threads(1)`,
without a word; with two threads `torch.compile` raises an InductorError. Without `torch.compile` it is right, and so is
reverse over reverse under it. Met in the kmeans of GradBench.

    import torch
    from torch.func import grad, jvp

    torch.set_num_threads(1)
    i = torch.tensor([0, 1, 1, 2, 0, 2])
    c = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)


    @torch.compile
    def hvp(c, v):
        return jvp(grad(lambda c: (c[i] ** 3).sum()), (c,), (v,))[1]


    hvp(c, torch.ones_like(c))[0].item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "backend": "torch-compile",
    "version": "2.13.0",
    "what": "HVP of sum(c[i]^3), every entry of c taken twice, entry 0",
    "kind": "wrong",
    "true": 1.2000000000000002,
    "answer": 7.2,
    "verdicts": {"hvp c": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    return 2 * 6 * mp.mpf(0.1)


def parameters(rng):
    """Three numbers."""
    return {"c": np.array([0.1, 0.2, 0.3])}


def data(rng):
    """Every one of them twice."""
    return {"i": np.array([0, 1, 1, 2, 0, 2])}


def loss(params, data, xp):
    """The sum of their cubes."""
    return xp.sum(xp.take(params["c"], data["i"], axis=0) ** 3)
