def parameters(rng):
    return {
        "embedding": 0.5 * rng.standard_normal((9, 6)),
        "hidden": {"w": 0.5 * rng.standard_normal((6, 6)), "b": 0.1 * rng.standard_normal(6)},
    }


def data(rng):
    return {"tokens": rng.integers(0, 9, (20, 4)), "next": rng.integers(0, 9, 20)}
