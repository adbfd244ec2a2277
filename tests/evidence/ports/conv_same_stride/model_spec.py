def parameters(rng):
    return {
        "c1": 0.4 * rng.standard_normal((4, 2, 3, 3)),
        "c2": 0.3 * rng.standard_normal((4, 4, 3, 3)),
        "fc": 0.3 * rng.standard_normal((36, 3)),
    }


def data(rng):
    return {"x": rng.standard_normal((8, 2, 6, 6)), "labels": rng.integers(0, 3, 8)}
