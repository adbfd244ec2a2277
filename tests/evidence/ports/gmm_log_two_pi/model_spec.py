def parameters(rng):
    return {
        "logits": 0.3 * rng.standard_normal(3),
        "means": 1.5 * rng.standard_normal((3, 2)),
        "log_scales": 0.2 * rng.standard_normal((3, 2)),
    }


def data(rng):
    return {"x": 1.5 * rng.standard_normal((20, 2))}
