import numpy as np


def parameters(rng):
    return {"log_length": 0.2 * rng.standard_normal(1), "log_noise": np.array([-1.0])}


def data(rng):
    x = rng.uniform(-2, 2, (14, 2))
    return {"x": x, "y": np.cos(x[:, 0]) + 0.2 * rng.standard_normal(14)}
