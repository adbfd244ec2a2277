def parameters(rng):
    return {
        "layers": [{n: 0.4 * rng.standard_normal((8, 8)) for n in ("q", "k", "v", "o")} for _ in range(2)],
        "head": 0.5 * rng.standard_normal((8, 2)),
    }


def data(rng):
    return {"x": rng.standard_normal((4, 5, 8)), "y": rng.standard_normal((4, 5, 2))}
