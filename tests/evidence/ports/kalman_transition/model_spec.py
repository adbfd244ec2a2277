import numpy as np


def parameters(rng):
    return {
        "A": 0.7 * np.eye(3) + 0.3 * rng.standard_normal((3, 3)),
        "C": rng.standard_normal((2, 3)),
        "log_q": 0.1 * rng.standard_normal(3),
        "log_r": 0.1 * rng.standard_normal(2),
    }


def data(rng):
    return {"y": rng.standard_normal((8, 2))}
