def parameters(rng):
    return {
        "fc1": {"w": 0.5 * rng.standard_normal((6, 8)), "b": 0.1 * rng.standard_normal(8)},
        "fc2": {"w": 0.5 * rng.standard_normal((8, 4)), "b": 0.1 * rng.standard_normal(4)},
    }


def data(rng):
    return {"x": rng.standard_normal((20, 6)), "labels": rng.integers(0, 4, 20)}
