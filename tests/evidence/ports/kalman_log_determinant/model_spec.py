import numpy as np


def parameters(rng):
    return {
        "A": 0.8 * np.eye(2) + 0.1 * rng.standard_normal((2, 2)),
        "log_q": 0.2 * rng.standard_normal(2) - 1,
        "h": 1 + 0.2 * rng.standard_normal(2),
        "log_r": 0.1 * rng.standard_normal(1),
    }


def data(rng):
    return {"y": rng.standard_normal(12)}
