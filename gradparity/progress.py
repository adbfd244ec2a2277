"""How far a long piece of work is, told to who watches the process that does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

#: Takes what is counted, how many are done, and of how many; 0 where nobody knows.
Listener: TypeAlias = Callable[[str, int, int], None]

#: Seconds between two reports: a line on a screen is read no faster.
EVERY_S = 1.0
#: What is done where nothing is counted, and the rest are the seconds that all of it may take.
EXPECTED = -1


class Tally(NamedTuple):
    """How far many jobs are: done, those among them that disagree and that failed, all, and how many at once.

    ``workers`` is 0 before the first begins: those that are done then, earlier sessions did.
    """

    done: int = 0
    disagree: int = 0
    failed: int = 0
    of: int = 0
    workers: int = 0


class _State:
    listener: Listener | None = None
    told_s = 0.0


def advance(what: str, done: int, of: int = 0) -> None:
    """Say how many are done of what is counted, ``advance("draws", 3, 32)``: heard once in `EVERY_S`, for nothing else.

    A call that is not heard takes a tenth of a microsecond: loops of numerical steps may have one.
    """
    if _State.listener is not None:
        now_s = time.monotonic()
        if now_s - _State.told_s >= EVERY_S:
            _State.told_s = now_s
            _State.listener(what, done, of)


def expect(what: str, seconds: float) -> None:
    """Say how long what follows is going to take, about: ``expect("795,010 parameters", 40.0)``."""
    if _State.listener is not None:
        _State.listener(what, EXPECTED, round(seconds))


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Have a listener told of what is done within; one at a time in a process."""
    before, _State.listener = _State.listener, listener
    _State.told_s = time.monotonic()
    try:
        yield
    finally:
        _State.listener = before
