def parameters(rng):
    return {"w": 0.5 * rng.standard_normal((4, 2))}


def data(rng):
    def batch():
        return {"x": rng.standard_normal((3, 6, 4)), "y": rng.standard_normal((3, 6, 2))}

    return {"support": batch(), "query": batch()}
