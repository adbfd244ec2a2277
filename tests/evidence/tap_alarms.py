"""How far apart correct backends are at their taps: ``python -m tests.evidence.tap_alarms [SECONDS [BACKEND ...]]``.

Draws networks (tanh layers, a log-sum-exp, sums of squares) in both dtypes and prints how many floors the values and
cotangents of any two backends differ by: what ``gradparity.judge.divergence.DIVERGES_FLOORS`` is chosen from.
gradparity is imported inside functions only: this folder is below it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import combinations
from typing import Any

import numpy as np

from gradparity.backends import load, lookup

NAMESPACES = {"numpy": "numpy", "autograd": "autograd.numpy", "torch": "torch", "jax": "jax.numpy"}


def network(xp: Any) -> Any:
    """A classifier's loss in a framework's names, tapped at every step."""
    from gradparity.taps import tap

    def loss(params: Any, data: Any) -> Any:
        h = data["X"]
        for i in range(3):
            h = tap("act", xp.tanh(tap("pre", h @ params[f"W{i}"])))
        z = tap("z", h @ params["V"])
        s = tap("s", (h * h).sum(0))
        most = xp.amax(z, 1)
        q = tap("q", most + xp.log(xp.exp(z - most[:, None]).sum(1)))
        r = tap("r", z - q[:, None])
        return -(r * data["Y"]).sum() / len(data["X"]) + 0.01 * (s * s).sum() ** 0.5

    return loss


def drawn(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and data of up to 400 rows, 40 hidden units and weights scaled by 0.01 to 10."""
    rng = np.random.default_rng(seed)
    dtype = (np.float64, np.float32)[seed % 2]
    rows, features, hidden, classes = (int(rng.integers(1, most)) for most in (400, 30, 40, 6))
    scale, widths = 10.0 ** rng.uniform(-2, 1), [features, hidden, hidden, hidden]
    params = {f"W{i}": scale * rng.normal(size=(widths[i], hidden)) / widths[i] ** 0.5 for i in range(3)}
    params["V"] = rng.normal(size=(hidden, classes))
    data = {"X": rng.normal(size=(rows, features)), "Y": np.eye(classes)[rng.integers(0, classes, rows)]}
    return tuple({name: x.astype(dtype) for name, x in tree.items()} for tree in (params, data))  # type: ignore[return-value]


def apart(names: list[str], seed: int) -> Iterator[float]:
    """Floors between any two backends at every tap, forward and backward."""
    from gradparity.judge.divergence import TapArray, floors_apart
    from gradparity.worker.recording import record

    losses = {name: network(import_module(NAMESPACES[name])) for name in names}
    params, data = drawn(seed)
    seen = {name: record(load(lookup(name).target), losses[name], params, data, seed=seed) for name in names}
    for a, b in combinations(seen.values(), 2):
        for key in a.values:
            for array_of in (TapArray.value, TapArray.cotangent):
                x, y = array_of(a, key), array_of(b, key)
                if x is not None and y is not None and x.given and y.given:
                    yield float(floors_apart(x, y).max(initial=0))


def main() -> None:
    """Draw until the time is over, then print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    names = sys.argv[2:] or ["numpy", "autograd", "torch"]
    for name in names:
        load(lookup(name).target).configure(1)
    seen: list[float] = []
    ended, seed = time.monotonic() + seconds, 0
    with np.errstate(all="ignore"):
        while time.monotonic() < ended:
            seen += apart(names, seed)
            seed += 1
    middle, rare, most = np.quantile(seen, (0.5, 0.999, 1))
    print(
        f"{seed} networks, {len(seen)} blocks, {', '.join(names)}: floors apart {middle:.2f} in the middle, "
        f"{rare:.2f} at 99.9%, {most:.2f} at most"
    )


if __name__ == "__main__":
    main()
