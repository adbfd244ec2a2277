"""A program of any language as a backend: it is asked for loss and gradient in JSON, one line each way.

``{"protocol": 1, "evaluate": "value_and_gradient", "model": {...}, "dtype": "float64", "params": {...},
"constants": {...}, "data": {...}}`` is answered with ``{"loss": 0.5, "gradient": {...}}`` or ``{"error": "words"}``.
What else a program can be asked for its answer says: ``"can": ["jvp", "hvp", "echo"]``; of the rest nothing is asked.
Arrays are nested lists in C order and scalars numbers. Numbers are shortest decimals that round-trip, so that every bit
travels; ``NaN``, ``Infinity`` and ``-Infinity`` stand as Python's ``json`` writes them, and an answer may have them as
strings. See docs/howto/external_program.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from gradparity.backends.asked_by_line import AskedByLine, ProgramFailed, files_of, quoted
from gradparity.backends.host_arrays import HostArrays, descend
from gradparity.backends.protocol import Array, Data, HostArray, Params
from gradparity.model_spec.spec import Logistic, UserSpec, to_dict

PROTOCOL = 1
#: Bytes that an answer may have: for each number, and beside them.
NUMBER_BYTES, OTHER_BYTES = 64, 2**20
_NO_NUMBER = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "infinity": math.inf, "-infinity": -math.inf}


class AnsweredLoss:
    """The loss of a model as the program computes it: called, it is the loss, and its methods are the derivatives."""

    #: Whether the program computes the gradient too whenever it is asked for the loss.
    gives_both = True
    #: Why it is not asked for a derivative more.
    lacks = 'the program does not say "can": ["{}"]'

    def __init__(self, program: AskedByLine, spec: Logistic | UserSpec, can: set[str]) -> None:
        self.program, self.spec, self.can = program, spec, can
        model = {k: v for k, v in to_dict(spec).items() if k not in ("dtype", "block_bytes", "parameters", "forms")}
        self._about = {"model": model, "dtype": spec.dtype}
        self._most = OTHER_BYTES + NUMBER_BYTES * (spec.size + 1)
        self._written: tuple[Data | None, str] = None, ""

    def __call__(self, params: Params, data: Data) -> Array:
        return self.value_and_gradient(params, data)[0]

    value = __call__

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        """Loss and gradient, each in its parameter's dtype.

        Raises:
            ProgramFailed: the program said that it cannot, or answered what is not that.
            ProgramLost: it ended, or answered what is no answer.
        """
        answer = self._asked("value_and_gradient", params, data)
        found, line = answer
        if "loss" not in found or not isinstance(found.get("gradient"), dict):
            raise ProgramFailed(f"the program answers without a loss and a gradient by name: {quoted(line)}")
        can = found.get("can", [])
        if not (isinstance(can, list) and all(isinstance(word, str) for word in can)):
            got = quoted(json.dumps(can).encode())
            raise ProgramFailed(f"the program's can: got {got}, expected a list of words, such as jvp, hvp and echo")
        self.can.update(can)
        return self._scalar("loss", answer), self._by_name("gradient", answer)

    def jvp(self, params: Params, data: Data, tangents: Params) -> Array:
        """The directional derivative, of a program that can."""
        return self._scalar("jvp", self._more("jvp", params, data, tangents))

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        """The Hessian-vector product, of a program that can."""
        return self._by_name("hvp", self._more("hvp", params, data, tangents))

    def require_timed(self) -> None:
        """See that the way of the numbers can be timed by itself, or nobody knows what of a step is the program's.

        Raises:
            ProgramFailed: it cannot.
        """
        if "echo" not in self.can:
            raise ProgramFailed(
                'it is not timed: the program does not say "can": ["echo"], and how much of a step is the way of its '
                "numbers through the pipe is not known. gradparity check takes it"
            )

    def communicate(self, params: Params, data: Data) -> tuple[Array, Params]:
        """The way of the numbers alone: the question of a step, answered with its own parameters in a gradient's place.

        Raises:
            ProgramFailed: they are not those that it was sent.
        """
        answer = self._asked("echo", params, data)
        found = self._by_name("gradient", answer)
        if any(found[name].tobytes() != np.asarray(params[name]).tobytes() for name in found):
            raise ProgramFailed("the program's echo: got other numbers than it was sent, expected the same")
        return self._scalar("loss", answer), found

    def _more(self, what: str, params: Params, data: Data, tangents: Params) -> tuple[dict[str, Any], bytes]:
        """The answer to what not every program can be asked for."""
        if what not in self.can:
            raise NotImplementedError(self.lacks.format(what))
        return self._asked(what, params, data, {"tangents": _lists(tangents)})

    def _asked(
        self, what: str, params: Params, data: Data, more: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], bytes]:
        """The answer to a question, as an object and as it was written."""
        begin = {"protocol": PROTOCOL, "evaluate": what, **self._about, "params": _lists(params), **(more or {})}
        line = self.program.ask(f"{json.dumps(begin)[:-1]}, {self._data(data)}}}".encode(), self._most)
        found = read_object(self.program, line)
        if found.get("error") is not None:
            raise ProgramFailed(f"the program says: {found['error']}")
        return found, line

    def _scalar(self, what: str, answer: tuple[dict[str, Any], bytes]) -> HostArray:
        found, line = answer
        if what not in found:
            raise ProgramFailed(f"the program answers without a {what}: {quoted(line)}")
        return array_of(what, found[what], (), self.spec.dtype, sure=_sure(line))

    def _by_name(self, what: str, answer: tuple[dict[str, Any], bytes]) -> Params:
        """Arrays shaped like the parameters, by their names."""
        found, line = answer
        tree = found.get(what)
        if not isinstance(tree, dict):
            raise ProgramFailed(f"the program answers without {what} by name: {quoted(line)}")
        lacking = [name for name in self.spec.shapes if name not in tree]
        unknown = [name for name in tree if name not in self.spec.shapes]
        if lacking or unknown:
            said = [*(f"none of {name}" for name in lacking), *(f"one of {name}" for name in unknown)]
            expected = ", ".join(self.spec.shapes)
            raise ProgramFailed(f"the program's {what}: got {' and '.join(said)}, expected those of {expected}")
        return {
            name: array_of(f"{what} of {name}", tree[name], shape, self.spec.dtypes[name], sure=_sure(line))
            for name, shape in self.spec.shapes.items()
        }

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        return descend(self.value_and_gradient, params, data, steps, learning_rate)

    def _data(self, data: Data) -> str:
        """Constants and data as JSON without its braces: written once for the many calls with the same."""
        if self._written[0] is not data:
            constants: Mapping[str, str] = {}
            rest: dict[str, Any] = dict(data)
            if isinstance(self.spec, UserSpec):
                constants = self.spec.constants
                rest = {k: v for k, v in rest.items() if k not in constants.values()} | self.spec.plain_data
            parts = {"constants": {path: data[name] for path, name in constants.items()}, "data": rest}
            written = json.dumps({name: _lists(tree) for name, tree in parts.items()})[1:-1]
            self._written = data, written
        return self._written[1]


def read_object(program: AskedByLine, line: bytes) -> dict[str, Any]:
    """An answer as an object.

    Raises:
        ProgramFailed: a name stands twice in it.
        ProgramLost: it is no JSON, or no object.
    """
    try:
        found = json.loads(line.decode(), object_pairs_hook=_once)
    except _Twice as error:
        raise ProgramFailed(f"the program answers with two of {error}: {quoted(line)}") from None
    except (ValueError, RecursionError):
        raise program.broken(f"answers with what is no JSON: {quoted(line)}") from None
    if not isinstance(found, dict):
        raise program.broken(f"answers with what is no JSON object: {quoted(line)}")
    return found


class _Twice(Exception):
    """A name stands twice in an object, of which JSON's readers keep one."""


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return found


def _sure(line: bytes) -> bool:
    """Whether there is no truth value among the numbers, which NumPy takes for 1 and 0."""
    return b"true" not in line and b"false" not in line


def _lists(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in tree.items()}


def array_of(what: str, value: Any, shape: tuple[int, ...], dtype: str, *, sure: bool) -> HostArray:
    """Nested lists as an array, rounded to its dtype.

    Raises:
        ProgramFailed: they hold something else than numbers, or have another shape.
    """
    try:
        found = np.array(value)
    except (ValueError, OverflowError):  # a list that is longer than another
        found = np.array(value, object)
    if found.dtype.kind not in "iuf" or not sure:
        entries = np.array(value, object)
        found = np.array([_number(what, each) for each in entries.ravel()]).reshape(entries.shape)
    if found.shape != shape:
        raise ProgramFailed(f"the program's {what}: got shape {found.shape}, expected {shape}")
    with np.errstate(over="ignore"):
        return found.astype(dtype)


def _number(what: str, value: Any) -> float:
    if isinstance(value, str) and value.lower() in _NO_NUMBER:
        return _NO_NUMBER[value.lower()]
    if type(value) is int or type(value) is float:
        with suppress(OverflowError):
            return float(value)
    got = quoted(json.dumps(value).encode())
    raise ProgramFailed(f"the program's {what}: got {got}, expected numbers in lists of one length")


class ExternalProgram(HostArrays):
    """A program behind the protocol of the others: started by ``configure``, asked until the worker ends."""

    #: Variables of a worker that it does not get.
    without: tuple[str, ...] = ()

    def __init__(self, command: Sequence[str]) -> None:
        self.command = tuple(command)
        self._can: set[str] = set()
        self._asked: AskedByLine

    def configure(self, threads: int) -> None:
        """Start it: its libraries take their threads from the environment.

        Raises:
            ProgramFailed: it cannot be started.
        """
        self._asked = AskedByLine(self.command, self.without)

    @property
    def process_id(self) -> int:
        """Of the process that does the work, so that its CPU time counts."""
        return self._asked.process_id

    def versions(self) -> dict[str, str]:
        return files_of(self.command)

    def loss(self, spec: Logistic | UserSpec) -> AnsweredLoss:
        return AnsweredLoss(self._asked, spec, self._can)

    user_loss = loss

    def program(self, loss: AnsweredLoss) -> AnsweredLoss:
        return loss
