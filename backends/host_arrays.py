"""What backends share whose arrays are NumPy's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradparity.backends.protocol import Array, Data, HostArray, Params


def descend(
    value_and_gradient: Callable[[Params, Data], tuple[Array, Params]],
    params: Params,
    data: Data,
    steps: int,
    learning_rate: float,
) -> tuple[Array, Params]:
    """Gradient descent as a Python loop: the losses, each before its update, and the final parameters."""
    losses = []
    for _ in range(steps):
        value, gradient = value_and_gradient(params, data)
        losses.append(value)
        params = {name: value - learning_rate * gradient[name] for name, value in params.items()}
    return np.array(losses), params


class HostArrays:
    """Arrays that need not be moved, nor waited for."""

    def configure(self, threads: int) -> None:
        """Nothing to switch: BLAS takes its threads from the environment before NumPy is imported."""

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        return {name: np.array(value) for name, value in tree.items()}

    def moved(self, tree: Mapping[str, Array], values: Mapping[str, HostArray]) -> dict[str, Array]:
        """The same arrays with other values, in place, since somebody may refer to them; a scalar is replaced."""
        found = {}
        for name, value in tree.items():
            found[name] = value if isinstance(value, np.ndarray) and value.flags.writeable else np.array(value)
            np.copyto(found[name], values[name])
        return found

    def view(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        """The arrays themselves: what the host writes into them later is seen."""
        return dict(tree)

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        return {name: np.asarray(value) for name, value in tree.items()}

    def wait(self, result: Any) -> Any:
        return result
