"""What of an answer is known is sent ahead of it, so that a failure later on does not take it along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from gradparity.backends.protocol import Backend
from gradparity.model_spec.errors import InputError
from gradparity.worker.wire import Arrays, Part


class _State:
    send: Callable[[Part], None] | None = None


def give(quantities: Mapping[str, Arrays], begun: str = "") -> None:
    """Send quantities that are known, and what is asked for next, in words; nowhere but in a worker."""
    if _State.send is not None:
        _State.send(Part(dict(quantities), begun))


@contextmanager
def sent_by(send: Callable[[Part], None]) -> Iterator[None]:
    """Have what is given within sent; by one at a time in a process."""
    before, _State.send = _State.send, send
    try:
        yield
    finally:
        _State.send = before


def require_real(quantities: Mapping[str, Arrays]) -> None:
    """Refuse what nobody can judge: all but whole numbers, and floats that a message can hold.

    Raises:
        InputError: a block is of another dtype.
    """
    for quantity, tree in quantities.items():
        for name, value in tree.items():
            dtype = value.dtype
            narrow = dtype.kind == "V" and dtype.names is None  # bfloat16 and its like
            if not narrow and (dtype.kind not in "fiu" or dtype.itemsize > np.dtype(np.float64).itemsize):
                expected = "float64, float32 or a narrower float"
                raise InputError(f"{quantity} {name}".rstrip(), got=f"an array of dtype {dtype}", expected=expected)


def give_first(backend: Backend, answer: Any) -> None:
    """Send the loss and the gradient of a first call; what is the matter with another answer the evaluation says."""
    with suppress(Exception):
        value, gradient = answer
        found = {"loss": backend.get({"": value}), "gradient": backend.get(gradient)}
        require_real(found)
        give(found)
