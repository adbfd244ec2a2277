def parameters(rng):
    return {
        "weight_ih": 0.6 * rng.standard_normal((5, 3)),
        "weight_hh": 0.5 * rng.standard_normal((5, 5)),
        "bias_ih": 0.1 * rng.standard_normal(5),
        "bias_hh": 0.1 * rng.standard_normal(5),
    }


def data(rng):
    return {"x": rng.standard_normal((6, 8, 3)), "y": rng.standard_normal((6, 8, 5))}
