"""Which precisions a backend has; in half precision its numbers come and go as float32, which holds them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from gradparity.backends.protocol import Array, Backend, HostArray, NothingToRun
from gradparity.model_spec.spec import Logistic, UserSpec


def in_precision(backend: Backend, spec: Logistic | UserSpec) -> Backend:
    """A backend that computes in a problem's precision: itself, or in half precision as `Halved`.

    Raises:
        NothingToRun: it has no such precision.
    """
    has = getattr(backend, "precisions", None)
    if has is not None and spec.dtype not in has:
        raise NothingToRun(f"it has no {spec.rounding_apart or spec.dtype}, only {' and '.join(has)}")
    return backend if spec.rounding_apart is None else cast("Backend", Halved(backend, spec.rounding_apart))


class Halved:
    """A backend whose real arrays are of a half precision; whatever else it has is as it is.

    What comes back in another dtype than that keeps it: a loss that is added up in float32 may.

    Args:
        backend: that has ``converted``.
        precision: ``bfloat16`` or ``float16``.

    Raises:
        NothingToRun: it has no half precision.
    """

    def __init__(self, backend: Backend, precision: str) -> None:
        if not hasattr(backend, "converted"):
            raise NothingToRun(f"it has no {precision}")
        self._backend, self._precision = backend, precision

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        """As the backend does it, float32 in half precision."""
        found: dict[str, Array] = self.converted(self._backend.put(tree), "float32", self._precision)
        return found

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        """As the backend does it, half precision as float32."""
        return self._backend.get(self.converted(tree, self._precision, "float32"))
