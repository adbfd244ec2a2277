def parameters(rng):
    return {
        "gru": {
            "w": 0.5 * rng.standard_normal((3, 15)),
            "u": 0.5 * rng.standard_normal((5, 15)),
            "b": 0.1 * rng.standard_normal(15),
            "bn": 0.1 * rng.standard_normal(5),
        },
        "head": rng.standard_normal(5),
    }


def data(rng):
    return {"x": rng.standard_normal((10, 5, 3)), "y": rng.integers(0, 2, 10).astype(float)}
