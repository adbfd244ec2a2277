"""What the parent asks a backend's process about the operations on the way to a loss, and what that answers."""

from __future__ import annotations

import msgspec

from gradparity.worker.wire import Host, Reply, Request


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One result on the way to a loss; see `gradparity.backends.traces.Step`.

    ``name``: what a parameter or an array of the data is called, whose ``operation`` is ``""``. ``values``: float64,
    entries in increasing order (of a large result at even ranks), behind them four sums; in a second row the floor of
    each. ``cotangents`` likewise, ``None`` where none arrives. ``place``: file, line, end line, column, end column.
    """

    operation: str
    inputs: list[int]
    place: tuple[str, int, int, int, int]
    module: str = ""
    part: bool = False
    name: str = ""
    shape: tuple[int, ...]
    dtype: str
    values: Host
    cotangents: Host | None = None


class Traced(Reply, frozen=True):
    """Every recorded result in order, the text of the user's files by path, and what could not be recorded."""

    results: list[Result] = msgspec.field(default_factory=list)
    sources: dict[str, str] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)


class Trace(Request[Traced], frozen=True):
    """Every result on the way to the loaded problem's loss, its line, and how far rounding moves it."""

    stage = "recording of operations"

    seed: int
