"""What the evaluation under way writes down, if it writes anything down: see `recording`."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np

from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.noise import Values, held_by
from gradparity.truth.numbers.recording import Operation, Recording


class HasSeries(Protocol):
    """An `arrays.Array`, which knows of this module."""

    series: tuple[Values, ...]

    @property
    def is_real(self) -> bool:
        """As there."""


ArrayT = TypeVar("ArrayT", bound=HasSeries)


def noted(operation: Operation, result: ArrayT, *operands: HasSeries) -> ArrayT:
    """`result`, which is this operation on these operands, and may be made again on others."""
    recording = current().recording
    if recording is not None:
        arrays: tuple[HasSeries, ...] = (result, *operands)
        if any(len(x.series) > 1 for x in arrays):
            refuse("a series")
        else:
            recording.note(operation, [result.series[0]], [_real(recording, x) for x in operands])
    return result


def _real(recording: Recording, x: HasSeries) -> Values:
    """A coefficient of an operand; whole numbers that are the same on any input as real ones, which are exact."""
    c = x.series[0]
    if x.is_real or not is_literal(x):
        return c
    numbers: Values = c.astype(np.longdouble)
    recording.literals[recording.new(numbers)] = False
    return numbers


def literal(array: ArrayT, *, of: HasSeries | None = None, rounds: bool = False) -> ArrayT:
    """`array`, which is the same on any input: written in the loss, or a rearrangement of another (`of`) such.

    ``rounds``: a backend rounds it to its dtype.
    """
    recording = current().recording
    if recording is not None and (of is None or is_literal(of)):
        place = recording.new(array.series[0])
        if place in recording.inputs.values():
            refuse("an input that is also a literal")
        recording.literals[place] = rounds
    return array


def is_literal(array: HasSeries) -> bool:
    """Whether it is known to be the same on any input."""
    recording = current().recording
    return recording is not None and recording.place(array.series[0]) in recording.literals


def is_fixed(array: HasSeries) -> bool:
    """The same, and exact in any dtype, so that nothing is rounded."""
    return is_literal(array) and (not array.is_real or held_by("float32", array.series[0]))


def refuse(why: str) -> None:
    """What is computed here depends on the numbers in more than their values: another step may follow on others."""
    recording = current().recording
    if recording is not None:
        recording.refused = recording.refused or why
