"""What of an answer is known is sent ahead of it, so that a failure later on does not take it along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from gradparity.backends.protocol import Backend
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


def give_first(backend: Backend, answer: Any) -> None:
    """Send the loss and the gradient of a first call; what is the matter with another answer the evaluation says."""
    with suppress(Exception):
        value, gradient = answer
        give({"loss": backend.get({"": value}), "gradient": backend.get(gradient)})
