"""The values inside a call of PyTorch's that computes several things at once: the variance in a layer norm, say.

The call is evaluated a second time, on the same numbers and apart from the tape, in elementary operations: PyTorch's
own decompositions, which its compiler uses.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch._decomp import decomposition_table
from torch.utils._python_dispatch import TorchDispatchMode

from gradparity.backends.protocol import Array, HostArray
from gradparity.backends.traces.torch_rules import ELEMENTARY, RULES
from gradparity.backends.traces.torch_tensors import host, tensors_in

#: Parts of one call, at most.
MOST = 20_000
#: Results that say no more than what they are made of.
SAME = frozenset(("alias", "broadcast_in_dim", "clone", "contiguous", "convert_element_type", "copy", "detach",
                  "expand", "lift_fresh", "to_copy", "unsafe_view"))  # fmt: skip
#: Views whose entries are computed when they are read, which operators inside of a decomposition do not do.
EAGER = {
    torch.ops.aten._conj.default: torch.ops.aten.conj_physical.default,
    torch.ops.aten._neg_view.default: torch.ops.aten.neg.default,
}
#: Arrays made of no array.
MADE = frozenset(("empty", "full", "ones", "scalar_tensor", "zeros"))


class Part(NamedTuple):
    """A value inside a call; its inputs are numbers of a journal's, or, negative, ``-1 - i`` for the part ``i``."""

    operation: str
    inputs: tuple[int, ...]
    value: HostArray


def name_of_operator(operator: Any) -> str:
    """``rsqrt`` of ``aten::rsqrt.default``, and ``sigmoid`` of ``aten::sigmoid_``."""
    return str(operator._schema.name).rpartition("::")[2].strip("_")


# Operators whose decomposition was one step.
_one_step: set[Any] = set()


def _decomposition(operator: Any) -> Callable[..., Any] | None:
    if operator in RULES:
        return RULES[operator]
    name = name_of_operator(operator)
    if operator in _one_step or name in ELEMENTARY or name in SAME or name in MADE or name.endswith("backward"):
        return None
    if operator.is_view or operator._schema.is_mutable or torch.Tag.nondeterministic_seeded in operator.tags:
        return None
    return decomposition_table.get(operator) or operator.decompose  # of what is composed of others by definition


class Inside(TorchDispatchMode):
    """Evaluates operators by their decompositions, as far as there are any, and keeps each result."""

    def __init__(self, numbers: dict[int, int]) -> None:
        super().__init__()
        self.parts: list[Part] = []
        self._numbers = numbers  # of tensors by their identity
        self._values: dict[Any, int] = {}  # a mean that is taken twice is one part
        self._alive: list[Array] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Else every operator would import a compiler, to tell it to keep away."""
        return False

    def number(self, x: Array) -> int | None:
        """What a tensor is; ``None`` for one that is neither a part nor an input."""
        return self._numbers.get(id(x))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func, kwargs = EAGER.get(func, func), kwargs or {}
        before = len(self.parts)
        decomposition = _decomposition(func)
        if decomposition is not None and before < MOST:
            with suppress(Exception), self:
                result = decomposition(*args, **kwargs)
                if result is not NotImplemented:
                    self._named(func, result, before)
                    return result
            self._forget(before)
        result = func(*args, **kwargs)
        self._keep(func, args, kwargs, result)
        return result

    def _forget(self, before: int) -> None:
        if len(self.parts) == before:
            return
        del self.parts[before:]
        for table in (self._values, self._numbers):
            for key in [key for key, number in table.items() if -1 - number >= before]:
                del table[key]

    def _named(self, func: Any, result: Any, before: int) -> None:
        """The result of a decomposition has the name of what was decomposed."""
        if len(self.parts) == before + 1:
            _one_step.add(func)
        first = next(tensors_in(result), None)
        number = None if first is None else self.number(first)
        if number is not None and number < 0 and -1 - number >= before:
            self.parts[-1 - number] = self.parts[-1 - number]._replace(operation=name_of_operator(func))

    def _keep(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = name_of_operator(func)
        inputs = [*tensors_in(args), *tensors_in(kwargs)]
        known = tuple(number for number in map(self.number, inputs) if number is not None)
        for x in tensors_in(result):
            self._alive.append(x)
            same = name in SAME or (func.is_view and inputs and x.numel() == inputs[0].numel())
            if same and known:
                self._numbers[id(x)] = known[0]
            elif not same and len(self.parts) < MOST and not any(map(name.startswith, MADE)) and _is_numbers(x):
                value = host(x)
                number = self._values.setdefault((value.shape, value.tobytes()), -1 - len(self.parts))
                self._numbers[id(x)] = number
                if number == -1 - len(self.parts):
                    self.parts.append(Part(name, known, value))


def _is_numbers(x: Array) -> bool:
    return x.numel() > 0 and (x.is_floating_point() or x.is_complex())


def parts_of(
    function: Callable[..., Any], args: Any, kwargs: Any, numbers: Callable[[Array], int | None]
) -> list[Part]:
    """The values on the way to what a function returns, and not that itself; none if there are none to be had.

    Args:
        function: what was called.
        args: its arguments, which have the values that they had then.
        kwargs: likewise.
        numbers: the number of a tensor among them.
    """
    own: dict[int, int] = {}
    copies: dict[int, Array] = {}

    def apart(tree: Any) -> Any:
        if isinstance(tree, torch.Tensor):
            if id(tree) not in copies:
                # A copy, since running statistics are changed without a word.
                copies[id(tree)] = x = tree.detach().resolve_conj().resolve_neg().clone()
                number = numbers(tree)
                if number is not None and number >= 0:
                    own[id(x)] = number
            return copies[id(tree)]
        if isinstance(tree, torch.Generator) or callable(tree):
            raise TypeError("it would be drawn from, or called, a second time")
        if isinstance(tree, tuple | list) and not isinstance(tree, torch.Size):
            inner = [apart(each) for each in tree]
            return type(tree)(*inner) if hasattr(tree, "_fields") else type(tree)(inner)
        return {key: apart(each) for key, each in tree.items()} if isinstance(tree, dict) else tree

    try:
        with torch.no_grad():
            args, kwargs = apart(args), apart(kwargs)
            with Inside(own) as inside:
                result = function(*args, **kwargs)
    except Exception:  # nothing of the user's: it has been evaluated as it is
        return []
    results = {inside.number(x) for x in tensors_in(result)}
    if len(inside.parts) == 1 and -1 in results:
        return []
    # Others refer to them by where they are in the list: one that is the result keeps its place, without a value.
    return inside.parts if not results else _without(inside.parts, results)


def _without(parts: list[Part], results: set[int | None]) -> list[Part]:
    kept: dict[int, int] = {}
    left: list[Part] = []
    for i, part in enumerate(parts):
        if -1 - i in results:
            continue
        kept[-1 - i] = -1 - len(left)
        inputs = tuple(kept.get(number, number) for number in part.inputs if number >= 0 or number in kept)
        left.append(part._replace(inputs=inputs))
    return left
