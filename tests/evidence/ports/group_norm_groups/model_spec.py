def parameters(rng):
    return {
        "w": 0.5 * rng.standard_normal((6, 8)),
        "gn": {"weight": 1 + 0.2 * rng.standard_normal(8), "bias": 0.1 * rng.standard_normal(8)},
        "v": 0.5 * rng.standard_normal((8, 2)),
    }


def data(rng):
    return {"x": rng.standard_normal((20, 6)), "y": rng.standard_normal((20, 2))}
