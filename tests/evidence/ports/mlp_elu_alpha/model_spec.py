def parameters(rng):
    def linear(m, n):
        return {"weight": rng.standard_normal((n, m)) / m**0.5, "bias": 0.1 * rng.standard_normal(n)}

    return {"blocks": [{"fc": linear(5, 8)}, {"fc": linear(8, 8)}], "head": linear(8, 2)}


def data(rng):
    return {"x": rng.standard_normal((20, 5)), "y": rng.standard_normal((20, 2))}
