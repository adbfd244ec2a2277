"""Names that NumPy lacks; SciPy has the special functions, and is imported when one of them is called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from gradparity.backends.names.composed import others
from gradparity.backends.names.elementary import activations, gelu


def scipys(name: str) -> Callable[..., Any]:
    """A function of ``scipy.special``."""

    def function(*args: Any) -> Any:
        return getattr(import_module("scipy.special"), name)(*args)

    return function


erf, expit = scipys("erf"), scipys("expit")

NAMES: dict[str, Any] = {
    **activations(np, expit, lambda x: x),
    **{name: scipys(name) for name in (
        "beta", "betaln", "digamma", "entr", "erf", "erfc", "erfinv", "gammaln", "i0", "i0e", "i1", "i1e", "log_ndtr",
        "logit", "ndtr", "ndtri", "polygamma", "xlog1py", "xlogy",
    )},
    "cumlogsumexp": lambda x, axis=-1: np.logaddexp.accumulate(x, axis),
    "gelu": gelu(np, erf), "segment_sum": others(np)["segment_sum"],
}  # fmt: skip
