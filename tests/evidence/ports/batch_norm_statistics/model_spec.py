def parameters(rng):
    def block(m, n):
        return {
            "fc": {"weight": rng.standard_normal((n, m)) / m**0.5, "bias": 0.1 * rng.standard_normal(n)},
            "bn": {"weight": 1 + 0.1 * rng.standard_normal(n), "bias": 0.1 * rng.standard_normal(n)},
        }

    return {"one": block(5, 7), "two": block(7, 6)}


def data(rng):
    return {"x": rng.standard_normal((20, 5)), "y": rng.standard_normal((20, 6))}
