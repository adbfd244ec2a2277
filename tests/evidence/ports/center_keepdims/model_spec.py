def parameters(rng):
    return {"w": 0.6 * rng.standard_normal((4, 5)), "v": 0.6 * rng.standard_normal((4, 3))}


def data(rng):
    return {"x": rng.standard_normal((9, 4))}
