import numpy as np


def parameters(rng):
    return {
        "log_scale": 0.2 * rng.standard_normal(2),
        "log_variance": 0.1 * rng.standard_normal(1),
        "log_noise": np.array([-2.0]),
    }


def data(rng):
    x = rng.standard_normal((15, 2))
    return {"x": x, "y": np.sin(x[:, 0]) + 0.1 * rng.standard_normal(15)}
