def parameters(rng):
    return {
        "critic": {"w": 0.5 * rng.standard_normal((4, 6)), "v": 0.5 * rng.standard_normal(6)},
        "actor": 0.5 * rng.standard_normal((4, 3)),
    }


def data(rng):
    return {
        "state": rng.standard_normal((16, 4)),
        "next": rng.standard_normal((16, 4)),
        "action": rng.integers(0, 3, 16),
        "reward": rng.standard_normal(16),
    }
