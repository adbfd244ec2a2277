"""The steps of one evaluation in extended precision, written down to be made again on other numbers.

A recursion of some hundred steps on a few numbers is thousands of primitives, each a microsecond of NumPy and a hundred
of Python around it. Where a loss is evaluated again and again, along a path, the primitives are written down once, as
what they read and what they make, and `model.replay` goes through them without the Python.

Nothing may be written down that would be other steps on other numbers. Each primitive that may be made again says so
(`notes.noted`); a number that came from anywhere else is not known, and neither is what is made of it. Every array that
comes up has to be known in the end, those of comparisons, which are never noted, among them; and what looks at numbers
without making an array of them refuses (`notes.refuse`). A recording that is refused is used for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradparity.truth.numbers.noise import Values, held_by


@dataclass(frozen=True)
class Elementwise:
    """A ufunc of arrays that are broadcast, rounded or exact."""

    ufunc: np.ufunc
    rounds: bool = True


@dataclass(frozen=True)
class Rearranged:
    """A rearrangement of several arrays: ``function([a, b, ...])``, whatever their elements are."""

    function: Callable[[list[Any]], Any]


@dataclass(frozen=True)
class Computed:
    """Anything else: coefficients in, a sequence of them out, roundings included, as in an ordinary evaluation."""

    function: Callable[..., tuple[Values, ...]]


@dataclass(frozen=True)
class Product(Computed):
    """A matrix product."""


@dataclass(frozen=True)
class Jet:
    """A smooth function and its derivatives, each result rounded once; ``function`` takes `lanes` and gives them."""

    function: Callable[[Any], tuple[Any, ...]]


Operation = Elementwise | Rearranged | Computed | Jet


@dataclass
class Recording:
    """What an evaluation has computed, from what, in order.

    Attributes:
        steps: operation, operands and results, by their places in `values`.
        values: every coefficient that came up, as this evaluation had it.
        inputs: places of parameters and data, by name.
        literals: places of numbers that are the same on any input, and whether the dtype rounds them.
        results: places of what is wanted, by name.
        refused: why this is no recording of a loss, or ``""``.
    """

    steps: list[tuple[Operation, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)
    inputs: dict[Any, int] = field(default_factory=dict)
    literals: dict[int, bool] = field(default_factory=dict)
    results: dict[Any, int] = field(default_factory=dict)
    refused: str = ""
    _places: dict[int, int] = field(default_factory=dict)
    _met: list[Values] = field(default_factory=list)

    def input(self, key: Any, value: Values) -> None:
        """A coefficient that is another one next time."""
        if self.place(value) in self.inputs.values():
            self.refused = self.refused or "one array is several inputs"
        self.inputs[key] = self.new(value)
        self.literals.pop(self.inputs[key], None)

    def result(self, key: Any, value: Values) -> None:
        """What is wanted, which has to be known."""
        if (place := self.place(value)) is None:
            self.refused = self.refused or "a result that is not recorded"
        else:
            self.results[key] = place

    def place(self, value: Values) -> int | None:
        """Where a coefficient stands, by its identity; None of one that is not known."""
        return self._places.get(id(value))

    def new(self, value: Values) -> int:
        """A place for a coefficient, which is kept, so that its identity stays its own."""
        place = self._places.setdefault(id(value), len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place

    def meet(self, value: Values) -> None:
        """An array has come up; it has to be known in the end."""
        self._met.append(value)

    def note(self, operation: Operation, results: list[Values], operands: list[Values]) -> None:
        """A step: what it reads has to be known, and its results are known from now on."""
        places = [self.place(value) for value in operands]
        read = tuple(place for place in places if place is not None)
        if len(read) < len(places):
            self.refused = self.refused or "it is computed from what is not recorded"
        elif any(self.place(value) is None for value in results):
            made = tuple(self.new(value) for value in results)
            self.steps.append((operation, read, made))
            if isinstance(operation, Rearranged) and all(
                place in self.literals and held_by("float32", self.values[place]) for place in read
            ):
                self.literals |= dict.fromkeys(made, False)

    def close(self) -> None:
        """The evaluation is over: refuse it if anything came up that is not known."""
        if any(self.place(value) is None for value in self._met):
            self.refused = self.refused or "an array came up that is not recorded"
        self._met = []
