"""What backends share whose arrays are NumPy's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradparity.backends.protocol import Array, HostArray


class HostArrays:
    """Arrays that need not be moved, nor waited for."""

    def configure(self, threads: int) -> None:
        """Nothing to switch: BLAS takes its threads from the environment before NumPy is imported."""

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        return {name: np.array(value) for name, value in tree.items()}

    def view(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        """The arrays themselves: what the host writes into them later is seen."""
        return dict(tree)

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        return {name: np.asarray(value) for name, value in tree.items()}

    def wait(self, result: Any) -> Any:
        return result
