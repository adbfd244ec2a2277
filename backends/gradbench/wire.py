"""How an evaluation of GradBench has its inputs and outputs in JSON: most of them by their names in the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, TypeAlias

import numpy as np

from gradparity.backends.protocol import HostArray
from gradparity.model_spec.errors import InputError

Arrays: TypeAlias = Mapping[str, HostArray]
#: What a message has: numbers in lists, or such by name.
Tree: TypeAlias = Any


class Wire:
    """The usual form: an object with parameters and data by name, answered with a number, and with a list.

    Attributes:
        primal: name of the function that gives the loss.
        derivative: name of the one that gives its gradient.
        params: number of dimensions of each parameter that is in the input.
        data: the same of the data.
        curvature: whether ``derivative`` takes the Hessian's diagonal too, which is all that it has.
        vector: the parameter in which the loss is linear, where ``primal`` gives a vector and not the loss: this is the
            gradient in that parameter.
        loops: whether the loss is a loop as long as its data.
    """

    primal, derivative = "primal", "gradient"
    params: ClassVar[Mapping[str, int]] = {"x": 1}
    data: ClassVar[Mapping[str, int]] = {}
    curvature = loops = False
    vector = ""

    def written(self, params: Arrays, data: Arrays) -> Tree:
        """The input of both functions."""
        return {name: value.tolist() for name, value in {**params, **data}.items()}

    def read(self, given: Tree) -> tuple[dict[str, HostArray], dict[str, HostArray]]:
        """Parameters and data of an input, float64; counts are whole numbers.

        Raises:
            InputError: it lacks something, or has it in another shape.
        """
        if not isinstance(given, dict):
            raise InputError("input", got=shown(given), expected="an object")
        params, data = ({n: array(given, n, d) for n, d in names.items()} for names in (self.params, self.data))
        return params, data

    def answer(self, gradient: Arrays, curvature: Arrays) -> Tree:
        """What ``derivative`` gives, as arrays; ``curvature`` is empty unless asked for."""
        return gradient["x"]

    def primal_shape(self, params: Arrays) -> tuple[int, ...]:
        """Shape of what ``primal`` gives."""
        return ()

    def shapes(self, params: Arrays) -> Tree:
        """Shape of what ``derivative`` gives, or shapes by name."""
        return params["x"].shape

    def understood(self, primal: HostArray, answer: Tree, params: Arrays, data: Arrays) -> tuple[HostArray, Arrays]:
        """Loss and gradient from what both functions have given, in the shapes above.

        Raises:
            InputError: these parameters are none that it can be asked about.
        """
        return primal, {"x": answer}


def size(rng: np.random.Generator, even: int, odd: int) -> int:
    """One of two sizes, by whether the seed of a stream is even: what draws from another stream has the same.

    It is not drawn, so that of two seeds in a row each has another.
    """
    return odd if int(np.ravel(rng.bit_generator.seed_seq.entropy)[0]) % 2 else even  # type: ignore[attr-defined]


def array(given: Mapping[str, Any], name: str, dimensions: int) -> HostArray:
    """An array of an input, float64.

    Raises:
        InputError: it is not there, or no finite numbers in lists of one length, so deep.
    """
    rule, expected = f"input {name}", f"finite numbers in {dimensions} dimensions" if dimensions else "a finite number"
    if name not in given:
        raise InputError(rule, got="none", expected=expected)
    found = np.array(None, "float64")
    with suppress(ValueError, OverflowError):  # lists of other lengths; whole numbers beyond float64
        entries = np.array(given[name], object)  # in which a truth value is none of the numbers beside it
        if all(type(each) in (int, float) for each in entries.ravel()):
            found = entries.astype("float64")
    if found.ndim != dimensions or not np.all(np.isfinite(found)):
        raise InputError(rule, got=shown(given[name]), expected=expected)
    return found


def count(given: Mapping[str, Any], name: str, least: int, most: int = 10**7) -> int:
    """A whole number of an input.

    Raises:
        InputError: it is not there, or not between the two.
    """
    value = given.get(name)
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"input {name}", got=shown(value), expected=f"a whole number from {least} to {most}")
    return value


def require_shape(name: str, value: HostArray, shape: tuple[int, ...]) -> None:
    """Raises InputError where an array of an input has another shape."""
    if value.shape != shape:
        raise InputError(f"input {name}", got=f"shape {value.shape}", expected=f"{shape}")


def shown(value: Any) -> str:
    """A value of an input, for a message: long ones by their kind."""
    kinds = {dict: "an object", list: "a list", type(None): "null"}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return kinds.get(type(value)) or repr(value)[:60]
