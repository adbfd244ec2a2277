def parameters(rng):
    def planar():
        return {"u": 0.4 * rng.standard_normal(3), "w": 0.6 * rng.standard_normal(3), "b": 0.2 * rng.standard_normal(1)}

    return {"flows": [planar() for _ in range(3)], "log_scale": 0.1 * rng.standard_normal(3)}


def data(rng):
    return {"z": rng.standard_normal((20, 3)), "target": rng.standard_normal(3)}
