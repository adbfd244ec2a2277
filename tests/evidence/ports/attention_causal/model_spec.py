def parameters(rng):
    def linear(m, n):
        return {"weight": rng.standard_normal((n, m)) / m**0.5, "bias": 0.1 * rng.standard_normal(n)}

    return {"attn": {"qkv": linear(8, 24), "proj": linear(8, 8)}, "ff": {"up": linear(8, 8), "down": linear(8, 8)}}


def data(rng):
    return {"x": rng.standard_normal((4, 5, 8)), "y": rng.standard_normal((4, 5, 8))}
