def parameters(rng):
    return {
        "w1": 0.6 * rng.standard_normal((5, 7)),
        "b1": 0.1 * rng.standard_normal(7),
        "w2": 0.6 * rng.standard_normal((7, 2)),
        "b2": 0.1 * rng.standard_normal(2),
    }


def data(rng):
    return {"x": rng.standard_normal((20, 5)), "y": 1.5 * rng.standard_normal((20, 2))}
