def parameters(rng):
    return {"w": 0.5 * rng.standard_normal(6), "b": 0.1 * rng.standard_normal(1)}


def data(rng):
    return {"x": rng.standard_normal((20, 6)), "y": rng.integers(0, 2, 20).astype(float)}
