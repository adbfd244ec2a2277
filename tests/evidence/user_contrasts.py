"""Families of users' models: polynomials, mixtures, contrasts, tables, filters over signals, ratios of moments.

See `tests.evidence.user_families`. All of them are right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.evidence.user_families import ACTIVATIONS, Array, Design, Rng, Tree, few, normal, one_hot, pick


def polynomial(rng: Rng, size: int) -> Design:
    """Powers of one column, by Horner's rule, by whole powers, or as a quotient."""
    degree, rows, kind = min(size, 12), few(rng, 40, 3), pick(rng, ["horner", "powers", "rational", "cosines"])

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        x, c = d["x"], p["c"]
        if kind == "horner":
            z = c[0] + 0 * x
            for i in range(1, degree):
                z = z * x + c[i]
        elif kind == "cosines":
            z = sum(c[i] * xp.cos(i * x + p["phase"]) for i in range(degree))
        else:
            z = sum(c[i] * x**i for i in range(degree))
        if kind == "rational":
            z = z / (1 + (p["phase"] * x) ** 2)
        return xp.mean((z - d["y"]) ** 2)

    return Design(
        lambda rng: {"c": normal(rng, degree), "phase": normal(rng)},
        lambda rng: {"x": rng.uniform(-1.5, 1.5, rows), "y": normal(rng, rows)},
        loss,
        kind,
    )


def mixture(rng: Rng, size: int) -> Design:
    """A mixture of normals, or a gate over experts."""
    parts, features, rows = few(rng, 6, 2), max(1, size // 12), few(rng, 40, 2)
    kind = pick(rng, ["normals", "gate"])

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        if kind == "gate":
            gate = ops.softmax(d["X"] @ p["mean"].T + p["logits"])
            return ops.mse(xp.sum(gate * (d["X"] @ p["scale"].T), axis=-1), d["X"][:, 0])
        apart = (d["X"][:, None, :] - p["mean"][None]) * xp.exp(-p["scale"])[None]
        each = ops.log_softmax(p["logits"]) - xp.sum(p["scale"], axis=-1) - 0.5 * xp.sum(apart * apart, axis=-1)
        return -xp.mean(ops.logsumexp(each, 1))

    return Design(
        lambda rng: {
            "logits": normal(rng, parts),
            "mean": normal(rng, parts, features),
            "scale": normal(rng, parts, features, scale=0.3),
        },
        lambda rng: {"X": normal(rng, rows, features)},
        loss,
        kind,
    )


def contrast(rng: Rng, size: int) -> Design:
    """Rows of two views, normalised, each nearest to its own; or triplets."""
    rows, features = few(rng, 12, 3), few(rng, 6, 2)
    width, kind = max(2, size // features), pick(rng, ["infonce", "infonce", "triplet", "cosine"])

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        a, b = ops.normalised(d["X"] @ p["W"]), ops.normalised(d["Z"] @ p["W"])
        if kind == "infonce":
            return ops.cross_entropy(a @ b.T * 8.0, d["onehot"], d["labels"])
        if kind == "cosine":
            return 1 - xp.mean(xp.sum(a * b, axis=-1))
        far = xp.sum((a - xp.roll(b, 1, axis=0)) ** 2, axis=-1)
        return xp.mean(ops.softplus(xp.sum((a - b) ** 2, axis=-1) - far + 0.5))

    labels = np.arange(rows)
    return Design(
        lambda rng: {"W": normal(rng, features, width)},
        lambda rng: {
            "X": normal(rng, rows, features),
            "Z": normal(rng, rows, features),
            "labels": labels,
            "onehot": one_hot(labels, rows),
        },
        loss,
        kind,
    )


def embedding(rng: Rng, size: int) -> Design:
    """Rows of a table looked up, most of them seldom or never: pairs scored, or words of a bag."""
    width, pairs = few(rng, 6), few(rng, 60, 2)
    words, kind = max(2, size // (2 * width)), pick(rng, ["pairs", "bag", "ranking"])

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        a, b = ops.gather(p["U"], d["i"]), ops.gather(p["V"], d["j"])
        score = xp.sum(a * b, axis=-1)
        if kind == "pairs":
            return ops.mse(score, d["y"]) + 0.125 * xp.mean(a * a)
        if kind == "ranking":
            other = xp.sum(a * ops.gather(p["V"], d["k"]), axis=-1)
            return xp.mean(ops.softplus(other - score))
        return ops.bce(xp.mean(a, axis=0) @ b.T, xp.where(d["y"] > 0, xp.ones_like(d["y"]), xp.zeros_like(d["y"])))

    return Design(
        lambda rng: {"U": normal(rng, words, width), "V": normal(rng, words, width)},
        lambda rng: {"i": rng.integers(0, words, pairs), "j": rng.integers(0, words, pairs),
                     "k": rng.integers(0, words, pairs), "y": normal(rng, pairs)},
        loss,
        kind,
    )  # fmt: skip


def convolution(rng: Rng, size: int) -> Design:
    """A filter over a signal as a product of windows, pooled, twice."""
    kernel, channels = few(rng, 5, 2), max(1, int((size / 4) ** 0.5))
    length, name = 2 * kernel + few(rng, 12), pick(rng, ["tanh", "relu", "gelu", "silu"])

    def windows(x: Array, xp: Any) -> Array:
        return xp.concatenate([x[i : x.shape[0] - kernel + 1 + i] for i in range(kernel)], axis=1)

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        x = ACTIVATIONS[name](xp, ops, windows(d["X"], xp) @ p["A"] + p["a"])
        x = ACTIVATIONS[name](xp, ops, windows(x, xp) @ p["B"])
        return ops.mse(xp.mean(x, axis=0), d["y"])

    return Design(
        lambda rng: {"A": normal(rng, kernel * 2, channels), "a": normal(rng, channels),
                     "B": normal(rng, kernel * channels, channels, scale=(kernel * channels) ** -0.5)},
        lambda rng: {"X": normal(rng, length, 2), "y": normal(rng, channels)},
        loss,
        name,
    )  # fmt: skip


def statistics(rng: Rng, size: int) -> Design:
    """A ratio of moments of a weighted sum: a correlation, a Sharpe ratio, a weighted mean, an ELBO."""
    features, rows = max(1, size // 2), few(rng, 60, 4)
    kind = pick(rng, ["correlation", "sharpe", "weighted", "elbo", "cox", "flow"])

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        z = d["X"] @ p["w"]
        match kind:
            case "correlation":
                a, b = z - xp.mean(z), d["y"] - xp.mean(d["y"])
                return -xp.sum(a * b) / xp.sqrt(xp.sum(a * a) * xp.sum(b * b) + 2.0**-20)
            case "sharpe":
                return -xp.mean(z) / xp.sqrt(xp.mean((z - xp.mean(z)) ** 2) + 2.0**-20)
            case "weighted":
                weights = ops.softmax(z)
                return (xp.sum(weights * d["y"]) - 0.5) ** 2 + 0.125 * xp.sum(p["v"] ** 2)
            case "elbo":
                drawn = p["w"] + xp.exp(0.5 * p["v"]) * d["e"]
                prior = 0.5 * xp.sum(xp.exp(p["v"]) + p["w"] ** 2 - 1 - p["v"])
                return ops.mse(xp.tanh(d["X"] @ drawn), d["y"]) + prior / rows
            case "cox":  # rows in order of their times: who is at risk comes after
                risk = xp.log(xp.cumsum(xp.exp(xp.tanh(z))))
                return -xp.mean(xp.tanh(z) - risk) + 0.125 * xp.sum(p["v"] ** 2)
        scale = xp.tanh(d["X"] * p["v"])
        moved = d["X"] * xp.exp(scale) + p["w"]
        return xp.mean(0.5 * xp.sum(moved**2, axis=-1) - xp.sum(scale, axis=-1))

    return Design(
        lambda rng: {"w": normal(rng, features, scale=features**-0.5), "v": normal(rng, features, scale=0.3)},
        lambda rng: {"X": normal(rng, rows, features), "y": normal(rng, rows), "e": normal(rng, features)},
        loss,
        kind,
    )


CONTRASTS = {f.__name__: f for f in (polynomial, mixture, contrast, embedding, convolution, statistics)}
