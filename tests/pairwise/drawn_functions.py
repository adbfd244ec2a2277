"""Functions of one number with a derivative known in closed form: smooth, badly scaled, noisy, far from their scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Drawn:
    """``function(t)``, its derivative at 0, and the relative noise that it was given."""

    function: Callable[[float], float]
    derivative: float
    noise: float
    name: str


def noise_at(t: float, seed: int) -> float:
    """A standard normal number that depends on t's bits alone: a function with noise is still a function."""
    return float(np.random.default_rng([int(np.float64(t).view(np.uint64)), seed]).standard_normal())


def draw(seed: int) -> Drawn:
    """A sum of two terms, each of its own size and scale, times a unit of output, plus noise; seeded."""
    rng = np.random.default_rng([seed, 11])
    terms = [_term(rng) for _ in range(2)]
    unit, offset = 10.0 ** rng.uniform(-8, 8), rng.choice([0.0, 0.0, 1.0, 1e3])
    noise = float(rng.choice([0.0, 0.0, 1e-12, 1e-8]))
    slope = unit * math.fsum(d for _, _, d in terms)

    def function(t: float) -> float:
        value = unit * (offset + sum(f(t) for _, f, _ in terms))
        return value * (1 + noise * noise_at(t, seed)) if noise else value

    return Drawn(function, slope, noise, f"{seed}: {' + '.join(name for name, _, _ in terms)}, noise {noise}")


def _term(rng: np.random.Generator) -> tuple[str, Callable[[float], float], float]:
    """Name, function and derivative at 0 of one term ``a g(b + r t)``."""
    a, b, r = float(rng.normal()), float(rng.uniform(0.2, 2.0)), float(rng.normal() * 10.0 ** rng.uniform(-2, 3))
    kinds: list[tuple[str, Callable[[float], float], Callable[[float], float]]] = [
        ("sin", math.sin, math.cos),
        ("tanh", math.tanh, lambda x: 1 / math.cosh(x) ** 2),
        ("softplus", lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0.0), lambda x: 1 / (1 + math.exp(-x))),
        ("log", lambda x: math.log(x) if x > 0 else math.nan, lambda x: 1 / x),
        ("rational", lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
        ("fourth power", lambda x: x**4, lambda x: 4 * x**3),
        ("gaussian", lambda x: math.exp(-x * x), lambda x: -2 * x * math.exp(-x * x)),
    ]
    name, g, slope = kinds[int(rng.integers(len(kinds)))]
    return f"{a:.3g} {name}({b:.3g} + {r:.3g} t)", lambda t: a * g(b + r * t), a * r * slope(b)
