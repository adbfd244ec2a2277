import numpy as np


def parameters(rng):
    return {"q": rng.standard_normal((6, 6)), "kv": 0.7 * rng.standard_normal((6, 12))}


def data(rng):
    lengths = rng.integers(2, 6, size=5)
    return {
        "x": rng.standard_normal((5, 6, 6)),
        "keep": np.arange(6)[None, :] < lengths[:, None],
        "y": rng.standard_normal((5, 6, 6)),
    }
