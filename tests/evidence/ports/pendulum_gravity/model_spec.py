import numpy as np


def parameters(rng):
    return {"angle": np.array([0.5]), "length": 1 + 0.1 * rng.standard_normal(1), "friction": np.array([0.2])}


def data(rng):
    return {"angles": 0.5 * np.cos(np.arange(12) * 0.3) + 0.05 * rng.standard_normal(12)}
