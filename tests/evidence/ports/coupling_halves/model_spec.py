def parameters(rng):
    def net():
        return {
            "w1": 0.5 * rng.standard_normal((2, 6)),
            "w2": 0.3 * rng.standard_normal((6, 4)),
            "b2": 0.1 * rng.standard_normal(4),
        }

    return {"couplings": [net() for _ in range(3)]}


def data(rng):
    return {"x": rng.standard_normal((20, 4))}
