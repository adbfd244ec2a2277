"""PyTorch, recorded by a mode that every public function passes through, methods and operators too.

What the user's code computes is computed as ever: nothing of it is replaced, and the tape is the one that it makes. A
compiled loss is evaluated eagerly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch._C import _functorch as functorch
from torch._ops import HigherOrderOperator
from torch.autograd.function import _SingleLevelFunction
from torch.overrides import TorchFunctionMode

from gradparity.backends.protocol import Array, Data, Loss, Params
from gradparity.backends.traces import NOWHERE, Journal, Place, Step, place_of_caller, place_of_function
from gradparity.backends.traces.torch_ledger import TorchLedger, version
from gradparity.backends.traces.torch_modules import RunningModules, running_modules
from gradparity.backends.traces.torch_parts import parts_of
from gradparity.backends.traces.torch_tensors import tensors_in, transforming

#: Calls that nothing is inside of.
PLAIN = frozenset(("add", "sub", "mul", "div", "truediv", "rsub", "radd", "rmul", "neg", "getitem", "setitem", "iadd",
                   "isub", "imul", "itruediv", "to", "reshape", "view", "transpose", "permute", "unsqueeze", "squeeze",
                   "flatten", "T", "mT", "exp", "log", "sqrt", "square", "sum", "stack", "cat", "concatenate", "expand",
                   "detach", "clone", "contiguous", "zeros", "ones", "empty", "full", "arange", "tensor", "as_tensor",
                   "zeros_like", "ones_like", "unbind", "chunk", "split", "float", "double", "requires_grad",
                   "copy", "data", "grad", "lt", "le", "gt", "ge", "eq", "ne", "triu", "tril"))  # fmt: skip
#: Calls whose result does not depend on what they change.
KEEPING_STATISTICS = frozenset(("batch_norm", "instance_norm"))


def name_of(function: Any, args: tuple[Any, ...] = ()) -> str:
    """What PyTorch calls it: ``layer_norm``, ``add`` of ``Tensor.__add__`` and ``add_``, ``T`` of the property."""
    name = str(getattr(function, "__name__", type(function).__name__))
    if name == "__get__":
        name = str(getattr(function.__self__, "__name__", name))
    if name == "custom_function_call" and args and isinstance(args[0], type):  # of an own Function, in a transform
        name = args[0].__name__
    return name.strip("_")


class Given:
    """The tensors among a call's arguments, as they were before it."""

    def __init__(self, ledger: TorchLedger, args: Any, kwargs: Any, step: Callable[[], Step]) -> None:
        self._ledger = ledger
        tensors = {id(x): x for x in (*tensors_in(args), *tensors_in(kwargs))}
        self._ids = [id(x) for x in (*tensors_in(args), *tensors_in(kwargs))]
        self._tensors = tensors
        self._versions = {each: version(x) for each, x in tensors.items()}
        self._numbers = {each: ledger.number_if_known(x, step) for each, x in tensors.items()}

    def has(self, x: Array) -> bool:
        """Whether it is one of them."""
        return id(x) in self._tensors

    def changed(self) -> list[Array]:
        """Those that are no longer what they were."""
        return [x for each, x in self._tensors.items() if self._versions[each] != version(x)]

    def numbers(self, step: Step, changed: list[Array]) -> tuple[int, ...]:
        """The numbers of what they were; what nobody has told of is told now, as read by ``step``."""
        known = {
            each: self._ledger.number(x, step)
            for each, x in self._tensors.items()
            if self._numbers[each] is None and not any(x is other for other in changed)
        }
        found = [known.get(each, self._numbers[each]) for each in self._ids]
        return tuple(number for number in found if number is not None and number >= 0)


class Watch(TorchFunctionMode):
    """Calls through, and tells the tensors that come out, and those that were changed in place."""

    def __init__(self, ledger: TorchLedger, modules: RunningModules, inside: Callable[[str], bool]) -> None:
        super().__init__()
        self._ledger, self._modules, self._inside = ledger, modules, inside
        self._without_parts: set[tuple[str, Place]] = set()
        self.calling = False
        self.ruled = False  # within what is differentiated as one, by a rule of the user's

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (
            torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack()
        ):  # tensors of a tracer's, not of numbers
            return func(*args, **(kwargs or {}))
        if isinstance(func, HigherOrderOperator) and func.name() == "cond" and len(args) == 4:
            predicate, if_true, if_false, operands = args
            with self:  # as written: as an operator it is traced
                return (if_true if predicate else if_false)(*operands)
        return self.call(func, args, kwargs or {}, name_of(func, args))

    def step(self, operation: str, inputs: tuple[int, ...] = ()) -> Step:
        """An operation of the user's, called now."""
        return Step(operation, inputs, place_of_caller(self._inside), self._modules.path(), part=self.ruled)

    def call(self, func: Any, args: Any, kwargs: Any, name: str, own: Any = None) -> Any:
        """What ``func`` returns; of an ``own`` Function its calls are told before, and nothing is looked for in it."""
        opaque = own is not None
        if self._ledger.full:
            return func(*args, **kwargs)
        calling, ruled = self.calling, self.ruled
        rule = place_of_function(getattr(own, "backward", None), self._inside)
        with torch._C.DisableTorchFunction():
            given = Given(self._ledger, args, kwargs, partial(self.step, name))
            generator = None if opaque or name in PLAIN or transforming() else torch.get_rng_state()
        self.calling, self.ruled = not opaque, ruled or rule is not NOWHERE
        try:
            result = func(*args, **kwargs)
        finally:
            self.calling, self.ruled = calling, ruled
        with torch._C.DisableTorchFunction():
            changed = given.changed()
            new = [x for x in tensors_in(result) if not given.has(x)]
            if new or changed:
                step = self.step(name)
                step = step._replace(inputs=given.numbers(step, changed), rule=rule)
                if generator is not None and (not changed or name in KEEPING_STATISTICS):
                    self._tell_parts(step, func, args, kwargs, generator)
                for x in new:
                    self._ledger.result(x, step)
                for x in changed:
                    self._ledger.result(x, step, in_place=True)
        return result

    def _tell_parts(self, step: Step, func: Any, args: Any, kwargs: Any, generator: Array) -> None:
        where = step.operation, step.place
        if where in self._without_parts:
            return
        after = torch.get_rng_state()
        torch.set_rng_state(generator)  # the same draws
        try:
            parts = parts_of(func, args, kwargs, self._ledger.number_if_known)
        finally:
            torch.set_rng_state(after)
        if not parts:
            self._without_parts.add(where)
        told: list[int] = []
        for part in parts:
            inputs = tuple(told[-1 - number] if number < 0 else number for number in part.inputs)
            own = step._replace(operation=part.operation, inputs=inputs, part=True)
            told.append(self._ledger.part(own, part.value))


@contextmanager
def own_functions(watch: Watch) -> Iterator[None]:
    """``Function.apply`` passes no mode: it is told here, and a checkpoint's is the call that it makes.

    What a checkpoint computes again it computes in the backward pass, where nobody sees it.
    """

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if cls.__name__ == "CheckpointFunction" and cls.__module__ == "torch.utils.checkpoint":
            return args[0](*args[2:])
        original = super(_SingleLevelFunction, cls).apply
        if watch.calling or functorch.peek_interpreter_stack() is not None:
            return original(*args, **kwargs)
        return watch.call(original, args, kwargs, cls.__name__, cls)

    _SingleLevelFunction.apply = classmethod(apply)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del _SingleLevelFunction.apply  # type: ignore[attr-defined]


def uncompiled() -> AbstractContextManager[Any]:
    """No function compiled by ``torch.compile`` runs compiled; where none is, its import is spared."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def record(loss: Loss, params: Params, data: Data, journal: Journal) -> None:
    """See `gradparity.backends.traces.Recorder`."""
    ledger = TorchLedger(journal)
    leaves = {name: _leaf(p) for name, p in params.items()}
    for name, x in (*leaves.items(), *data.items()):
        ledger.leaf(name, x)
    with uncompiled(), running_modules() as modules:
        watch = Watch(ledger, modules, journal.inside)
        with own_functions(watch), watch:
            value = loss(leaves, data)
    if isinstance(value, torch.Tensor):
        ledger.number(value, Step("", ()))  # what another thread has computed is told here
    ledger.tell_cotangents(value)


def _leaf(p: Array) -> Array:
    leaf = p.detach()
    return leaf.requires_grad_() if leaf.is_floating_point() or leaf.is_complex() else leaf
