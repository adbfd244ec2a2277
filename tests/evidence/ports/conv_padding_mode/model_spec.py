def parameters(rng):
    return {"k": 0.4 * rng.standard_normal((3, 1, 3, 3)), "v": 0.4 * rng.standard_normal((3, 5, 5))}


def data(rng):
    return {"x": rng.standard_normal((8, 1, 5, 5)), "y": rng.standard_normal(8)}
