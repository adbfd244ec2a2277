def parameters(rng):
    def fc(m, n):
        return {"w": rng.standard_normal((m, n)) / m**0.5, "b": 0.2 * rng.standard_normal(n)}

    return {"fc1": fc(4, 7), "fc2": fc(7, 7), "fc3": fc(7, 7), "out": fc(7, 1)}


def data(rng):
    return {"x": rng.standard_normal((20, 4)), "y": rng.integers(0, 2, 20).astype(float)}
