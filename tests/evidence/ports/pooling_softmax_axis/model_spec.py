def parameters(rng):
    return {
        "score": {"w": 0.6 * rng.standard_normal((4, 5)), "v": rng.standard_normal(5)},
        "out": 0.6 * rng.standard_normal((4, 3)),
    }


def data(rng):
    return {"x": rng.standard_normal((8, 6, 4)), "labels": rng.integers(0, 3, 8)}
