"""Do autograd, JAX and PyTorch compute the same gradient, which one is wrong, and which is fastest here?

Public are the names of ``__all__``; the other modules may change without notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradparity import special
from gradparity.taps import stop, tap
from gradparity.version import __version__

if TYPE_CHECKING:
    from gradparity.api import bench, check, run
    from gradparity.model_spec.errors import InputError
    from gradparity.model_spec.user.weights import weights

__all__ = ["InputError", "__version__", "bench", "check", "run", "special", "stop", "tap", "weights"]


def __getattr__(name: str) -> Any:
    """What the harness needs is imported when it is first used: a model that imports this package is timed."""
    if name == "weights":
        from gradparity.model_spec.user.weights import weights

        return weights
    if name in __all__:
        from gradparity import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is public: rooms that some import has loaded are not."""
    return sorted(__all__)
