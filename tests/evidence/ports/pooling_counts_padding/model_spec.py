def parameters(rng):
    return {"kernel": 0.5 * rng.standard_normal((3, 1, 3, 3)), "head": 0.3 * rng.standard_normal((3, 5, 5))}


def data(rng):
    return {"x": rng.standard_normal((6, 1, 5, 5)), "y": rng.standard_normal(6)}
