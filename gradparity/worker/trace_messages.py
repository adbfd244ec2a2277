"""What the parent asks a backend's process about taps and operations on the way to a loss, and what that answers."""

from __future__ import annotations

import msgspec

from gradparity.worker.wire import Arrays, Host, Reply, Request


class Recorded(Reply, frozen=True):
    """What one backend's taps saw, keyed ``name#0``, ``name#1``, ... in the order of the forward pass.

    ``values`` are host arrays of the tapped dtype, with the axes of a ``vmap`` in front; ``cotangents`` those of the
    loss, of the same shapes, complex ones as ``dL/d(re) - i dL/d(im)``. A value that the loss does not depend on, or
    that does not depend on the parameters, has no cotangent. The floors, float64 and real, say how far each
    entry moves when every input moves by one ulp; they are empty where nothing was drawn. ``differentiated``: there was
    a backward pass, so that a cotangent which is missing is zero. ``reached``: the first tap that each parameter moves,
    ``""`` where it moves none.
    """

    values: Arrays = msgspec.field(default_factory=dict)
    cotangents: Arrays = msgspec.field(default_factory=dict)
    value_floors: Arrays = msgspec.field(default_factory=dict)
    cotangent_floors: Arrays = msgspec.field(default_factory=dict)
    differentiated: bool = False
    reached: dict[str, str] = msgspec.field(default_factory=dict)


class Record(Request[Recorded], frozen=True):
    """What passes the taps of the loaded problem's loss, forward and backward, and how far rounding moves it."""

    stage = "recording of taps"

    seed: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One result on the way to a loss; see `gradparity.backends.traces.Step`.

    ``name``: what a parameter or an array of the data is called, whose ``operation`` is ``""``. ``values``: float64,
    entries in increasing order (of a large result at even ranks), behind them four sums; in a second row the floor of
    each. ``cotangents`` likewise, ``None`` where none arrives. ``place``: file, line, end line, column, end column.
    ``rule``: file and lines of the user's rule by which it is differentiated, if there is one.
    ``caller``: file and line of the user's that called the function which that is in.
    """

    operation: str
    inputs: list[int]
    place: tuple[str, int, int, int, int]
    caller: tuple[str, int] = ("", 0)
    rule: tuple[str, int, int] = ("", 0, 0)
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
