"""NumPy: values only, since nothing is differentiated."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gradparity.backends.protocol import Array, Data, Loss, Params, Sink


def context(sink: Sink) -> AbstractContextManager[Any]:
    """Nothing to arrange."""
    return nullcontext()


def probe(sink: Sink, name: str, value: Any) -> Any:
    """The value itself, reported."""
    sink.value(name, np.asarray(value))
    return value


def pull_back(loss: Loss, params: Params, data: Data) -> tuple[Array, None]:
    """The loss, and no backward pass."""
    return loss(params, data), None
