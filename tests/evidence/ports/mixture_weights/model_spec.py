def parameters(rng):
    return {"logits": 0.5 * rng.standard_normal(3), "means": rng.standard_normal(3), "raw": rng.standard_normal(3)}


def data(rng):
    return {"x": 1.5 * rng.standard_normal(20)}
