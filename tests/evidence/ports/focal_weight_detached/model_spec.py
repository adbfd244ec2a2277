def parameters(rng):
    return {
        "w1": 0.5 * rng.standard_normal((6, 8)),
        "w2": 0.5 * rng.standard_normal((8, 4)),
    }


def data(rng):
    return {"x": rng.standard_normal((20, 6)), "labels": rng.integers(0, 4, 20)}
