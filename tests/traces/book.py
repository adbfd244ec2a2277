"""A journal that keeps everything, with the source text of each place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gradparity.backends.traces import Step
from tests.conftest import configured


class Book:
    """What one evaluation was told to have computed; the user's files are the ones in ``root``."""

    def __init__(self, root: str, most: int = 10**6) -> None:
        self.root, self.most = root, most
        self.names: dict[int, str] = {}
        self.steps: list[Step] = []
        self.values: list[Any] = []
        self.cotangents: dict[int, Any] = {}

    def inside(self, file: str) -> bool:
        return file.startswith(self.root)

    def leaf(self, name: str, value: Any) -> int:
        self.names[len(self.values)] = name
        return self.result(Step("", ()), value)

    def result(self, step: Step, value: Any) -> int:
        assert isinstance(value, np.ndarray)
        assert all(0 <= number < len(self.values) for number in step.inputs)
        if len(self.values) == self.most:
            return -1
        self.steps.append(step)
        self.values.append(value)
        return len(self.values) - 1

    def cotangent(self, number: int, cotangent: Any) -> None:
        assert number not in self.cotangents
        assert cotangent.shape == self.values[number].shape
        self.cotangents[number] = cotangent

    def calls(self) -> list[tuple[str, str]]:
        """The operation and the source text of every result of a call, in order."""
        return [(step.operation, text_of(step)) for step in self.steps if step.operation and not step.part]

    def of(self, operation: str, nth: int = 0) -> int:
        """The number of the nth result of an operation, parts included."""
        return [number for number, step in enumerate(self.steps) if step.operation == operation][nth]


def text_of(step: Step) -> str:
    """The source text at a step's place."""
    place = step.place
    if not place.file:
        return ""
    lines = Path(place.file).read_bytes().splitlines(keepends=True)[place.line - 1 : place.end_line]
    lines[-1] = lines[-1][: place.end_column]
    lines[0] = lines[0][place.column :]
    return b"".join(lines).decode()


def recorded(name: str, loss: Any, params: Any, data: Any, root: str) -> Book:
    """A loss of a backend, recorded at host arrays."""
    backend, book = configured(name), Book(root)
    backend.recorder().record(loss, backend.put(params), backend.put(data), book)
    return book
