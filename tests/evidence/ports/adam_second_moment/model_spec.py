def parameters(rng):
    return {"w": 0.5 * rng.standard_normal(5), "b": 0.1 * rng.standard_normal(1)}


def data(rng):
    return {
        "train": {"x": rng.standard_normal((12, 5)), "y": rng.standard_normal(12)},
        "valid": {"x": rng.standard_normal((8, 5)), "y": rng.standard_normal(8)},
    }
