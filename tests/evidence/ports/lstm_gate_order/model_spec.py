def parameters(rng):
    return {
        "lstm": {
            "weight_ih_l0": 0.4 * rng.standard_normal((20, 4)),
            "weight_hh_l0": 0.4 * rng.standard_normal((20, 5)),
            "bias_ih_l0": 0.1 * rng.standard_normal(20),
            "bias_hh_l0": 0.1 * rng.standard_normal(20),
        },
        "out": 0.5 * rng.standard_normal((5, 2)),
    }


def data(rng):
    return {"x": rng.standard_normal((8, 6, 4)), "y": rng.standard_normal((8, 2))}
