def parameters(rng):
    return {
        "conv": {"kernel": 0.4 * rng.standard_normal((4, 2, 3, 3)), "bias": 0.1 * rng.standard_normal(4)},
        "norm": {"scale": 1 + 0.1 * rng.standard_normal(4), "shift": 0.1 * rng.standard_normal(4)},
        "head": 0.5 * rng.standard_normal((4, 2)),
    }


def data(rng):
    return {"images": rng.standard_normal((6, 2, 6, 6)), "y": rng.standard_normal((6, 2))}
