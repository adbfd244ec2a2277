"""PyTorch, eager.

``backward`` on fresh leaves costs less around a small graph than ``torch.autograd.grad``; JVP and HVP are
``torch.func`` transforms, forward over reverse, of all rows at once, since blocks are about the gradient's traffic. Of
a user's loss HVPs go both ways, and double backward first: users get it, and the two may differ.

Softplus is one kernel each way: ``F.softplus`` turns linear at its threshold, which at 20 is off by 2e-9 and at 37 by
less than rounding. Its second derivative, though, is formed from ``z`` rounded to 1 in one tail, where it is zero.
HVPs therefore differentiate `curved_softplus`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import grad, jvp

from gradparity.backends.protocol import Array, Data, HostArray, Loss, Params, Taps
from gradparity.backends.traces import Recorder
from gradparity.model_spec.spec import Logistic

ValueAndGradient: TypeAlias = Callable[[Params, Data], tuple[Array, Params]]


def _on_host(x: Array) -> HostArray:
    """A tensor that needs no gradient; bfloat16 and its like, which NumPy lacks, as float32 that says so."""
    if not x.dtype.is_floating_point or x.dtype in (torch.float64, torch.float32, torch.float16):
        return x.numpy(force=True)
    name = str(x.dtype).removeprefix("torch.")
    return x.float().numpy(force=True).astype(np.dtype(np.float32, metadata={"narrow": name}))


def straight_softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, exact to rounding with its first derivative: one kernel each way."""
    return F.softplus(m, threshold=37.0)


def curved_softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, exact to rounding with its first two derivatives; ``where`` picks one branch at 0 too."""
    positive = m >= 0
    return torch.where(positive, m, 0) + torch.log1p(torch.exp(torch.where(positive, -m, m)))


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
        return self.finish(self.nll(params, data), params, data)

    def nll(self, params: Params, rows: Data) -> Array:
        """Negative log-likelihood of some rows, summed."""
        as_written = self.spec.formulation == "as_written" and "W" in params
        X = rows["X"]
        z = torch.mv(X @ params["W"], params["w"]) if as_written else self.product(X, direction(params))
        if self.spec.numerics == "stable":
            return self.softplus(z * (rows["s"] if "s" in rows else self.signs(rows))).sum()
        y = rows["y"]
        p = 1 / (1 + torch.exp(-self.spec.logit_scale * z))
        return -torch.log(p * y + (1 - p) * (1 - y)).sum()

    def signs(self, rows: Data) -> Array:
        """``c - 2 c y``, which is c or -c: what a row's ``z`` is multiplied by, sign and scale in one."""
        c = self.spec.logit_scale
        return torch.rsub(rows["y"], c, alpha=2 * c)

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
    for block in zip(*(each.split(loss.spec.block_rows) for each in data.values()), strict=True):
        value = loss.nll({"w": leaf}, dict(zip(data, block, strict=True)))
        value.backward()
        total += value.detach()
    return total, leaf.grad


def forward_jvp(loss: Loss) -> Callable[..., Array]:
    """The JVP by forward mode."""

    def program_jvp(params: Params, data: Data, tangents: Params) -> Array:
        forward = jvp(lambda params: loss(params, data), (params,), (tangents,))
        return forward[1].to(forward[0].dtype)  # forward mode makes 0.5 * x.sum() of float32 a float64 tangent

    return program_jvp


def forward_over_reverse(loss: Loss) -> Callable[..., Params]:
    """The HVP by forward mode of the gradient."""

    def program_hvp(params: Params, data: Data, tangents: Params) -> Params:
        return jvp(lambda params: grad(loss)(params, data), (params,), (tangents,))[1]

    return program_hvp


def double_backward(loss: Loss) -> Callable[..., Params]:
    """The HVP by reverse over reverse: a second ``backward``, as ``torch.autograd.functional`` makes."""

    def program_hvp(params: Params, data: Data, tangents: Params) -> Params:
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        flat = tuple(leaves.values())
        gradient = torch.autograd.grad(loss(leaves, data), flat, create_graph=True, materialize_grads=True)
        along = sum((g * tangents[name]).sum() for name, g in zip(leaves, gradient, strict=True))
        if not along.requires_grad:  # the gradient depends on no parameter
            return {name: torch.zeros_like(p) for name, p in params.items()}
        along.backward()  # autograd.grad() of the leaves would pass by what @once_differentiable refuses, and give 0
        return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in leaves.items()}

    return program_hvp


class TorchProgram:
    """The loss and its derivatives, eager."""

    hvps: Mapping[str, Callable[..., Params]] = {}

    def __init__(self, loss: Loss) -> None:
        self.loss = self.value = loss
        self.built_in = isinstance(loss, BuiltInLoss)
        self.value_and_gradient = self.differentiated(loss)
        if isinstance(loss, BuiltInLoss):
            self.jvp = forward_jvp(loss)
            self.hvp = forward_over_reverse(BuiltInLoss(loss.spec, softplus=curved_softplus))
        else:
            self.jvp = forward_jvp(loss)
            self.hvps = {"double backward": double_backward(loss), "forward over reverse": forward_over_reverse(loss)}
            self.hvp = self.hvps["double backward"]

    def arrange(self, data: Data) -> Data:
        """X column by column, and the labels' signs, which no step changes.

        MKL's products with a vector read rows from memory at a third of that speed here.
        """
        if not isinstance(self.loss, BuiltInLoss):
            return data
        return {**data, "X": data["X"].t().contiguous().t(), "s": self.loss.signs(data)}

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


class TorchBackend:
    """PyTorch on the CPU behind the protocol."""

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
        """``force`` makes numbers of a `ZeroTensor`, by which forward mode writes a derivative that is zero."""
        return {name: _on_host(value.detach()) for name, value in tree.items()}

    def converted(self, tree: Mapping[str, Array], old: str, new: str) -> dict[str, Array]:
        """The tensors, those of dtype ``old`` as ``new``."""
        old_dtype, dtype = getattr(torch, old), getattr(torch, new)
        return {name: value.to(dtype) if value.dtype == old_dtype else value for name, value in tree.items()}

    def trainable(self, tree: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors as an optimiser takes them, leaves that want a gradient: those that are leaves, themselves."""
        return {
            name: (value if value.is_leaf else value.detach()).requires_grad_(value.is_floating_point())
            for name, value in tree.items()
        }

    def moved(self, tree: Mapping[str, Array], values: Mapping[str, HostArray]) -> dict[str, Array]:
        """The same tensors with other values, in place: an optimiser's object refers to them."""
        with torch.no_grad():
            return {name: value.copy_(torch.from_numpy(values[name])) for name, value in tree.items()}

    def wait(self, result: Any) -> Any:
        return result

    def compilations(self) -> int:
        """Graphs that Dynamo has compiled so far."""
        counted = sys.modules.get("torch._dynamo.utils")  # not there before the first use of torch.compile
        return counted.counters["stats"]["unique_graphs"] if counted else 0

    def dtypes(self, loss: Loss, params: Params, data: Data) -> set[str]:
        """Of every value on the way to the loss and its gradient, evaluated eagerly."""
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils._pytree import tree_leaves

        found: set[str] = set()

        class Look(TorchDispatchMode):
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                given = func(*args, **(kwargs or {}))
                found.update(str(x.dtype).removeprefix("torch.") for x in tree_leaves(given) if hasattr(x, "dtype"))
                return given

        with Look():
            tape_value_and_gradient(loss)(params, data)
        return found

    def taps(self) -> Taps:
        from gradparity.backends.taps import torch_taps

        return torch_taps

    def recorder(self) -> Recorder:
        from gradparity.backends.traces import torch_trace

        return torch_trace

    def elementwise(self, f: Callable[[Array, Array], Array]) -> dict[str, Callable[..., Any]]:
        from gradparity.backends.elementwise.torch_elementwise import derivatives

        return derivatives(f)

    def own_names(self) -> Any:
        from gradparity.backends.elementwise.torch_elementwise import own_names

        return own_names()

    def loss(self, spec: Logistic) -> Loss:
        return BuiltInLoss(spec)

    def namespace(self) -> Any:
        """Torch by the names of the array API, which its own differ from."""
        import array_api_compat.torch

        from gradparity.backends.names import torch_names, widened

        return widened(array_api_compat.torch, torch_names.NAMES, torch_names.OURS)

    def program(self, loss: Loss) -> TorchProgram:
        return TorchProgram(loss)


backend = TorchBackend()
