import numpy as np


def parameters(rng):
    return {"start": np.array([0.8, 0.1]), "log_length": 0.1 * rng.standard_normal(1)}


def data(rng):
    return {"angles": 0.8 * np.cos(0.3 * np.arange(10)) + 0.05 * rng.standard_normal(10)}
