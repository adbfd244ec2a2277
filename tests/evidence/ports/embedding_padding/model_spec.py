def parameters(rng):
    return {
        "table": 0.5 * rng.standard_normal((8, 5)),
        "fc": {"w": 0.5 * rng.standard_normal((5, 6)), "b": 0.1 * rng.standard_normal(6)},
        "out": 0.5 * rng.standard_normal((6, 3)),
    }


def data(rng):
    ids = rng.integers(1, 8, (10, 6))
    ids[:, 4:] = 0
    return {"ids": ids, "labels": rng.integers(0, 3, 10)}
