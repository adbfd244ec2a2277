def parameters(rng):
    return {
        "wq": 0.5 * rng.standard_normal((6, 4)),
        "wk": 0.5 * rng.standard_normal((6, 4)),
        "wv": 0.5 * rng.standard_normal((6, 6)),
    }


def data(rng):
    return {"x": rng.standard_normal((3, 7, 6)), "y": rng.standard_normal((3, 7, 6))}
