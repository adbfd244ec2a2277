def parameters(rng):
    return {
        "w1": 0.5 * rng.standard_normal((5, 8)),
        "gamma": 1 + 0.1 * rng.standard_normal(8),
        "beta": 0.1 * rng.standard_normal(8),
        "w2": 0.5 * rng.standard_normal((8, 3)),
    }


def data(rng):
    return {"x": rng.standard_normal((20, 5)), "labels": rng.integers(0, 3, 20)}
