def parameters(rng):
    return {
        "kernel": 0.5 * rng.standard_normal((4, 2, 3)),
        "bias": 0.1 * rng.standard_normal(4),
        "out": 0.5 * rng.standard_normal((4, 8)),
    }


def data(rng):
    return {"x": rng.standard_normal((10, 2, 10)), "y": rng.standard_normal(10)}
