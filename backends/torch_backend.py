"""PyTorch, twice: eager, and whole steps compiled by ``torch.compile``.

Eager runs ``backward`` on fresh leaves, which costs less around a small graph than ``torch.autograd.grad``; JVP and HVP
are ``torch.func`` transforms, forward over reverse, of all rows at once, since blocks are about the gradient's traffic.
Compiled traces ``torch.func.grad_and_value``, so that forward and backward are one graph, and under ``blocked`` so is
the loop over blocks. The descent is a ``while_loop`` in one graph behind Inductor's C++ wrapper: no Python between the
steps, and no recompilation for another number of them, since each call runs up to `CHUNK`.

Softplus is one kernel each way: ``F.softplus`` turns linear at its threshold, which at 20 is off by 2e-9 and at 37 by
less than rounding. Its second derivative, though, is formed from ``z`` rounded to 1 in one tail, where it is zero.
HVPs therefore differentiate `curved_softplus`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch._higher_order_ops.while_loop import while_loop
from torch.func import grad, grad_and_value, jvp

from gradparity.backends.protocol import Array, Data, HostArray, Loss, Params, Taps
from gradparity.model_spec.spec import Logistic

ValueAndGradient: TypeAlias = Callable[[Params, Data], tuple[Array, Params]]

#: Steps of one call of the compiled descent, at most.
CHUNK = 128
#: Numbers in X up to which one kernel for the whole step is faster than calls of BLAS: they fit into a cache.
LARGE = 2**17


def straight_softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, exact to rounding with its first derivative: one kernel each way."""
    return F.softplus(m, threshold=37.0)


def curved_softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, exact to rounding with its first two derivatives; ``where`` picks one branch at 0 too."""
    positive = m >= 0
    return torch.where(positive, m, 0) + torch.log1p(torch.exp(torch.where(positive, -m, m)))


def traced_product(X: Array, u: Array) -> Array:
    """``X u``, which Inductor makes loops of its one kernel; beyond `LARGE` of matrices, which it leaves to BLAS."""
    return X @ u if X.numel() <= LARGE else (X @ u[:, None])[:, 0]


class BuiltInLoss:
    """The built-in model as a function of parameters and data: all rows at once."""

    def __init__(
        self,
        spec: Logistic,
        *,
        softplus: Callable[[Array], Array] = straight_softplus,
        product: Callable[[Array, Array], Array] = torch.mv,
    ) -> None:
        self.spec = spec
        self.softplus = softplus
        self.product = product

    def __call__(self, params: Params, data: Data) -> Array:
        return self.finish(self.nll(params, data["X"], data["y"]), params, data)

    def nll(self, params: Params, X: Array, y: Array) -> Array:
        """Negative log-likelihood of some rows, summed."""
        as_written = self.spec.formulation == "as_written" and "W" in params
        z = (X @ params["W"]) @ params["w"] if as_written else self.product(X, direction(params))
        c = self.spec.logit_scale
        if self.spec.numerics == "stable":
            return self.softplus(z * torch.rsub(y, c, alpha=2 * c)).sum()  # c - 2 c y: sign and scale in one
        p = 1 / (1 + torch.exp(-c * z))
        return -torch.log(p * y + (1 - p) * (1 - y)).sum()

    def finish(self, total: Array, params: Params, data: Data) -> Array:
        value = total / len(data["y"]) if self.spec.reduction == "mean" else total
        if self.spec.l2:
            # Scaled before the sum: the JVP of a Python number times a float32 scalar is float64 (seen in torch 2.13).
            value = value + sum((0.5 * self.spec.l2 * p.square()).sum() for p in params.values())
        return value


def direction(params: Params) -> Array:
    """``u``, what the rows of X are projected on: ``W w``, or ``w`` where there is no projection."""
    return params["W"] @ params["w"] if "W" in params else params["w"]


def tape_value_and_gradient(loss: Loss) -> ValueAndGradient:
    """Value and gradient by the tape: the fastest eager idiom, without ``torch.func``'s wrappers."""

    def value_and_gradient(params: Params, data: Data) -> tuple[Array, Params]:
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        value = loss(leaves, data)
        value.backward()
        gradient = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in leaves.items()}
        return value.detach(), gradient

    return value_and_gradient


def func_value_and_gradient(loss: Loss) -> ValueAndGradient:
    """Value and gradient as a function transform, which ``torch.compile`` traces whole."""
    transformed = grad_and_value(loss)

    def value_and_gradient(params: Params, data: Data) -> tuple[Array, Params]:
        gradient, value = transformed(params, data)
        return value, gradient

    return value_and_gradient


def blocked_value_and_gradient(
    loss: BuiltInLoss, whole: ValueAndGradient, sums: Callable[[BuiltInLoss, Array, Data], tuple[Array, Array]]
) -> ValueAndGradient:
    """Value and gradient in one pass over X: each block's gradient in ``u`` while its rows are in the cache."""
    rows = loss.spec.block_rows

    def value_and_gradient(params: Params, data: Data) -> tuple[Array, Params]:
        if data["y"].shape[0] <= rows:
            return whole(params, data)
        total, cotangent = sums(loss, direction(params).detach(), data)

        # <cotangent, u> has the data term's gradient in the parameters, and finish() its scale and its penalty.
        def surrogate(params: Params) -> Array:
            return loss.finish(torch.dot(cotangent, direction(params)), params, data)

        return loss.finish(total, params, data), grad(surrogate)(params)

    return value_and_gradient


def eager_block_sums(loss: BuiltInLoss, u: Array, data: Data) -> tuple[Array, Array]:
    """Summed negative log-likelihood and its gradient in ``u``, which the tape accumulates in place."""
    leaf = u.detach().requires_grad_()
    total = u.new_zeros(())
    for X, y in zip(*(data[name].split(loss.spec.block_rows) for name in ("X", "y")), strict=True):
        value = loss.nll({"w": leaf}, X, y)
        value.backward()
        total += value.detach()
    return total, leaf.grad


def even_block_rows(rows: int, most: int) -> int:
    """Rows in a block, so that none are left over if that takes no less than half of ``most``: they cost a graph."""
    return next((size for size in range(most, most // 2, -1) if rows % size == 0), most)


def traced_block_sums(loss: BuiltInLoss, u: Array, data: Data) -> tuple[Array, Array]:
    """The same as a loop that is traced once, and the rows left over."""
    size = even_block_rows(len(data["y"]), loss.spec.block_rows)
    count, rest = divmod(len(data["y"]), size)
    rows = grad_and_value(lambda u, X, y: loss.nll({"w": u}, X, y))

    def add(i: Array, total: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        begin = i.item()
        torch._check(begin >= 0)
        torch._check(begin < count)
        block = (data[name].narrow(0, begin * size, size) for name in ("X", "y"))
        gradient, value = rows(u, *block)
        return i + 1, total + value, cotangent + gradient

    zero = torch.zeros((), dtype=torch.int64), u.new_zeros(()), torch.zeros_like(u)
    _, total, cotangent = while_loop(lambda i, *_: i < count, add, zero)
    if rest:
        gradient, value = rows(u, data["X"][-rest:], data["y"][-rest:])
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


def any_loss_jvp(loss: Loss, value_and_gradient: ValueAndGradient) -> Callable[..., Array]:
    """Forward mode, or the gradient times the tangents where an operation of the user's has no forward mode."""

    def program_jvp(params: Params, data: Data, tangents: Params) -> Array:
        try:
            forward = jvp(lambda params: loss(params, data), (params,), (tangents,))
            return forward[1].to(forward[0].dtype)  # forward mode makes 0.5 * x.sum() of float32 a float64 tangent
        except (NotImplementedError, RuntimeError):
            gradient = value_and_gradient(params, data)[1]
            return sum((gradient[name] * tangents[name]).sum() for name in params)

    return program_jvp


def any_loss_hvp(loss: Loss) -> Callable[..., Params]:
    """Forward over reverse, or reverse over reverse where an operation of the user's has no forward mode."""

    def program_hvp(params: Params, data: Data, tangents: Params) -> Params:
        try:
            return jvp(lambda params: grad(loss)(params, data), (params,), (tangents,))[1]
        except (NotImplementedError, RuntimeError):
            leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
            flat = tuple(leaves.values())
            gradient = torch.autograd.grad(loss(leaves, data), flat, create_graph=True, materialize_grads=True)
            along = sum((g * tangents[name]).sum() for name, g in zip(leaves, gradient, strict=True))
            product = torch.autograd.grad(along, flat, materialize_grads=True)
            return dict(zip(leaves, product, strict=True))

    return program_hvp


class TorchProgram:
    """The loss and its derivatives, eager."""

    def __init__(self, loss: Loss) -> None:
        self.value = loss
        self.built_in = isinstance(loss, BuiltInLoss)
        self.value_and_gradient = self.differentiated(loss)
        self.jvp: Callable[..., Array]
        self.hvp: Callable[..., Params]
        if not isinstance(loss, BuiltInLoss):
            self.jvp, self.hvp = any_loss_jvp(loss, self.value_and_gradient), any_loss_hvp(loss)
            return
        curved = BuiltInLoss(loss.spec, softplus=curved_softplus)

        def program_jvp(params: Params, data: Data, tangents: Params) -> Array:
            forward = jvp(lambda params: loss(params, data), (params,), (tangents,))
            return forward[1].to(forward[0].dtype)  # forward mode makes 0.5 * x.sum() of float32 a float64 tangent

        def program_hvp(params: Params, data: Data, tangents: Params) -> Params:
            return jvp(lambda params: grad(curved)(params, data), (params,), (tangents,))[1]

        self.jvp = program_jvp
        self.hvp = program_hvp

    def arrange(self, data: Data) -> Data:
        """X column by column: MKL's products with a vector read rows from memory at a third of that speed here."""
        return {**data, "X": data["X"].t().contiguous().t()} if self.built_in else data

    def differentiated(self, loss: Loss) -> ValueAndGradient:
        whole = tape_value_and_gradient(loss)
        if isinstance(loss, BuiltInLoss) and loss.spec.formulation == "blocked":
            return blocked_value_and_gradient(loss, whole, eager_block_sums)
        return whole

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        losses = []
        for _ in range(steps):
            value, gradient = self.value_and_gradient(params, data)
            params = {name: torch.sub(p, gradient[name], alpha=learning_rate) for name, p in params.items()}
            losses.append(value)
        return torch.stack(losses), params


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


def in_one_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled, its first call refused if it takes more than one graph.

    ``fullgraph=True`` says the same at every call, for 10 us each: as much as a fifth of a small step. Of what a call
    could be guarded against, only the tensors are: a specification is frozen, and its programs close over nothing else.

    Raises:
        RuntimeError: in the first call, where the graph breaks.
    """
    from torch._dynamo.utils import counters

    keep = getattr(torch.compiler, "keep_tensor_guards_unsafe", None)  # older releases guard everything
    compiled, known = torch.compile(function, options={"guard_filter_fn": keep} if keep else None), False

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
        self.traced_whole = isinstance(loss, BuiltInLoss)
        compiled = in_one_graph if self.traced_whole else torch.compile
        if self.traced_whole:
            torch._dynamo.config.capture_scalar_outputs = True  # the number of a block; fullgraph=True would see to it
        self.descend_chunk: Callable[..., Any] | None = torch.compile(
            traced_descent(self.value_and_gradient), fullgraph=self.traced_whole, options={"cpp_wrapper": True}
        )
        self.value = compiled(loss)
        self.value_and_gradient = compiled(self.value_and_gradient)
        self.jvp = compiled(self.jvp)
        self.hvp = compiled(self.hvp)

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
                if self.traced_whole:
                    raise
                self.descend_chunk = None  # a loss of the user's that cannot be traced whole: its steps, from Python
                return super().descend(start, data, steps, learning_rate)
            losses.append(values[:count])
        return torch.cat(losses), params


class TorchBackend:
    """PyTorch on the CPU behind the protocol."""

    def __init__(self, program: type[TorchProgram]) -> None:
        self.program = program

    def configure(self, threads: int) -> None:
        """PyTorch follows OMP_NUM_THREADS; said again here, since OPENBLAS_NUM_THREADS does not reach it."""
        torch.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        return {"torch": str(torch.__version__)}

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        return {name: torch.tensor(value) for name, value in tree.items()}

    def view(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        """Tensors over the same memory: what the host writes into it later is seen."""
        return {name: torch.from_numpy(value) for name, value in tree.items()}

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        return {name: value.detach().numpy() for name, value in tree.items()}

    def wait(self, result: Any) -> Any:
        return result

    def compilations(self) -> int:
        """Graphs that Dynamo has compiled so far."""
        counted = sys.modules.get("torch._dynamo.utils")  # not there before the first use of torch.compile
        return counted.counters["stats"]["unique_graphs"] if counted else 0

    def taps(self) -> Taps:
        from gradparity.backends.taps import torch_taps

        return torch_taps

    def loss(self, spec: Logistic) -> Loss:
        return BuiltInLoss(spec, product=traced_product if self.program is CompiledProgram else torch.mv)

    def namespace(self) -> Any:
        """Torch by the names of the array API, which its own differ from."""
        import array_api_compat.torch

        return array_api_compat.torch


eager = TorchBackend(TorchProgram)
compiled = TorchBackend(CompiledProgram)
