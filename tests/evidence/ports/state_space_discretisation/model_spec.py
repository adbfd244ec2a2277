import numpy as np


def parameters(rng):
    return {
        "log_a": np.log(np.arange(1.0, 5.0)) + 0.1 * rng.standard_normal(4),
        "B": rng.standard_normal(4),
        "C": rng.standard_normal(4),
        "log_dt": np.array([-1.5]),
    }


def data(rng):
    return {"u": rng.standard_normal((10, 8)), "y": rng.standard_normal((10, 8))}
