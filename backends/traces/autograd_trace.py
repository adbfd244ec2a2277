"""HIPS autograd, recorded by nodes of the tape: every primitive of a parameter, or of an array of the data.

The data are put on the tape too, so that what depends on them alone is seen, but no derivative goes there; where that
changes the loss, or it does not run with it, the parameters are alone. What plain NumPy computes is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from autograd.core import VJPNode, add_outgrads, vspace
from autograd.tracer import isbox, new_box, notrace_primitives, trace_stack
from autograd.util import toposort

from gradparity.backends.protocol import Array, Data, HostArray, Loss, Params
from gradparity.backends.traces import Journal, Step, place_of_caller


class Told(NamedTuple):
    """A result that is still to be told; its inputs are places in the list of all, and so are ``value``'s."""

    step: Step
    name: str
    value: HostArray


class Tape:
    """What one evaluation has computed, in order."""

    def __init__(self, inside: Callable[[str], bool]) -> None:
        self.told: list[Told] = []
        self.root = self.node(differentiated=True)  # of the dictionary of all parameters, which autograd boxes as one
        self.params: dict[str, int] = {}
        self.value: Any = None
        self.end: Any = None
        self._inside = inside

    def node(self, *told: int, differentiated: bool) -> Node:
        """A node that the tape starts from."""
        node: Node = Node.new_root()
        node.tape, node.differentiated, node.told, node.own = self, differentiated, told, True
        return node

    def leaf(self, name: str, value: Array) -> int:
        """A parameter or an array of the data; returns its place in the list."""
        self.told.append(Told(Step("", ()), name, np.array(value)))
        return len(self.told) - 1

    def result(self, operation: str, parents: tuple[Node, ...], value: Any, args: Any, kwargs: Any) -> tuple[int, ...]:
        """A primitive's result, array by array, after the values on the way to it."""
        inputs = tuple(i for parent in parents for i in parent.told)
        if operation == "container_take" and isinstance(args[1], int) and args[1] < len(inputs):
            inputs = (inputs[args[1]],)
        step = Step(operation, inputs, place_of_caller(self._inside))
        for name, part in _parts(operation, args, kwargs):
            self.told.append(Told(step._replace(operation=name, part=True), "", np.array(part)))
        first = len(self.told)
        self.told += [Told(step, "", array) for array in _arrays(value)]
        return tuple(range(first, len(self.told)))

    def tell(self, journal: Journal) -> list[int]:
        """Everything, in order; returns the numbers."""
        numbers: list[int] = []
        for step, name, value in self.told:
            inputs = tuple(numbers[i] for i in step.inputs if numbers[i] >= 0)  # a full journal takes no more
            numbers.append(journal.leaf(name, value) if name else journal.result(step._replace(inputs=inputs), value))
        return numbers


class Node(VJPNode):  # type: ignore[misc]
    """autograd's own node, which tells its value. It is differentiated as if the data were on no tape."""

    tape: Tape
    differentiated: bool
    told: tuple[int, ...]
    own: bool  # whether the results are its own, and not a parameter out of the dictionary

    def __init__(
        self, value: Any, fun: Any, args: Any, kwargs: Any, parent_argnums: tuple[int, ...], parents: tuple[Node, ...]
    ) -> None:
        on_way = [i for i, parent in enumerate(parents) if parent.differentiated]
        self.tape, self.differentiated = parents[0].tape, bool(on_way)
        self.parents, self.vjp = (), lambda g: ()
        if on_way:
            argnums = tuple(parent_argnums[i] for i in on_way)
            super().__init__(value, fun, args, kwargs, argnums, tuple(parents[i] for i in on_way))
        self.own = parents[0] is not self.tape.root
        if self.own:
            self.told = self.tape.result(str(getattr(fun, "__name__", fun)).strip("_"), parents, value, args, kwargs)
        else:
            self.told = (self.tape.params[args[1]],)


# What is constant piece by piece is on no tape.
notrace_primitives[Node] = notrace_primitives[VJPNode]


def record(loss: Loss, params: Params, data: Data, journal: Journal) -> None:
    """See `gradparity.backends.traces.Recorder`."""
    alone = Tape(journal.inside)
    try:
        _evaluate(alone, loss, params, data, set())
    except Exception:
        alone.tell(journal)
        raise
    tape = _with_data(alone, loss, params, data, journal.inside)
    numbers = tape.tell(journal)
    reached: set[str] = set()
    for node, cotangent in _cotangents(tape):
        if node is tape.root:
            for name in reached:
                journal.cotangent(numbers[tape.params[name]], np.array(cotangent[name]))
        elif node.own:
            for i, array in zip(node.told, _arrays(cotangent), strict=False):
                if numbers[i] >= 0:
                    journal.cotangent(numbers[i], array)
        else:
            reached.update(name for name, i in tape.params.items() if i in node.told)


def _with_data(alone: Tape, loss: Loss, params: Params, data: Data, inside: Callable[[str], bool]) -> Tape:
    """A tape with the data on it, if that makes no difference."""
    tape = Tape(inside)
    floating = {name for name, x in data.items() if np.asarray(x).dtype.kind in "fc"}
    try:
        _evaluate(tape, loss, params, data, floating)
        same = _bits(tape.value) == _bits(alone.value) and _gradient_bits(tape) == _gradient_bits(alone)
    except Exception:
        return alone
    return tape if same else alone


def _evaluate(tape: Tape, loss: Loss, params: Params, data: Data, on_tape: set[str]) -> None:
    with trace_stack.new_trace() as trace:
        tape.params = {name: tape.leaf(name, x) for name, x in params.items()}
        given = {name: (x, tape.leaf(name, x)) for name, x in data.items()}
        boxes = {
            name: new_box(x, trace, tape.node(i, differentiated=False)) if name in on_tape else x
            for name, (x, i) in given.items()
        }
        end = loss(new_box(dict(params), trace, tape.root), boxes)
        if isbox(end) and end._trace == trace:
            tape.value, tape.end = end._value, end._node
        else:
            tape.value = end


def _cotangents(tape: Tape) -> Iterator[tuple[Node, Any]]:
    """Nodes with their cotangents, from the loss back: `autograd.core.backward_pass`, which keeps none."""
    if tape.end is None or not tape.end.differentiated:
        return
    found = {tape.end: (vspace(tape.value).ones(), False)}
    for node in toposort(tape.end):
        cotangent = found.pop(node)
        yield node, cotangent[0]
        for parent, own in zip(node.parents, node.vjp(cotangent[0]), strict=False):
            found[parent] = add_outgrads(found.get(parent), own)


def _gradient_bits(tape: Tape) -> list[bytes]:
    return [bits for node, cotangent in _cotangents(tape) if node is tape.root for bits in _bits(cotangent)]


def _bits(value: Any) -> list[bytes]:
    return [array.tobytes() for array in _arrays(value)]


def _arrays(value: Any) -> Iterator[HostArray]:
    """The arrays of numbers in what a primitive returns, copied."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for each in value:
            yield from _arrays(each)
    elif np.asarray(value).dtype.kind in "biufc":
        yield np.array(value)


def _parts(operation: str, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
    """The values inside of the primitives that compute several things at once."""
    try:
        return _PARTS[operation](*args, **kwargs) if operation in _PARTS else []
    except Exception:
        return []


def _inside_var(x: Any, axis: Any = None, **_: Any) -> list[tuple[str, Any]]:
    mean = np.mean(x, axis=axis, keepdims=True)
    return [("mean", mean), ("subtract", x - mean), ("sum", np.sum(np.abs(x - mean) ** 2, axis=axis))]


def _inside_std(x: Any, axis: Any = None, ddof: int = 0, **_: Any) -> list[tuple[str, Any]]:
    return [*_inside_var(x, axis), ("var", np.var(x, axis=axis, ddof=ddof))]


def _inside_logsumexp(x: Any, axis: Any = None, b: Any = 1.0, **_: Any) -> list[tuple[str, Any]]:
    top = np.max(x, axis=axis, keepdims=True)
    weights = b * np.exp(x - top)
    return [("max", top), ("subtract", x - top), ("exp", weights), ("sum", np.sum(weights, axis=axis))]


_PARTS: dict[str, Callable[..., list[tuple[str, Any]]]] = {
    "var": _inside_var,
    "std": _inside_std,
    "logsumexp": _inside_logsumexp,
}
