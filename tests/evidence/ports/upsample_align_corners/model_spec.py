def parameters(rng):
    return {
        "down": {"weight": 0.4 * rng.standard_normal((3, 2, 3, 3)), "bias": 0.1 * rng.standard_normal(3)},
        "out": {"weight": 0.4 * rng.standard_normal((1, 3, 1, 1)), "bias": 0.1 * rng.standard_normal(1)},
    }


def data(rng):
    return {"x": rng.standard_normal((3, 2, 6, 6)), "mask": rng.integers(0, 2, (3, 1, 8, 8)).astype(float)}
