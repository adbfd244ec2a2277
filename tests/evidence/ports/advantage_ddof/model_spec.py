def parameters(rng):
    return {"policy": 0.5 * rng.standard_normal((4, 3)), "value": 0.5 * rng.standard_normal(4)}


def data(rng):
    return {
        "states": rng.standard_normal((12, 4)),
        "actions": rng.integers(0, 3, 12),
        "returns": rng.standard_normal(12),
    }
