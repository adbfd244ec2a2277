"""Which tensor of PyTorch's is which number of a journal's, though tensors change in place, and cotangents of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradparity.backends.protocol import Array, HostArray
from gradparity.backends.traces import Journal, Step
from gradparity.backends.traces.torch_tensors import Axes, host, outside_transforms, unwrapped

#: Nodes of the tape that are looked through for where a tensor comes from that nobody told of.
MOST_NODES = 1000


class Entry(NamedTuple):
    """A tensor as it was when it was told; it is kept, so that no other has its identity."""

    number: int
    version: int
    tensor: Array


class Differentiable(NamedTuple):
    """Where on the tape a result is."""

    number: int
    edge: GradientEdge
    axes: Axes
    seen: Callable[[Array], Array] | None  # of the cotangent at the edge, what is the result's


class TorchLedger:
    """The tensors of one evaluation.

    A tensor is known by its identity and its version, which every change in place counts up, of it or of another view
    of the same memory. One in a wrapper of ``torch.func`` is known by what is in it.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._entries: dict[int, Entry] = {}
        self._places: dict[tuple[int, int, Any], int] = {}  # identities by memory, size and dtype
        self._on_tape: dict[int, Differentiable] = {}
        self._numbers_of_nodes: dict[Any, int] = {}
        self._changes: dict[int, Step] = {}  # the last one of each memory
        self.full = False  # whether the journal has taken no more

    def leaf(self, name: str, x: Array) -> None:
        """A parameter, or an array of the data."""
        self._enter(x, self._journal.leaf(name, host(x)), (), None)

    def number_if_known(self, x: Array, step: Callable[[], Step] | None = None) -> int | None:
        """The number of a tensor that was told of, ``None`` of another.

        What was changed since, through another view of its memory, is told again, as read by ``step``.
        """
        entry = self._entry(x)
        if entry is None:
            return None
        if step is None or entry.version == version(entry.tensor):
            return entry.number
        change = self._changes.get(_memory(entry.tensor)) or step()
        return self.result(x, change._replace(inputs=(entry.number, *change.inputs)))

    def number(self, x: Array, step: Step) -> int | None:
        """The number of a tensor that ``step`` reads: what nobody has told of is told now.

        It comes from where no call is seen: a constant, or what a C extension or another thread has computed.
        """
        if self._entry(x) is not None:
            return self.number_if_known(x, lambda: step)
        node = unwrapped(x)[0].grad_fn
        operation = "constant" if node is None else re.sub(r"Backward\d*$", "", type(node).__name__).lower()
        return self.result(x, step._replace(operation=operation, inputs=self._sources(node)))

    def result(self, x: Array, step: Step, *, in_place: bool = False) -> int | None:
        """Tell a tensor; of one that has no numbers to tell there is none."""
        try:
            tensor, axes = unwrapped(x)
            value = host(tensor, axes)
        except Exception:  # not one array of numbers: nested, on no device, of another package
            return None
        number = self.part(step, value)
        base = None
        if in_place:
            self._changes[_memory(tensor)] = step._replace(inputs=(number,))
            base = None if axes else tensor._base
            if base is not None:
                self._as_part_of(base, tensor)
        self._enter(tensor, number, axes, base)
        return number

    def part(self, step: Step, value: HostArray) -> int:
        """Tell a value that is no tensor of the user's. Of what a full journal did not take there is no number."""
        number = self._journal.result(step._replace(inputs=tuple(n for n in step.inputs if n >= 0)), value)
        self.full = self.full or number < 0
        return number

    def tell_cotangents(self, loss: Any) -> None:
        """Of every result that depends on a parameter, and that the loss depends on."""
        if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
            return
        told = [*self._on_tape.values()]
        edges = [each.edge for each in told]
        for each, found in zip(told, torch.autograd.grad(loss, edges, allow_unused=True), strict=True):
            if found is not None:
                cotangent = found if each.seen is None else each.seen(found)
                self._journal.cotangent(each.number, host(cotangent.conj(), each.axes))

    def _as_part_of(self, base: Array, tensor: Array) -> None:
        """What a view was before it changed has left the tape: its cotangent is the one of its base there."""
        old, whole = self._entries.get(id(tensor)), self._entries.get(id(base))
        differentiable = None if whole is None else self._on_tape.get(whole.number)
        if old is not None and differentiable is not None and differentiable.seen is None:
            self._on_tape[old.number] = differentiable._replace(number=old.number, seen=_view(tensor, base))

    def _entry(self, x: Array) -> Entry | None:
        tensor, _ = unwrapped(x)
        entry = self._entries.get(id(tensor))
        if entry is None:
            entry = self._entries.get(self._places.get(_place(tensor), -1))
            if entry is not None and entry.version != version(entry.tensor):
                return None
        return entry

    def _enter(self, tensor: Array, number: int, axes: Axes, base: Array | None) -> None:
        self._entries[id(tensor)] = Entry(number, version(tensor), tensor)
        self._places[_place(tensor)] = id(tensor)
        if not tensor.requires_grad or number < 0:
            return
        # Of a view that was changed: what its base is used for is used of it too.
        seen = None if base is None else _view(tensor, base)
        with outside_transforms(), suppress(RuntimeError, NotImplementedError):  # of a leaf without views
            edge = get_gradient_edge(tensor if base is None else base)
            self._on_tape[number] = Differentiable(number, edge, axes, seen)
            self._numbers_of_nodes[edge.node, edge.output_nr] = number

    def _sources(self, node: Any) -> tuple[int, ...]:
        """The nearest results that a node of the tape depends on."""
        found: list[int] = []
        seen, open_nodes = {node}, [node]
        while open_nodes and len(seen) < MOST_NODES:
            for inner, output in getattr(open_nodes.pop(), "next_functions", ()):
                if (inner, output) in self._numbers_of_nodes:
                    found.append(self._numbers_of_nodes[inner, output])
                elif inner is not None and inner not in seen:
                    seen.add(inner)
                    open_nodes.append(inner)
        return tuple(dict.fromkeys(found))


def version(x: Array) -> int:
    """How often a tensor has been changed in place."""
    tensor, _ = unwrapped(x)
    return -1 if tensor.is_inference() else int(tensor._version)


def _memory(tensor: Array) -> int:
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError):  # a tensor without one
        return -id(tensor)


def _place(tensor: Array) -> tuple[int, int, Any]:
    try:
        return int(tensor.data_ptr()) or -id(tensor), tensor.numel(), tensor.dtype
    except (RuntimeError, NotImplementedError):
        return -id(tensor), 0, None


def _view(tensor: Array, base: Array) -> Callable[[Array], Array]:
    """From a cotangent of the base, that of the view."""
    shape, strides, offset = tensor.shape, tensor.stride(), tensor.storage_offset() - base.storage_offset()
    of_base = base.shape, base.stride()

    def seen(cotangent: Array) -> Array:
        return torch.empty_strided(*of_base, dtype=cotangent.dtype).copy_(cotangent).as_strided(shape, strides, offset)

    return seen
