def parameters(rng):
    return {"w": 0.5 * rng.standard_normal((5, 3)), "b": 0.1 * rng.standard_normal(3)}


def data(rng):
    return {
        "x": rng.standard_normal((20, 5)),
        "teacher": 2 * rng.standard_normal((20, 3)),
        "labels": rng.integers(0, 3, 20),
    }
