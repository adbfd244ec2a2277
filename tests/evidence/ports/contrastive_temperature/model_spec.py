def parameters(rng):
    return {"image": 0.5 * rng.standard_normal((6, 4)), "text": 0.5 * rng.standard_normal((5, 4))}


def data(rng):
    return {"image": rng.standard_normal((10, 6)), "text": rng.standard_normal((10, 5))}
