def parameters(rng):
    return {"w": 0.3 * rng.standard_normal((4, 3)), "v": 0.3 * rng.standard_normal((3, 2))}


def data(rng):
    return {"x": rng.standard_normal((15, 4)), "y": rng.standard_normal((15, 2))}
