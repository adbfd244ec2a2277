def parameters(rng):
    return {
        "encoder": 0.5 * rng.standard_normal((6, 5)),
        "predictor": {"w": 0.5 * rng.standard_normal((5, 5)), "b": 0.1 * rng.standard_normal(5)},
    }


def data(rng):
    x = rng.standard_normal((12, 6))
    return {"view1": x + 0.2 * rng.standard_normal(x.shape), "view2": x + 0.2 * rng.standard_normal(x.shape)}
