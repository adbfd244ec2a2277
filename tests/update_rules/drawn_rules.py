"""Rules drawn at random, with hyperparameters of any digits, and the paths that they take along random gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.numerics.update_rules.forms import LEVELS, numbers_of
from gradparity.numerics.update_rules.formulas import carry, direction
from gradparity.numerics.update_rules.rules import Form

FORMS = tuple(dict.fromkeys(form for forms, free in LEVELS for form in forms if not free))


def drawn(form: Form, seed: int) -> tuple[dict[str, float], float]:
    """Numbers in the ranges that people use, and a learning rate."""
    rng = np.random.default_rng(seed)
    ranges = {
        "b1": (0.5, 0.95),
        "b2": (0.8, 0.999),
        "decay": (0.7, 0.99),
        "rho": (0.7, 0.95),
        "momentum": (0.3, 0.95),
        "dampening": (0.1, 0.7),
        "weight_decay": (0.005, 0.3),
        "clip": (0.7, 1.2),
        "initial_accumulator_value": (0.01, 1.0),
        "initial_scale": (0.01, 1.0),
        "momentum_decay": (0.004, 0.5),
    }
    numbers = {name: float(rng.uniform(*ranges[name])) for name in numbers_of(form) if name != "eps"}
    if "eps" in numbers_of(form):
        squared = form.eps.startswith("inside") or form.method == "adadelta"
        numbers["eps"] = float(10 ** rng.uniform(-8, -2)) ** (2 if squared else 1)
    return numbers, float(10 ** rng.uniform(-3, -1))


def taken(
    form: Form, numbers: dict[str, float], rates: Any, dtype: str, seed: int, n: int = 40, steps: int = 16
) -> tuple[Any, Any]:
    """A path in ``dtype`` by the rule's formula in that dtype, along gradients that turn and differ in size."""
    rng = np.random.default_rng(seed + 1)
    sizes = 10 ** rng.uniform(-2, 0.3, size=n)
    slow = rng.normal(size=n)
    p = rng.normal(size=n).astype(dtype)
    path, gradients, state = [p], [], {}
    if form.clip.startswith("norm"):  # so that some are clipped, and some are not
        numbers["clip"] *= float(np.sqrt((sizes**2).sum()))
    rates = np.broadcast_to(rates, steps)
    for t in range(1, steps + 1):
        g = (sizes * (0.5 * slow + rng.normal(size=n)) * rng.uniform(0.7, 1.3)).astype(dtype)
        norm = np.sqrt((g.astype(float) ** 2).sum())
        own = {name: np.asarray(value, dtype) for name, value in numbers.items()}
        with np.errstate(all="ignore"):
            drift, u = direction(form, own, g, p, norm, t, state)
            moved = drift + np.asarray(rates[t - 1], dtype) * u
            carry(form, own, moved, state)
        p = (p - moved).astype(dtype)
        gradients.append(g)
        path.append(p)
    return np.array(path), np.array(gradients)
