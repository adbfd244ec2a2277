def parameters(rng):
    return {
        "trunk": 0.5 * rng.standard_normal((6, 8)),
        "boxes": 0.5 * rng.standard_normal((8, 4)),
        "score": 0.5 * rng.standard_normal(8),
    }


def data(rng):
    return {
        "x": rng.standard_normal((20, 6)),
        "boxes": rng.standard_normal((20, 4)),
        "found": rng.integers(0, 2, 20).astype(float),
    }
