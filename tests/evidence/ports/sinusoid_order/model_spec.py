def parameters(rng):
    return {
        "embedding": 0.5 * rng.standard_normal((9, 6)),
        "fc": 0.5 * rng.standard_normal((6, 6)),
        "out": 0.5 * rng.standard_normal((6, 3)),
    }


def data(rng):
    return {"ids": rng.integers(0, 9, (10, 5)), "labels": rng.integers(0, 3, 10)}
