"""PyTorch, whole steps compiled by ``torch.compile``.

It traces ``torch.func.grad_and_value``, so that forward and backward are one graph, and under ``blocked`` so is the
loop over blocks. The descent is a ``while_loop`` in one graph behind Inductor's C++ wrapper: no Python between the
steps, and no recompilation for another number of them, since each call runs up to `CHUNK`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch
from torch._higher_order_ops.while_loop import while_loop
from torch.func import grad_and_value

from gradparity.backends.protocol import Array, Data, Loss, Params
from gradparity.backends.torch_eager import (
    BuiltInLoss,
    TorchBackend,
    TorchProgram,
    ValueAndGradient,
    blocked_value_and_gradient,
)
from gradparity.model_spec.spec import Logistic

#: Steps of one call of the compiled descent, at most.
CHUNK = 128
#: Numbers in X up to which one kernel for the whole step is faster than calls of BLAS: they fit into a cache.
LARGE = 2**17


def traced_product(X: Array, u: Array) -> Array:
    """``X u``, which Inductor makes loops of its one kernel; beyond `LARGE` of matrices, which it leaves to BLAS."""
    return X @ u if X.numel() <= LARGE else (X @ u[:, None])[:, 0]


def func_value_and_gradient(loss: Loss) -> ValueAndGradient:
    """Value and gradient as a function transform, which ``torch.compile`` traces whole."""
    transformed = grad_and_value(loss)

    def value_and_gradient(params: Params, data: Data) -> tuple[Array, Params]:
        gradient, value = transformed(params, data)
        return value, gradient

    return value_and_gradient


def even_block_rows(rows: int, most: int) -> int:
    """Rows in a block, so that none are left over if that takes no less than half of ``most``: they cost a graph."""
    return next((size for size in range(most, most // 2, -1) if rows % size == 0), most)


def traced_block_sums(loss: BuiltInLoss, u: Array, data: Data) -> tuple[Array, Array]:
    """The same as a loop that is traced once, and the rows left over."""
    size = even_block_rows(len(data["y"]), loss.spec.block_rows)
    count, rest = divmod(len(data["y"]), size)
    rows = grad_and_value(lambda u, block: loss.nll({"w": u}, block))

    def add(i: Array, total: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        begin = i.item()
        torch._check(begin >= 0)
        torch._check(begin < count)
        gradient, value = rows(u, {name: each.narrow(0, begin * size, size) for name, each in data.items()})
        return i + 1, total + value, cotangent + gradient

    zero = torch.zeros((), dtype=torch.int64), u.new_zeros(()), torch.zeros_like(u)
    _, total, cotangent = while_loop(lambda i, *_: i < count, add, zero)
    if rest:
        gradient, value = rows(u, {name: each[-rest:] for name, each in data.items()})
        total, cotangent = total + value, cotangent + gradient
    return total, cotangent


def traced_descent(value_and_gradient: ValueAndGradient) -> Callable[..., tuple[Array, Params]]:
    """Up to `CHUNK` steps of gradient descent as one loop, traced once: their losses, and the parameters."""

    def descend(params: Params, data: Data, learning_rate: Array, steps: Array) -> tuple[Array, Params]:
        names = list(params)

        def step(i: Array, losses: Array, *flat: Array) -> tuple[Array, ...]:
            value, gradient = value_and_gradient(dict(zip(names, flat, strict=True)), data)
            # The rate in the parameter's precision, which may be the lower of two: a parameter of no dimensions too.
            moved = (p - learning_rate.to(p.dtype) * gradient[name] for name, p in zip(names, flat, strict=True))
            return i + 1, torch.where(torch.arange(CHUNK) == i, value, losses), *moved

        start = torch.zeros_like(steps), learning_rate.new_zeros(CHUNK), *(p.clone() for p in params.values())
        _, losses, *flat = while_loop(lambda i, *_: i < steps, step, start)
        return losses, dict(zip(names, flat, strict=True))

    return descend


@cache
def require_compilation() -> None:
    """See that ``torch.compile`` compiles in this process, and make it raise where it would go on with eager code.

    Switched off (by a variable or a stance), it returns what it was given without a word: a trivial function shows.

    Raises:
        RuntimeError: what runs under the name of compiled code would be eager code.
    """
    import torch._dynamo as dynamo  # a second's import, which eager code does without

    graphs = []

    def look_on(graph: Any, _inputs: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    torch.compile(lambda x: x + 1, backend=look_on)(torch.zeros(()))
    if not graphs or dynamo.config.suppress_errors:
        raise RuntimeError(
            "torch.compile would run eager code in this process: unset TORCHDYNAMO_DISABLE, TORCH_COMPILE_DISABLE, "
            "TORCHDYNAMO_SUPPRESS_ERRORS and torch.compiler.set_stance, or choose the backend torch"
        )
    dynamo.config.fail_on_recompile_limit_hit = True
    # The limits count for a function's code, which all programs of this process share: one a model, size and dtype.
    dynamo.config.recompile_limit = dynamo.config.accumulated_recompile_limit = 10_000
    dynamo.config.automatic_dynamic_shapes = False  # what dynamic=False says at every call, for 10 us each
    try_one_instruction_set()


def try_one_instruction_set() -> None:
    """Have Inductor compile a trial program for the instruction set that it takes, and not for every one it could.

    It takes the first of its list that works, and tries all others too: four of five trials of 2 s on a new machine, a
    second in every process after that. What it takes is the same. A set that is named is left to it to find.
    """
    from torch._inductor import config, cpu_vec_isa

    known = set(cpu_vec_isa.x86_isa_checker())  # none on other processors, which have one set and no trial
    if not known or config.cpp.simdlen is not None or os.environ.get("ATEN_CPU_CAPABILITY"):
        return
    for each in cpu_vec_isa.supported_vec_isa_list:
        if set(str(each).split()) <= known and each:  # its truth value is the trial, made once
            cpu_vec_isa.supported_vec_isa_list[:] = [each]
            return


def in_one_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled, its first call refused if it takes more than one graph.

    ``fullgraph=True`` says the same at every call, for 10 us each: as much as a fifth of a small step. Of what a call
    could be guarded against, only the tensors are: a specification is frozen, and its programs close over nothing else.
    Dynamo keeps graphs by code object, so each program has one of its own: no guard tells it from another's.

    Raises:
        RuntimeError: in the first call, where the graph breaks.
    """
    from torch._dynamo.utils import counters

    keep = getattr(torch.compiler, "keep_tensor_guards_unsafe", None)  # older releases guard everything
    known = False

    def own(*arguments: Any) -> Any:
        return function(*arguments)

    own.__code__ = own.__code__.replace()
    compiled = torch.compile(own, options={"guard_filter_fn": keep} if keep else None)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal known
        if known:
            return compiled(*arguments)
        before = sum(counters["graph_break"].values())
        result = compiled(*arguments)
        if sum(counters["graph_break"].values()) > before:
            raise RuntimeError(f"a graph break: {next(reversed(counters['graph_break']))}")
        known = True
        return result

    return call


class CompiledProgram(TorchProgram):
    """The same, compiled for the shapes it is given; the built-in model must compile without a graph break."""

    def __init__(self, loss: Loss) -> None:
        require_compilation()
        super().__init__(loss)
        compiled = in_one_graph if self.built_in else torch.compile
        if self.built_in:
            torch._dynamo.config.capture_scalar_outputs = True  # the number of a block; fullgraph=True would see to it
        self.descend_chunk: Callable[..., Any] | None = torch.compile(
            traced_descent(self.value_and_gradient), fullgraph=self.built_in, options={"cpp_wrapper": True}
        )
        self.value = compiled(loss)
        self.value_and_gradient = compiled(self.value_and_gradient)
        self.jvp = compiled(self.jvp)
        if self.built_in:
            self.hvp = compiled(self.hvp)
        else:  # what is compiled has no double backward
            self.hvp = compiled(self.hvps["forward over reverse"])
            self.hvps = {"forward over reverse": self.hvp, "double backward": self.hvps["double backward"]}

    def differentiated(self, loss: Loss) -> ValueAndGradient:
        whole = func_value_and_gradient(loss)
        if isinstance(loss, BuiltInLoss) and loss.spec.formulation == "blocked":
            return blocked_value_and_gradient(loss, whole, traced_block_sums)
        return whole

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        if self.descend_chunk is None:
            return super().descend(params, data, steps, learning_rate)
        widest = max((p.dtype for p in params.values()), key=lambda dtype: dtype.itemsize)
        rate, start = torch.tensor(learning_rate, dtype=widest), params
        losses = []
        for begin in range(0, steps, CHUNK):
            count = min(CHUNK, steps - begin)
            try:
                values, params = self.descend_chunk(params, data, rate, torch.tensor(count))
            except Exception:
                if self.built_in:
                    raise
                self.descend_chunk = None  # a loss of the user's that cannot be traced whole: its steps, from Python
                return super().descend(start, data, steps, learning_rate)
            losses.append(values[:count])
        return torch.cat(losses), params


class CompiledBackend(TorchBackend):
    """PyTorch whose programs are compiled."""

    def loss(self, spec: Logistic) -> Loss:
        return BuiltInLoss(spec, product=traced_product)

    def eager(self, loss: Loss) -> TorchProgram:
        """The program of a loss that is called once or twice."""
        return TorchProgram(loss)

    def program(self, loss: Loss) -> CompiledProgram:
        return CompiledProgram(loss)


backend = CompiledBackend()
