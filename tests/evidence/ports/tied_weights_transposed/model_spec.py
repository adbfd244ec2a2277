def parameters(rng):
    return {"table": 0.7 * rng.standard_normal((7, 7)), "mix": 0.5 * rng.standard_normal((7, 7))}


def data(rng):
    return {"context": rng.integers(0, 7, (15, 3)), "target": rng.integers(0, 7, 15)}
