"""Families of users' models that go on step by step, or factorise: recurrent nets, filters, processes, physics.

See `tests.evidence.user_families`. All of them are right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.evidence.user_families import Array, Design, Rng, Tree, few, normal, pick


def recurrent(rng: Rng, size: int) -> Design:
    """A recurrent net of plain, gated or leaky cells."""
    kind, steps, inputs = pick(rng, ["plain", "gru", "lstm", "leaky"]), few(rng, 6, 2), few(rng, 4)
    gates = {"plain": 1, "leaky": 1, "gru": 3, "lstm": 4}[kind]
    width = max(1, int((size / gates) ** 0.5))

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        h = c = d["start"]
        total = 0.0
        for t in range(steps):
            z, r = d["X"][t] @ p["U"] + p["b"], h @ p["R"]
            part = [slice(i * width, (i + 1) * width) for i in range(gates)]
            if kind in ("plain", "leaky"):
                h = xp.tanh(z + r) if kind == "plain" else 0.75 * h + 0.25 * xp.tanh(z + r)
            elif kind == "gru":
                keep, reset = ops.sigmoid((z + r)[part[0]]), ops.sigmoid((z + r)[part[1]])
                h = keep * h + (1 - keep) * xp.tanh(z[part[2]] + reset * r[part[2]])
            else:
                i, f, o = (ops.sigmoid((z + r)[s]) for s in part[:3])
                c = f * c + i * xp.tanh((z + r)[part[3]])
                h = o * xp.tanh(c)
            total = total + xp.mean((h - d["y"][t]) ** 2)
        return total / steps

    return Design(
        lambda rng: {"U": normal(rng, inputs, gates * width), "b": normal(rng, gates * width, scale=0.1),
                     "R": normal(rng, width, gates * width, scale=width**-0.5)},
        lambda rng: {"X": normal(rng, steps, inputs), "y": normal(rng, steps, width), "start": np.zeros(width)},
        loss,
        kind,
    )  # fmt: skip


def chaos(rng: Rng, size: int) -> Design:
    """A map applied again and again, whose errors grow: tanh nets, the logistic map, Henon's."""
    kind, steps, width = pick(rng, ["tanh", "tanh", "logistic", "henon"]), few(rng, 25, 3), max(2, int(size**0.5))
    gain = rng.uniform(1.2, 3)

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        x = d["x"]
        y = 0 * x
        for _ in range(steps):
            if kind == "tanh":
                x = xp.tanh(p["W"] @ x)
            elif kind == "logistic":
                x = (3 + p["r"]) * x * (1 - x)
            else:
                x, y = 1 - (1 + p["r"]) * x * x + y, 0.25 * x
        return xp.mean((x - d["target"]) ** 2)

    def parameters(rng: Rng) -> Tree:
        if kind == "tanh":
            return {"W": normal(rng, width, width, scale=gain * width**-0.5)}
        return {"r": rng.uniform(0.1, 0.9 if kind == "logistic" else 0.4, width)}

    return Design(
        parameters,
        lambda rng: {"x": rng.uniform(0.1, 0.9, width), "target": normal(rng, width)},
        loss,
        f"{kind}, {steps} steps, gain {gain:.2f}",
    )


def states(rng: Rng, size: int) -> Design:
    """The likelihood of a series: Kalman's filter, hidden states forwards, a CRF, autoregression, GARCH."""
    kind = pick(rng, ["kalman", "matrix kalman", "hidden", "two states", "crf", "autoregression", "garch"])
    steps, n = few(rng, 7, 3), max(2, min(6, int(size**0.5)))

    def kalman(p: Tree, d: Tree, xp: Any) -> Array:
        q, r, m, v, total = xp.exp(p["q"]), xp.exp(p["r"]), 0.0, 1.0, 0.0
        for t in range(steps):
            v = v + q
            s, e = v + r, d["y"][t] - m
            total = total + 0.5 * (xp.log(s) + e * e / s)
            m, v = m + v / s * e, v * r / s
        return total / steps

    def matrix_kalman(p: Tree, d: Tree, xp: Any) -> Array:
        m, P, total, Q, R = d["zero"], d["I"], 0.0, xp.exp(p["q"]) * d["I"], xp.exp(p["r"]) * d["I2"]
        for t in range(steps):
            m, P = p["A"] @ m, p["A"] @ P @ p["A"].T + Q
            S, e = d["H"] @ P @ d["H"].T + R, d["Y"][t] - d["H"] @ m
            solved = xp.linalg.solve(S, xp.concatenate([e[:, None], d["H"] @ P], axis=1))
            total = total + 0.5 * (xp.linalg.slogdet(S)[1] + xp.sum(e * solved[:, 0]))
            m, P = m + P @ d["H"].T @ solved[:, 0], P - P @ d["H"].T @ solved[:, 1:]
        return total / steps

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        match kind:
            case "kalman":
                return kalman(p, d, xp)
            case "matrix kalman":
                return matrix_kalman(p, d, xp)
            case "autoregression":
                e = d["y"][3:] - p["q"] - p["a"][0] * d["y"][2:-1] - p["a"][1] * d["y"][1:-2]
                return 0.5 * xp.mean(e * e * xp.exp(-p["r"])) + 0.5 * p["r"]
            case "garch":
                v, total = d["one"], 0.0
                for t in range(1, steps):
                    v = xp.exp(p["q"]) + ops.sigmoid(p["r"]) * (0.5 * v + 0.5 * d["y"][t - 1] ** 2)
                    total = total + 0.5 * (xp.log(v) + d["y"][t] ** 2 / v)
                return total / steps
            case "two states":
                a, b = p["q"], p["r"]
                for t in range(steps):
                    stay, leave = a + d["y"][t] * p["a"][0], b + d["y"][t] * p["a"][1]
                    a, b = xp.logaddexp(stay, leave - 1), xp.logaddexp(stay - 1, leave)
                return -xp.logaddexp(a, b)
        step = p["T"] if kind == "crf" else ops.log_softmax(p["T"])
        alpha = d["E"][0] @ p["T"]
        for t in range(1, steps):
            alpha = ops.logsumexp(alpha[:, None] + step, 0) + d["E"][t] @ p["T"]
        return ops.logsumexp(alpha, 0) - (xp.sum(d["E"][0] @ p["T"]) if kind == "crf" else 0)

    def parameters(rng: Rng) -> Tree:
        found = {"q": normal(rng), "r": normal(rng)}
        match kind:
            case "matrix kalman":
                return found | {"A": 0.9 * np.eye(n) + normal(rng, n, n, scale=0.1)}
            case "autoregression" | "two states":
                return found | {"a": normal(rng, 2, scale=0.5)}
            case "hidden" | "crf":
                return {"T": normal(rng, n, n)}
        return found

    def data(rng: Rng) -> Tree:
        m = min(2, n)
        return {"y": normal(rng, steps + 3), "Y": normal(rng, steps, m), "H": normal(rng, m, n), "I": np.eye(n),
                "I2": np.eye(m), "E": normal(rng, steps, n), "zero": np.zeros(n), "one": np.array(1.0)}  # fmt: skip

    return Design(parameters, data, loss, kind)


def process(rng: Rng, size: int) -> Design:
    """A Gaussian process by solve and slogdet or by Cholesky; a normal with a factor; factor analysis."""
    kind, rows, features = pick(rng, ["solve", "cholesky", "factor", "analysis"]), few(rng, 9, 2), few(rng, 3)
    n = max(2, min(8, int((2 * size) ** 0.5)))

    def kernel(p: Tree, d: Tree, xp: Any) -> Array:
        apart = (d["X"][:, None, :] - d["X"][None, :, :]) * xp.exp(p["l"])
        smooth = xp.exp(p["s"] - 0.5 * xp.sum(apart * apart, axis=-1))
        return smooth + (xp.exp(p["noise"]) + 2.0**-10) * d["I"]

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        if kind == "factor":
            L = d["strict"] * p["L"] + d["In"] * xp.exp(p["L"])
            white = (d["Z"] - p["m"]) @ L
            return 0.5 * xp.mean(xp.sum(white * white, axis=-1)) - xp.sum(d["In"] * p["L"])
        if kind == "analysis":
            S = p["L"] @ p["L"].T + d["In"] * xp.exp(p["m"])
            return 0.5 * (xp.linalg.slogdet(S)[1] + xp.sum(d["S"] * xp.linalg.inv(S)))
        K = kernel(p, d, xp)
        if kind == "solve":
            return 0.5 * (d["y"] @ xp.linalg.solve(K, d["y"]) + xp.linalg.slogdet(K)[1])
        L = ops.lower(K)
        white = xp.linalg.solve(L, d["y"])
        return 0.5 * xp.sum(white * white) + xp.sum(d["I"] * xp.log(L + 1 - d["I"]))

    def parameters(rng: Rng) -> Tree:
        if kind in ("factor", "analysis"):
            return {"L": normal(rng, n, n, scale=0.5), "m": normal(rng, n)}
        return {"l": normal(rng, features, scale=0.5), "s": normal(rng), "noise": normal(rng) - 1}

    def data(rng: Rng) -> Tree:
        Z = normal(rng, 12, n)
        return {"X": normal(rng, rows, features), "y": normal(rng, rows), "I": np.eye(rows), "In": np.eye(n),
                "strict": np.tril(np.ones((n, n)), -1), "Z": Z, "S": Z.T @ Z / 12}  # fmt: skip

    return Design(parameters, data, loss, kind)


def physics(rng: Rng, size: int) -> Design:
    """Steps of a differential equation, or the energy of some bodies."""
    kind = pick(rng, ["lotka", "pendulum", "neural", "springs", "lennard", "diffusion"])
    steps, n = few(rng, 4), max(2, min(30, size // 2))

    def rk4(f: Any, x: Array, h: float) -> Array:
        k1 = f(x)
        k2 = f(x + 0.5 * h * k1)
        k3 = f(x + 0.5 * h * k2)
        return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + f(x + h * k3))

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        if kind in ("springs", "lennard"):
            apart = p["x"][:, None, :] - p["x"][None, :, :]
            square = xp.sum(apart * apart, axis=-1) + d["I"]
            if kind == "springs":
                return 0.5 * xp.sum(d["off"] * (xp.sqrt(square) - 1) ** 2)
            inverse = 1 / (square + 0.25) ** 3
            return 2 * xp.sum(d["off"] * (inverse * inverse - inverse))
        x = d["start"] + 0 * p["x"][0]
        for _ in range(steps):
            match kind:
                case "lotka":
                    rates = xp.exp(xp.stack([p["a"], -p["b"]]))
                    x = rk4(lambda x, r=rates: x * (r - xp.stack([x[1], -x[0]])), x, 0.0625)
                case "pendulum":
                    x = rk4(lambda x: xp.stack([x[1], -xp.exp(p["a"]) * xp.sin(x[0]) - p["b"] * x[1]]), x, 0.125)
                case "neural":
                    x = rk4(lambda x: xp.tanh(p["W"] @ x), x, 0.25)
                case "diffusion":
                    x = x + xp.exp(p["a"] - 2) * (xp.roll(x, 1) - 2 * x + xp.roll(x, -1)) + 0.25 * p["b"] * x * (1 - x)
        return xp.mean((x - d["y"]) ** 2)

    m = n if kind in ("neural", "diffusion") else 2

    def parameters(rng: Rng) -> Tree:
        if kind in ("springs", "lennard"):
            return {"x": normal(rng, n, 3)}
        return {"x": normal(rng, 1), "a": normal(rng, scale=0.5), "b": normal(rng, scale=0.5)} | (
            {"W": normal(rng, n, n, scale=n**-0.5)} if kind == "neural" else {}
        )

    return Design(
        parameters,
        lambda rng: {"start": rng.uniform(0.5, 1.5, m), "y": normal(rng, m), "I": np.eye(n), "off": 1 - np.eye(n)},
        loss,
        f"{kind}, {steps} steps",
    )


def curves(rng: Rng, size: int) -> Design:
    """Curves that are fitted: doses, growth, decays, waves, saturation."""
    kind = pick(rng, ["hill", "gompertz", "decays", "waves", "michaelis", "weibull", "bradley"])
    n, rows = max(1, min(size // 3, 12)), few(rng, 40, 3)

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        x, (a, b, c) = d["x"][:, None], (p["a"], p["b"], p["c"])
        match kind:
            case "hill":
                h, half = xp.exp(b), xp.exp(c)
                z = a * x**h / (half**h + x**h)
            case "gompertz":
                z = a * xp.exp(-xp.exp(b - xp.exp(0.5 * c) * x))
            case "decays":
                z = a * xp.exp(-xp.exp(b) * x) + c
            case "waves":
                z = a * xp.sin(b * x + c)
            case "michaelis":
                z = xp.exp(a) * x / (xp.exp(b) + x) + c
            case "weibull":
                z = a * (1 - xp.exp(-((x / xp.exp(c)) ** xp.exp(0.5 * b))))
            case _:
                z = ops.sigmoid(a - b) * x + c
        return ops.mse(xp.sum(z, axis=-1), d["y"])

    return Design(
        lambda rng: {name: normal(rng, n, scale=0.7) for name in "abc"},
        lambda rng: {"x": rng.uniform(0.1, 4, rows), "y": normal(rng, rows)},
        loss,
        kind,
    )


def factors(rng: Rng, size: int) -> Design:
    """A table as a product of two, where it is known; as probabilities; non-negative."""
    rank, kind = few(rng, 4), pick(rng, ["masked", "logistic", "exp", "tucker"])
    rows = max(1, size // (2 * rank))
    columns = max(1, min(rows, 200_000 // max(rows, 1)))

    def loss(p: Tree, d: Tree, xp: Any, ops: Any) -> Array:
        if kind == "exp":
            z = xp.exp(0.5 * p["U"]) @ xp.exp(0.5 * p["V"]).T
        elif kind == "tucker":
            z = p["U"] @ p["core"] @ p["V"].T
        else:
            z = p["U"] @ p["V"].T
        if kind == "logistic":
            return ops.bce(z, d["known"])
        return xp.sum(d["known"] * (z - d["R"]) ** 2) + 0.125 * (xp.sum(p["U"] ** 2) + xp.sum(p["V"] ** 2))

    return Design(
        lambda rng: (
            {"U": normal(rng, rows, rank), "V": normal(rng, columns, rank)}
            | ({"core": normal(rng, rank, rank)} if kind == "tucker" else {})
        ),
        lambda rng: {"R": normal(rng, rows, columns), "known": rng.integers(0, 2, (rows, columns)) * 1.0},
        loss,
        kind,
    )


SERIES = {f.__name__: f for f in (recurrent, chaos, states, process, physics, curves, factors)}
