def parameters(rng):
    return {name: 0.4 * rng.standard_normal((8, 8)) for name in ("wq", "wk", "wv")}


def data(rng):
    return {"x": rng.standard_normal((3, 6, 8)), "y": rng.standard_normal((3, 6, 8))}
