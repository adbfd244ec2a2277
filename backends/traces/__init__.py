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

    The span is the expression that was being evaluated, of several lines maybe.
    """

    file: str = ""
    line: int = 0
    end_line: int = 0
    column: int = 0
    end_column: int = 0


NOWHERE = Place()


class Step(NamedTuple):
    """An operation whose result a journal is told.

    ``operation`` is what the framework calls it (``layer_norm``, ``dot_general``). ``inputs`` are the numbers that the
    journal gave to what it reads, in their order; what is no recorded array (a Python number) has none. ``module`` is
    the path of the module that called it, ``layers.3.norm``, where there is one. ``part``: it is a step within one call
    of the framework's, such as the variance in a layer norm, and has that call's place.
    """

    operation: str
    inputs: tuple[int, ...]
    place: Place = NOWHERE
    module: str = ""
    part: bool = False


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
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not inside(frame.f_code.co_filename):
        frame = frame.f_back
    return NOWHERE if frame is None else place_of_frame(frame)


def place_of_frame(frame: Any) -> Place:
    """The expression that a frame is evaluating."""
    code = frame.f_code
    positions = list(code.co_positions())
    line, end_line, column, end_column = positions[frame.f_lasti // 2] if frame.f_lasti >= 0 else (None,) * 4
    line = frame.f_lineno if line is None else line
    return Place(code.co_filename, line, end_line or line, column or 0, end_column or 0)
