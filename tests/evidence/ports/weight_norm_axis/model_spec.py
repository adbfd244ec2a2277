def parameters(rng):
    def layer():
        return {
            "g": 1 + 0.1 * rng.standard_normal((6, 1)),
            "v": rng.standard_normal((6, 6)),
            "b": 0.1 * rng.standard_normal(6),
        }

    return {"first": layer(), "second": layer()}


def data(rng):
    return {"x": rng.standard_normal((20, 6)), "y": rng.standard_normal((20, 6))}
