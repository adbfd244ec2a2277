def parameters(rng):
    return {"w": 0.5 * rng.standard_normal((5, 4)), "b": 0.1 * rng.standard_normal(4)}


def data(rng):
    return {
        "x": rng.standard_normal((20, 5)),
        "teacher": 2 * rng.standard_normal((20, 4)),
        "labels": rng.integers(0, 4, 20),
    }
