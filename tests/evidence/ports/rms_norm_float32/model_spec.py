def parameters(rng):
    return {
        "gains": [1 + 0.1 * rng.standard_normal(6) for _ in range(3)],
        "weights": [0.4 * rng.standard_normal((6, 6)) for _ in range(3)],
    }


def data(rng):
    return {"x": rng.standard_normal((20, 6)), "y": rng.standard_normal((20, 6))}
