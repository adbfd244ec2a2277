"""PyTorch, twice: eager, and whole steps compiled by ``torch.compile``.

Eager runs ``torch.autograd.grad`` on leaves; JVP and HVP are ``torch.func`` transforms, forward over reverse.
Compiled traces ``torch.func.grad_and_value``, so that forward, backward and, in the descent, the update are one graph.

The softplus of the loss is ``-logsigmoid(-m)``: one kernel, and exact in both tails, where ``F.softplus`` turns linear
at its threshold 20 and is off by 2e-9. Its second derivative, though, is formed as ``z (z - 1)`` with ``z`` rounded to
1 in one tail: 9e-14 off at a margin of 7.7, and zero from 37 on. HVPs therefore differentiate `curved_softplus`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch.func import grad, grad_and_value, jvp

from backends.protocol import Array, Data, HostArray, Loss, Params
from model_spec.spec import Logistic

Compiler: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class BuiltInLoss:
    """The built-in model as a function of parameters and data."""

    def __init__(self, spec: Logistic, softplus: Callable[[Array], Array] | None = None) -> None:
        self.spec = spec
        self.softplus = softplus or straight_softplus

    def __call__(self, params: Params, data: Data) -> Array:
        total = sum(self.nll(params, X, y) for X, y in self.blocks(data))
        return self.finish(total, params, data)

    def nll(self, params: Params, X: Array, y: Array) -> Array:
        """Negative log-likelihood of some rows, summed."""
        if "W" not in params:
            z = X @ params["w"]
        elif self.spec.formulation == "as_written":
            z = (X @ params["W"]) @ params["w"]
        else:
            z = X @ (params["W"] @ params["w"])
        logits = self.spec.logit_scale * z
        if self.spec.numerics == "stable":
            return self.softplus((1 - 2 * y) * logits).sum()
        p = 1 / (1 + torch.exp(-logits))
        return -torch.log(p * y + (1 - p) * (1 - y)).sum()

    def blocks(self, data: Data) -> Iterator[tuple[Array, Array]]:
        X, y = data["X"], data["y"]
        size = self.spec.block_rows if self.spec.formulation == "blocked" else len(y)
        return zip(X.split(size), y.split(size), strict=True)

    def finish(self, total: Array, params: Params, data: Data) -> Array:
        value = total / len(data["y"]) if self.spec.reduction == "mean" else total
        if self.spec.l2:
            # Scaled before the sum: the JVP of a Python number times a float32 scalar is float64 (seen in torch 2.13).
            value = value + sum((0.5 * self.spec.l2 * p.square()).sum() for p in params.values())
        return value


def straight_softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, exact to rounding with its first derivative: one kernel each way."""
    return -F.logsigmoid(-m)


def curved_softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, exact to rounding with its first two derivatives; ``where`` picks one branch at 0 too."""
    positive = m >= 0
    return torch.where(positive, m, 0) + torch.log1p(torch.exp(torch.where(positive, -m, m)))


def direction(params: Params) -> Array:
    """``u``, what the rows of X are projected on: ``W w``, or ``w`` where there is no projection."""
    return params["W"] @ params["w"] if "W" in params else params["w"]


def autograd_value_and_gradient(loss: Loss) -> Callable[[Params, Data], tuple[Array, Params]]:
    """Value and gradient by the tape: the fastest eager idiom, without ``torch.func``'s wrappers."""

    def value_and_gradient(params: Params, data: Data) -> tuple[Array, Params]:
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        value = loss(leaves, data)
        gradients = torch.autograd.grad(value, tuple(leaves.values()), materialize_grads=True)
        return value.detach(), dict(zip(leaves, gradients, strict=True))

    return value_and_gradient


def func_value_and_gradient(loss: Loss) -> Callable[[Params, Data], tuple[Array, Params]]:
    """Value and gradient as a function transform, which ``torch.compile`` traces whole."""
    transformed = grad_and_value(loss)

    def value_and_gradient(params: Params, data: Data) -> tuple[Array, Params]:
        gradient, value = transformed(params, data)
        return value, gradient

    return value_and_gradient


def blocked_value_and_gradient(
    loss: BuiltInLoss, rows_value_and_gradient: Callable[[Params, Data], tuple[Array, Params]]
) -> Callable[[Params, Data], tuple[Array, Params]]:
    """Value and gradient in one pass over X: each block's gradient in ``u`` while its rows are in the cache."""

    def value_and_gradient(params: Params, data: Data) -> tuple[Array, Params]:
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        u = direction(leaves)
        at = {"w": u.detach()}
        total, cotangent = torch.zeros_like(at["w"][0]), torch.zeros_like(at["w"])
        for X, y in loss.blocks(data):
            value, gradient = rows_value_and_gradient(at, {"X": X, "y": y})
            total += value
            cotangent += gradient["w"]
        # <cotangent, u> has the data term's gradient in the parameters, and finish() its scale and its penalty.
        surrogate = loss.finish(torch.dot(cotangent, u), leaves, data)
        gradients = torch.autograd.grad(surrogate, tuple(leaves.values()))
        return loss.finish(total, params, data), dict(zip(leaves, gradients, strict=True))

    return value_and_gradient


class TorchProgram:
    """The loss and its derivatives; ``compiler`` is what each function goes through, ``None`` for eager."""

    def __init__(self, loss: Loss, compiler: Compiler | None = None) -> None:
        def program_jvp(params: Params, data: Data, tangents: Params) -> Array:
            return jvp(lambda params: loss(params, data), (params,), (tangents,))[1]

        curved = BuiltInLoss(loss.spec, curved_softplus) if isinstance(loss, BuiltInLoss) else loss

        def program_hvp(params: Params, data: Data, tangents: Params) -> Params:
            return jvp(lambda params: grad(curved)(params, data), (params,), (tangents,))[1]

        def differentiated(loss: Loss) -> Callable[[Params, Data], tuple[Array, Params]]:
            return compiler(func_value_and_gradient(loss)) if compiler else autograd_value_and_gradient(loss)

        def update(params: Params, data: Data, learning_rate: Array) -> tuple[Array, Params]:
            value, gradient = self.value_and_gradient(params, data)
            return value, {name: p - learning_rate * gradient[name] for name, p in params.items()}

        if isinstance(loss, BuiltInLoss) and loss.spec.formulation == "blocked":
            rows = differentiated(lambda params, data: loss.nll(params, data["X"], data["y"]))
            self.value_and_gradient = blocked_value_and_gradient(loss, rows)
            self.update = update  # its Python loop over blocks stays outside the graph of each block
        else:
            self.value_and_gradient = differentiated(loss)
            self.update = compiler(update) if compiler else update
        self.value = compiler(loss) if compiler else loss
        self.jvp = compiler(program_jvp) if compiler else program_jvp
        self.hvp = compiler(program_hvp) if compiler else program_hvp

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        rate = torch.tensor(learning_rate, dtype=next(iter(params.values())).dtype)
        losses = []
        for _ in range(steps):
            value, params = self.update(params, data, rate)
            losses.append(value)
        return torch.stack(losses), params


class TorchBackend:
    """PyTorch on the CPU behind the protocol."""

    def __init__(self, *, compiled: bool) -> None:
        self.compiled = compiled

    def configure(self, threads: int) -> None:
        """PyTorch follows OMP_NUM_THREADS; said again here, since OPENBLAS_NUM_THREADS does not reach it."""
        torch.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        return {"torch": str(torch.__version__)}

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        return {name: torch.tensor(value) for name, value in tree.items()}

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        return {name: value.detach().numpy() for name, value in tree.items()}

    def wait(self, result: Any) -> Any:
        return result

    def loss(self, spec: Logistic) -> Loss:
        return BuiltInLoss(spec)

    def program(self, loss: Loss) -> TorchProgram:
        """Compiled programs specialise on shapes; the built-in model must compile without a graph break."""
        if not self.compiled:
            return TorchProgram(loss)
        return TorchProgram(loss, partial(torch.compile, fullgraph=isinstance(loss, BuiltInLoss)))


eager = TorchBackend(compiled=False)
compiled = TorchBackend(compiled=True)
