"""Every result on the way to a loss with the line that made it, one file a framework; nothing here imports one.

Unlike taps these need nothing in the user's code. A recorder evaluates a loss once, operation by operation, and tells
a `Journal` each result in the order in which they are computed, then each one's cotangent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple, Protocol

from gradparity.backends.protocol import Data, HostArray, Loss, Params


class Place(NamedTuple):
    """Where in the user's code an operation was called: lines count from 1, columns (of UTF-8 bytes) from 0.

    The span is the expression that was being evaluated, of several lines maybe. ``caller`` is the line of the user's
    code that called the function it is in, file and line, where there is one.
    """

    file: str = ""
    line: int = 0
    end_line: int = 0
    column: int = 0
    end_column: int = 0
    caller: tuple[str, int] = ("", 0)


NOWHERE = Place()
#: Layers around a function that are looked beneath.
MOST_WRAPPED = 8


class Step(NamedTuple):
    """An operation whose result a journal is told.

    ``operation`` is what the framework calls it (``layer_norm``, ``dot_general``). ``inputs`` are the numbers that the
    journal gave to what it reads, in their order; what is no recorded array (a Python number) has none. ``module`` is
    the path of the module that called it, ``layers.3.norm``, where there is one. ``part``: it is a step within one call
    of the framework's, such as the variance in a layer norm, and has that call's place. ``rule``: the lines of the
    user's function by which the result is differentiated, where there is one.
    """

    operation: str
    inputs: tuple[int, ...]
    place: Place = NOWHERE
    module: str = ""
    part: bool = False
    rule: Place = NOWHERE


class Journal(Protocol):
    """What takes the record of one evaluation. Arrays are host arrays, kept as they are: give it copies."""

    def inside(self, file: str) -> bool:
        """Whether a file is the user's own."""

    def leaf(self, name: str, value: HostArray) -> int:
        """A parameter or an array of the data, by its flat name; returns its number."""

    def result(self, step: Step, value: HostArray) -> int:
        """A result, in the order of evaluation; returns its number."""

    def cotangent(self, number: int, cotangent: HostArray) -> None:
        """The whole derivative of the loss by that result, of its shape; none is told where it is zero by structure."""


class Recorder(Protocol):
    """How a framework's evaluation is recorded. A backend that has it returns it from a method ``recorder()``."""

    def record(self, loss: Loss, params: Params, data: Data, journal: Journal) -> None:
        """Evaluate a loss at arrays of the framework, and its gradient by the parameters, into a journal.

        Raises:
            Exception: whatever the loss raises; what was told until then stands.
        """


def place_of_caller(inside: Callable[[str], bool]) -> Place:
    """The innermost call in the user's code that led here; `NOWHERE` without one."""
    frame = _innermost(sys._getframe(1), inside)
    if frame is None:
        return NOWHERE
    outer = _innermost(frame.f_back, inside)
    caller = ("", 0) if outer is None else (outer.f_code.co_filename, outer.f_lineno)
    return place_of_frame(frame)._replace(caller=caller)


def _innermost(frame: FrameType | None, inside: Callable[[str], bool]) -> FrameType | None:
    while frame is not None and not inside(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def place_of_frame(frame: Any) -> Place:
    """The expression that a frame is evaluating."""
    code = frame.f_code
    positions = list(code.co_positions())
    line, end_line, column, end_column = positions[frame.f_lasti // 2] if frame.f_lasti >= 0 else (None,) * 4
    line = frame.f_lineno if line is None else line
    return Place(code.co_filename, line, end_line or line, column or 0, end_column or 0)


def place_of_function(function: Any, inside: Callable[[str], bool]) -> Place:
    """The lines of a function of the user's, beneath what it is wrapped in; `NOWHERE` of another."""
    for _ in range(MOST_WRAPPED):
        code = getattr(function, "__code__", None)
        if code is not None and inside(code.co_filename):
            lines = [line for _, _, line in code.co_lines() if line]
            return Place(code.co_filename, code.co_firstlineno, max(lines, default=code.co_firstlineno))
        layers = (getattr(function, name, None) for name in ("__wrapped__", "__func__", "func", "f"))
        function = next((each for each in layers if each is not None), None)
    return NOWHERE
