def parameters(rng):
    def linear(m, n):
        return {"weight": rng.standard_normal((n, m)) / m**0.5}

    return {"norm": {"weight": 1 + 0.1 * rng.standard_normal(8)}, "qkv": linear(8, 24), "out": linear(8, 8)}


def data(rng):
    return {"x": rng.standard_normal((3, 5, 8)), "y": rng.standard_normal((3, 5, 8))}
