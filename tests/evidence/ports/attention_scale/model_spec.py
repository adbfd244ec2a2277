def parameters(rng):
    return {name: 0.5 * rng.standard_normal((8, 8)) for name in ("wq", "wk", "wv", "wo")}


def data(rng):
    return {"x": rng.standard_normal((4, 5, 8)), "y": rng.standard_normal((4, 5, 8))}
