import numpy as np


def parameters(rng):
    return {
        "log_ec50": 0.3 * rng.standard_normal(3),
        "emax": 1 + 0.1 * rng.standard_normal(3),
        "e0": 0.1 * rng.standard_normal(3),
    }


def data(rng):
    dose = np.geomspace(0.05, 20, 20)
    return {"dose": dose, "response": rng.random((20, 3))}
