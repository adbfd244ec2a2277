SIZES = [6, 8, 8, 3]


def parameters(rng):
    return {
        "layers": [
            {"w": rng.standard_normal((m, n)) / m**0.5, "b": 0.1 * rng.standard_normal(n)}
            for m, n in zip(SIZES, SIZES[1:])
        ]
    }


def data(rng):
    return {"x": rng.standard_normal((20, 6)), "y": rng.standard_normal((20, 3))}
