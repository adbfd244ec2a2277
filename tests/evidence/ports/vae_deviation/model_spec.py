def parameters(rng):
    return {
        "enc": {"w": 0.4 * rng.standard_normal((5, 4)), "b": 0.1 * rng.standard_normal(4)},
        "dec": {"w": 0.6 * rng.standard_normal((2, 5)), "b": 0.1 * rng.standard_normal(5)},
    }


def data(rng):
    return {"x": rng.integers(0, 2, (20, 5)).astype(float), "noise": rng.standard_normal((20, 2))}
