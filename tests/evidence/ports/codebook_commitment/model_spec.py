def parameters(rng):
    return {
        "encoder": {"weight": 0.5 * rng.standard_normal((3, 6)), "bias": 0.1 * rng.standard_normal(3)},
        "codebook": {"weight": rng.standard_normal((8, 3))},
        "decoder": {"weight": 0.5 * rng.standard_normal((6, 3)), "bias": 0.1 * rng.standard_normal(6)},
    }


def data(rng):
    return {"x": rng.standard_normal((20, 6))}
