"""A neutral loss in extended precision with every result told to a journal: who asked for what, at which line.

What the user calls (a name of ``xp``, an operator, an index) is a step, and the primitives that it is made of are parts
of that step. Extended precision proves nothing: its numbers are right to rounding in all that is not ill-conditioned.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradparity.backends.protocol import HostArray
from gradparity.backends.traces import Journal, Place, Step, place_of_caller
from gradparity.model_spec.trees import leaves, map_tree
from gradparity.truth.derivatives.inputs import Loss, constant, evaluated, lines_of
from gradparity.truth.derivatives.reverse import back, coefficient
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import extended
from gradparity.truth.numbers.context import Context, Ties, evaluation
from gradparity.truth.numbers.tape import Node, Traced, parameter
from gradparity.truth.xp.namespace import FUNCTIONS, Namespace, xp

#: What a user calls of an array without a name of the namespace, and what that is called.
_OF_ARRAYS = {"__getitem__": "getitem", "T": "transpose", "mT": "matrix_transpose", "__gradparity_stop__": "stop"}


def record(
    loss: Loss,
    params: Any,
    data: Any,
    journal: Journal,
    *,
    number: type[np.floating[Any]] = np.longdouble,
    deadline: float | None = None,
) -> int:
    """Evaluate a neutral loss and its gradient into a journal, as float64.

    Args:
        loss: neutral loss ``loss(params, data, xp)``.
        params: tree of host arrays.
        data: tree of host arrays and plain Python values.
        journal: what is told.
        number: what it computes with.
        deadline: `time.monotonic()` value that it must not pass.

    Returns:
        Numbers that were computed, terms of sums and products counted.

    Raises:
        OutOfTimeError: the deadline passed.
        InputError: the loss is no scalar.
        NotCertifiableError: the loss uses a name without a certified form.
    """
    telling = _Telling(journal)
    context = Context(order=0, extended=True, number=number, ties=Ties(), deadline=deadline)
    with evaluation(context):
        inputs = {path: parameter(Array(line)) for path, line in lines_of(params, None, extended).items()}
        constants = map_tree(lambda _, leaf: constant(leaf), data)
        for name, value in (*inputs.items(), *leaves(constants)):
            if isinstance(value, Array):
                telling.leaf(name, value)
        with telling.listening() as namespace:
            result = evaluated(loss, params, inputs, constants, namespace)
        if isinstance(result, Traced):
            back(result, telling.arrives)
    return context.cells


class _Telling:
    """What has been told, and what stands in for the namespace while it is."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no other gets its identity
        self._within = False

    def leaf(self, name: str, value: Array) -> None:
        """Tell a parameter, or an array of the data."""
        self._number(value, self._journal.leaf(name, _plain(value)))

    def arrives(self, node: Node, adjoint: Array) -> None:
        """Tell the cotangent of a result."""
        number = self._numbers.get(id(node))
        if number is not None:
            self._journal.cotangent(number, np.array(coefficient(adjoint, 0, node.result.shape), np.float64))

    @contextmanager
    def listening(self) -> Iterator[Any]:
        """Operators and methods of arrays tell what they give, and so does the namespace that comes of it."""
        kept = {name: vars(Array)[name] for name in (*_OF_ARRAYS, "functions", "namespace", "__gradparity_functions__")}
        functions = {name: self._telling(name, function) for name, function in FUNCTIONS.items()}
        linalg = {
            name: self._telling(name, function) for name, function in vars(xp.linalg).items() if callable(function)
        }
        members = {name: functions.get(name, member) for name, member in vars(xp).items()}
        namespace = Namespace("xp", members | {"linalg": Namespace("xp.linalg", linalg)})
        replaced: Mapping[str, Any] = {
            "functions": functions,
            "namespace": namespace,
            "__gradparity_functions__": functions,
            **{name: self._method(called, kept[name]) for name, called in _OF_ARRAYS.items()},
        }
        try:
            for name, member in replaced.items():
                setattr(Array, name, member)
            yield namespace
        finally:
            for name, member in kept.items():
                setattr(Array, name, member)

    def _method(self, called: str, member: Any) -> Any:
        if isinstance(member, property):
            return property(self._telling(called, member.fget))  # type: ignore[arg-type]
        return self._telling(called, member)

    def _telling(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            if self._within:
                return function(*args, **options)
            self._within = True
            try:
                result = function(*args, **options)
            finally:
                self._within = False
            self._tell(name, [*args, *options.values()], result)
            return result

        return call

    def _tell(self, name: str, args: list[Any], result: Any) -> None:
        results = [each for _, each in leaves(result) if isinstance(each, Array) and self._known(each) is None]
        if not results:
            return
        place = place_of_caller(self._journal.inside)
        read = [number for number in (self._read(each, place) for _, each in leaves(args)) if number is not None]
        for each in results:
            inputs = read
            if isinstance(each, Traced):
                self._tell_parts(each.node, place)
                own = [self._known(operand) for operand in each.node.operands]
                inputs = [*read, *(number for number in own if number is not None and number not in read)]
            step = Step(name, tuple(inputs), place)
            self._number(each, self._journal.result(step, _plain(each)))

    def _tell_parts(self, last: Node, place: Place) -> None:
        """What a result was made of since what is known."""
        for node in _since(last, self._numbers):
            inputs = tuple(number for number in map(self._known, node.operands) if number is not None)
            self._number(node, self._journal.result(Step(node.rule, inputs, place, part=True), _plain(node.result)))

    def _read(self, value: Any, place: Place) -> int | None:
        """The number of what a call reads; arrays of the user's code itself are told where they are read first."""
        if isinstance(value, Array):
            return self._known(value)
        if not isinstance(value, np.ndarray) or value.ndim == 0 or value.dtype.kind not in "biuf":
            return None
        if id(value) not in self._numbers:
            self._number(value, self._journal.result(Step("constant", (), place), value.copy()))
        return self._numbers[id(value)]

    def _known(self, value: Array) -> int | None:
        return self._numbers.get(id(value.node if isinstance(value, Traced) else value))

    def _number(self, value: Any, number: int) -> None:
        key = value.node if isinstance(value, Traced) else value
        self._numbers[id(key)] = number
        self._kept.append(key)


def _since(last: Node, known: Mapping[int, int]) -> list[Node]:
    """The nodes that lead to one from those known, each after what it is made of."""
    order, seen, stack = list[Node](), {id(last)}, [(last, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
            continue
        stack.append((node, True))
        for operand in reversed(node.operands):
            below = operand.node if isinstance(operand, Traced) else None
            if below is not None and id(below) not in seen and id(below) not in known:
                seen.add(id(below))
                stack.append((below, False))
    return order[:-1]


def _plain(value: Array) -> HostArray:
    """Real numbers as float64, whole ones and booleans as they are."""
    values = value.node.result.series[0] if isinstance(value, Traced) else value.series[0]
    return np.array(values, np.float64) if value.is_real else np.array(values)
