def parameters(rng):
    return {
        "tokens": 0.3 * rng.standard_normal((11, 8)),
        "positions": 0.3 * rng.standard_normal((5, 8)),
        "out": 0.5 * rng.standard_normal((8, 3)),
    }


def data(rng):
    return {"ids": rng.integers(0, 11, (12, 5)), "labels": rng.integers(0, 3, 12)}
