def parameters(rng):
    def linear(m, n):
        return {"weight": 0.6 * rng.standard_normal((n, m)) / m**0.5, "bias": 0.1 * rng.standard_normal(n)}

    return {
        "encoder": {"hidden": linear(6, 8), "mean": linear(8, 2), "log_var": linear(8, 2)},
        "decoder": {"hidden": linear(2, 8), "out": linear(8, 6)},
    }


def data(rng):
    return {"x": rng.standard_normal((20, 6)), "noise": rng.standard_normal((20, 2))}
