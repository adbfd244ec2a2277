def parameters(rng):
    return {
        "blocks": [{"g": 1 + 0.1 * rng.standard_normal(6), "w": 0.4 * rng.standard_normal((6, 6))} for _ in range(3)],
        "out": rng.standard_normal(6),
    }


def data(rng):
    return {"x": 0.1 * rng.standard_normal((20, 6)), "y": rng.standard_normal(20)}
