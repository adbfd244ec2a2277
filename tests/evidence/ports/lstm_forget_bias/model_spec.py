def parameters(rng):
    def gate():
        return {"w": 0.5 * rng.standard_normal((7, 4)), "b": 0.1 * rng.standard_normal(4)}

    return {"input": gate(), "forget": gate(), "cell": gate(), "output": gate(), "head": rng.standard_normal(4)}


def data(rng):
    return {"x": rng.standard_normal((5, 8, 3)), "y": rng.standard_normal(8)}
