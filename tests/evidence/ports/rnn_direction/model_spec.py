def parameters(rng):
    return {
        "wx": 0.5 * rng.standard_normal((4, 6)),
        "wh": 0.4 * rng.standard_normal((6, 6)),
        "b": 0.1 * rng.standard_normal(6),
        "out": 0.5 * rng.standard_normal((6, 2)),
    }


def data(rng):
    return {"x": rng.standard_normal((7, 9, 4)), "y": rng.standard_normal((9, 2))}
