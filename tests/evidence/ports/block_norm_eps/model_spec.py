def parameters(rng):
    def linear(m, n):
        return {"weight": rng.standard_normal((n, m)) / m**0.5, "bias": 0.1 * rng.standard_normal(n)}

    def norm(n):
        return {"weight": 1 + 0.1 * rng.standard_normal(n), "bias": 0.1 * rng.standard_normal(n)}

    return {
        "layers": [{"norm": norm(6), "up": linear(6, 8), "down": linear(8, 6)} for _ in range(2)],
        "head": linear(6, 2),
    }


def data(rng):
    return {"x": 0.3 * rng.standard_normal((20, 6)), "y": rng.standard_normal((20, 2))}
