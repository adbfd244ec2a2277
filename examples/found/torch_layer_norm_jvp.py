"""torch: the gradient of a JVP of layer_norm is wrong; so it is for batch_norm and instance_norm.

The forward rule takes the saved mean and reciprocal deviation for constants when it is differentiated again. `grad` of
`jvp` and `jvp` of `jvp` are off by as much as the value or more, without a word; forward over reverse and double
backward are right, and so is group_norm. Of the `jvp` of `jvp` see pytorch/pytorch#196700 and, for batch_norm, #196699.

    import torch
    from torch.func import grad, jvp
    from torch.nn.functional import layer_norm

    x = torch.tensor([0.3, -1.2, 0.7, 2.0], dtype=torch.float64)
    v, c = torch.tensor([[1.0, 0.5, -0.3, 0.2], [1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    grad(lambda x: jvp(lambda x: (c * layer_norm(x, (4,))).sum(), (x,), (v,))[1])(x)[0].item()
"""

import numpy as np

FOUND = {
    "framework": "torch",
    "version": "2.13.0",
    "what": "gradient of a JVP of sum(c layer_norm(x)), entry 0",
    "kind": "wrong",
    "true": -0.57202235806764,
    "answer": -0.2581527697932315,
    "verdicts": {"gradient x": "wrong"},
}


def true(mp):
    """The true value, by mpmath at the digits that are set."""
    x, v, c = [0.3, -1.2, 0.7, 2.0], [1.0, 0.5, -0.3, 0.2], [1, 2, 3, 4]

    def along(s, t):
        z = [mp.mpf(a) + t * mp.mpf(b) for a, b in zip(x, v, strict=True)]
        z[0] += s
        mean = mp.fsum(z) / 4
        deviation = mp.sqrt(mp.fsum((a - mean) ** 2 for a in z) / 4 + mp.mpf(1e-5))
        return mp.fsum(b * (a - mean) for a, b in zip(z, c, strict=True)) / deviation

    return mp.diff(along, (0, 0), (1, 1))


def parameters(rng):
    """The row that is normalised."""
    return {"x": np.array([0.3, -1.2, 0.7, 2.0])}


def data(rng):
    """The direction, and the factors of the outputs."""
    return {"v": np.array([1.0, 0.5, -0.3, 0.2]), "c": np.array([1.0, 2.0, 3.0, 4.0])}


def loss(params, data, xp):
    """How `sum(c y)` moves along v: `y = (x - mean) / s`, `dy = (v - mean(v) - y mean(y v)) / s`."""
    x = params["x"] - xp.mean(params["x"])
    s = xp.sqrt(xp.mean(x * x) + 1e-5)
    y = x / s
    return xp.sum(data["c"] * (data["v"] - xp.mean(data["v"]) - y * xp.mean(y * data["v"])) / s)


def loss_torch(params, data):
    """As torch has it."""
    import torch
    from torch.nn.functional import layer_norm

    return torch.func.jvp(lambda x: (data["c"] * layer_norm(x, (4,))).sum(), (params["x"],), (data["v"],))[1]
