def parameters(rng):
    return {
        "conv1": {"kernel": 0.4 * rng.standard_normal((3, 2, 3, 3)), "bias": 0.1 * rng.standard_normal(3)},
        "conv2": {"kernel": 0.3 * rng.standard_normal((4, 3, 3, 3)), "bias": 0.1 * rng.standard_normal(4)},
        "head": 0.5 * rng.standard_normal((4, 2)),
    }


def data(rng):
    return {"x": rng.standard_normal((4, 2, 7, 7)), "y": rng.standard_normal((4, 2))}
