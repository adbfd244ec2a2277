"""Families of users' models, drawn at random: layers, attention, likelihoods, contrasts. All of them are right.

A family takes a generator and the size that is wanted, and gives a `Design`: shapes and options are settled, numbers
are not. `Design.draw` gives parameters and data, with a trait that real data have. `tests.evidence.user_contrasts` and
`tests.evidence.user_series` have the other families.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Array = Any
Tree = dict[str, Any]
#: ``loss(params, data, xp, operations)``.
Loss = Callable[[Tree, Tree, Any, Any], Array]
Rng = np.random.Generator

TRAITS = [
    *("plain", "plain", "plain", "equal rows", "constant column", "zero column", "offset", "wide scales", "tiny"),
    *("large parameters", "small parameters", "duplicate columns", "rounded"),
]


@dataclass(frozen=True)
class Design:
    """Shapes and options of a model, and its loss."""

    parameters: Callable[[Rng], Tree]
    data: Callable[[Rng], Tree]
    loss: Loss
    note: str = ""

    def draw(self, rng: Rng, trait: str) -> tuple[Tree, Tree]:
        """Parameters and data in float64; the trait is that of ``X``, or of the parameters."""
        params, data = self.parameters(rng), self.data(rng)
        if "X" in data:
            data["X"] = awkward(rng, data["X"], trait)
        scale = {"large parameters": 5.0, "small parameters": 1e-3}.get(trait, 1.0)
        return {name: np.asarray(value * scale) for name, value in params.items()}, data


def awkward(rng: Rng, X: Array, trait: str) -> Array:
    """The same rows with a trait that real data have."""
    X, column = X.copy(), int(rng.integers(X.shape[-1]))
    match trait:
        case "equal rows":
            X[:] = X[0]
        case "constant column":
            X[..., column] = 1
        case "zero column":
            X[..., column] = 0
        case "duplicate columns":
            X[..., -1] = X[..., 0]
        case "offset":
            X += 10.0 ** rng.integers(1, 4)
        case "wide scales":
            X *= 10.0 ** rng.uniform(-3, 3, X.shape[-1])
        case "tiny":
            X *= 1e-6
        case "rounded":
            X = np.round(X, 1)
    return X


def normal(rng: Rng, *shape: int, scale: float = 1.0) -> Array:
    return scale * rng.standard_normal(shape)


def few(rng: Rng, most: int, least: int = 1) -> int:
    """A length, small ones more often."""
    return int(np.exp(rng.uniform(np.log(least), np.log(most + 0.999))))


def one_hot(labels: Array, classes: int) -> Array:
    return np.eye(classes)[labels]


ACTIVATIONS: dict[str, Callable[[Any, Any, Array], Array]] = {
    "tanh": lambda xp, ops, x: xp.tanh(x),
    "sin": lambda xp, ops, x: xp.sin(x),
    "relu": lambda xp, ops, x: ops.relu(x),
    "leaky": lambda xp, ops, x: ops.leaky_relu(x),
    "elu": lambda xp, ops, x: ops.elu(x),
    "gelu": lambda xp, ops, x: ops.gelu(x),
    "gelu_tanh": lambda xp, ops, x: ops.gelu_tanh(x),
    "silu": lambda xp, ops, x: ops.silu(x),
    "sigmoid": lambda xp, ops, x: ops.sigmoid(x),
    "softplus": lambda xp, ops, x: ops.softplus(x),
    "square": lambda xp, ops, x: x * x,
}

#: What is said of a column of predictions and a target of the same shape.
ENDS: dict[str, Callable[[Any, Any, Array, Array], Array]] = {
    "mse": lambda xp, ops, z, y: ops.mse(z, y),
    "sse": lambda xp, ops, z, y: 0.5 * xp.sum((z - y) ** 2),
    "rmse": lambda xp, ops, z, y: xp.sqrt(xp.mean((z - y) ** 2)),
    "huber": lambda xp, ops, z, y: ops.huber(z - y, 0.5),
    "pinball": lambda xp, ops, z, y: xp.mean(xp.maximum(0.75 * (y - z), -0.25 * (y - z))),
    "logcosh": lambda xp, ops, z, y: xp.mean(xp.logaddexp(z - y, y - z)),
    "student": lambda xp, ops, z, y: 2.5 * xp.mean(xp.log1p((z - y) ** 2 / 4)),
    "bce": lambda xp, ops, z, y: ops.bce(z, xp.where(y > 0, xp.ones_like(y), xp.zeros_like(y))),
    "hinge": lambda xp, ops, z, y: xp.mean(ops.relu(1 - xp.where(y > 0, xp.ones_like(y), -xp.ones_like(y)) * z)),
    "poisson": lambda xp, ops, z, y: ops.poisson(xp.tanh(z), xp.abs(xp.floor(y))),
    "gaussian": lambda xp, ops, z, y: ops.gaussian(z, 0.25 + z * z, y),
    "cosine": lambda xp, ops, z, y: 1 - xp.sum(z * y) / xp.sqrt((xp.sum(z * z) + 1e-6) * (xp.sum(y * y) + 1e-6)),
}


def pick(rng: Rng, options: Any) -> Any:
    options = list(options)
    return options[int(rng.integers(len(options)))]


def mlp(rng: Rng, size: int) -> Design:
    """Layers, an activation, and what is made of the last column; norms between them in a third."""
    depth, rows = few(rng, 4, 1 + (size > 5000)), few(rng, 40, 2)
    width = max(1, int((size / depth) ** 0.5))
    widths = [few(rng, 8), *(width for _ in range(depth)), 1]
    name, end, norm = pick(rng, ACTIVATIONS), pick(rng, ENDS), pick(rng, ["none", "none", "layer", "batch"])
    penalty = pick(rng, [0.0, 0.125, "l1"])
    norm = norm if width > 1 else "none"

    def parameters(rng: Rng) -> Tree:
        found: Tree = {}
        for i, (a, b) in enumerate(pairwise(widths)):
            found[f"W{i}"], found[f"b{i}"] = normal(rng, a, b, scale=a**-0.5), normal(rng, b, scale=0.1)
            if norm != "none" and i < depth:
                found[f"s{i}"], found[f"t{i}"] = 1 + normal(rng, b, scale=0.1), normal(rng, b, scale=0.1)
        return found

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        x = d["X"]
        for i in range(depth + 1):
            x = x @ p[f"W{i}"] + p[f"b{i}"]
            if i < depth and norm != "none":
                x = (ops.layer_norm if norm == "layer" else ops.batch_norm)(x, p[f"s{i}"], p[f"t{i}"], 2.0**-17)
            x = ACTIVATIONS[name](xp, ops, x) if i < depth else x
        value = ENDS[end](xp, ops, x[:, 0], d["y"])
        if penalty == "l1":
            return value + 0.0625 * sum(xp.sum(xp.abs(p[f"W{i}"])) for i in range(depth + 1))
        return value + 0.5 * penalty * sum(xp.sum(p[f"W{i}"] ** 2) for i in range(depth + 1)) if penalty else value

    return Design(
        parameters,
        lambda rng: {"X": normal(rng, rows, widths[0]), "y": normal(rng, rows)},
        loss,
        f"{name}, {end}, {norm}, {penalty}",
    )


def classifier(rng: Rng, size: int) -> Design:
    """Softmax regression or one hidden layer; cross-entropy, smoothed, focal, or a divergence."""
    rows, classes = few(rng, 40, 2), few(rng, 10, 2)
    features = max(1, size // (2 * classes))
    hidden = bool(rng.integers(2))
    kind = pick(rng, ["cross_entropy", "smoothed", "focal", "kl", "weighted", "temperature", "brier"])

    def parameters(rng: Rng) -> Tree:
        first = {"V": normal(rng, features, features, scale=features**-0.5)} if hidden and features < 100 else {}
        return first | {"W": normal(rng, features, classes, scale=features**-0.5), "b": normal(rng, classes)}

    def data(rng: Rng) -> Tree:
        labels = rng.integers(0, classes, rows)
        return {
            "X": normal(rng, rows, features),
            "labels": labels,
            "onehot": one_hot(labels, classes),
            "q": rng.dirichlet(np.ones(classes), rows) + 2.0**-20,
            "weights": rng.uniform(0.5, 2, rows),
        }

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        x = xp.tanh(d["X"] @ p["V"]) if "V" in p else d["X"]
        z = x @ p["W"] + p["b"]
        match kind:
            case "cross_entropy":
                return ops.cross_entropy(z, d["onehot"], d["labels"])
            case "temperature":
                return ops.cross_entropy(z / 4.0, d["onehot"], d["labels"])
            case "smoothed":
                return -xp.mean(xp.sum((0.875 * d["onehot"] + 0.125 / classes) * ops.log_softmax(z), axis=-1))
            case "focal":
                log_p = xp.sum(d["onehot"] * ops.log_softmax(z), axis=-1)
                return -xp.mean((1 - xp.exp(log_p)) ** 2 * log_p)
            case "kl":
                return ops.kl(ops.log_softmax(z), d["q"])
            case "brier":
                return ops.mse(ops.softmax(z), d["onehot"])
        log_p = xp.sum(d["onehot"] * ops.log_softmax(z), axis=-1)
        return -xp.sum(d["weights"] * log_p) / xp.sum(d["weights"])

    return Design(parameters, data, loss, kind)


def attention(rng: Rng, size: int) -> Design:
    """Self-attention of some heads, causal or padded, with what stands around it."""
    heads, positions = pick(rng, [1, 1, 2, 3]), few(rng, 8, 2)
    per_head = max(1, int((size / (4 * heads * heads)) ** 0.5))
    model = heads * per_head
    mask = pick(rng, ["none", "causal", "padded", "large negative"])
    norm, residual, head = rng.integers(2) and model > 1, rng.integers(2), pick(rng, ["mse", "classes", "pooled"])

    def parameters(rng: Rng) -> Tree:
        found = {name: normal(rng, model, model, scale=model**-0.5) for name in ("q", "k", "v", "o")}
        return found | ({"s": 1 + normal(rng, model, scale=0.1), "t": normal(rng, model, scale=0.1)} if norm else {})

    def data(rng: Rng) -> Tree:
        allowed = np.ones((positions, positions), bool)
        if mask in ("causal", "large negative"):
            allowed = np.tril(allowed)
        elif mask == "padded":
            allowed[:, few(rng, positions) :] = False
        added = np.where(allowed, 0.0, -1e9 if mask == "large negative" else -np.inf)
        labels = rng.integers(0, model, positions)
        return {
            "X": normal(rng, positions, model),
            "y": normal(rng, positions, model),
            "mask": added,
            "labels": labels,
            "onehot": one_hot(labels, model),
        }

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        x = ops.layer_norm(d["X"], p["s"], p["t"], 2.0**-17) if norm else d["X"]
        q, k, v = (xp.stack([(x @ p[n])[:, h * per_head : (h + 1) * per_head] for h in range(heads)]) for n in "qkv")
        a = ops.attention(q, k, v, d["mask"])
        z = xp.concatenate([a[h] for h in range(heads)], axis=1) @ p["o"]
        z = z + d["X"] if residual else z
        if head == "classes":
            return ops.cross_entropy(z, d["onehot"], d["labels"])
        return ops.mse(z, d["y"]) if head == "mse" else ops.mse(xp.mean(z, axis=0), d["y"][0])

    return Design(parameters, data, loss, f"{heads} heads, {mask}, {head}")


def regression(rng: Rng, size: int) -> Design:
    """A linear predictor, or powers of one column, and a likelihood."""
    features, rows = max(1, size - 1), few(rng, 60, 3)
    end, penalty = pick(rng, [*ENDS, "probit", "negative binomial", "exponential", "gamma"]), pick(rng, "0012ge")

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        z, y = d["X"] @ p["w"] + p["b"], d["y"]
        match end:
            case "probit":
                s = xp.where(y > 0, xp.ones_like(y), -xp.ones_like(y))
                value = -xp.mean(xp.log(2.0**-40 + 0.5 * (1 + ops.erf(s * xp.tanh(z) / 2))))
            case "negative binomial":
                value = xp.mean((xp.abs(y) + 2) * ops.softplus(z) - xp.abs(y) * z)
            case "exponential":
                value = xp.mean(z + xp.abs(y) * xp.exp(-xp.tanh(z)))
            case "gamma":
                mean = 2.0**-10 + ops.softplus(z)
                value = xp.mean(xp.abs(y) / mean + xp.log(mean))
            case _:
                value = ENDS[end](xp, ops, z, y)
        match penalty:
            case "1":
                return value + 0.125 * xp.sum(xp.abs(p["w"]))
            case "2":
                return value + 0.125 * xp.sum(p["w"] ** 2)
            case "g":
                return value + 0.125 * xp.sqrt(xp.sum(p["w"] ** 2) + 2.0**-20)
            case "e":
                return value + 0.125 * xp.sum(0.5 * p["w"] ** 2 + xp.sqrt(p["w"] ** 2 + 2.0**-10))
        return value

    return Design(
        lambda rng: {"w": normal(rng, features, scale=features**-0.5), "b": normal(rng)},
        lambda rng: {"X": normal(rng, rows, features), "y": normal(rng, rows)},
        loss,
        f"{end}, {penalty}",
    )


FAMILIES = {f.__name__: f for f in (mlp, classifier, attention, regression)}
