"""PyTorch, eager: ``torch.autograd.grad`` on leaves, an ``nn.Module`` under ``optim.SGD``, and ``torch.func``.

Reference: the PyTorch tutorials "Optimizing Model Parameters" and "Per-sample-gradients"; under ``blocked`` the
gradient is accumulated over mini-batches, as is done where a whole batch does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch.func import grad_and_value

from gradparity.benchmark.baselines import Arrays, Baseline, ValueAndGradient, descending, summed
from gradparity.benchmark.baselines.torch_fused_kernel import fused_kernel

#: ``loss(params, X, y)``.
Loss = Callable[[Any, Any, Any], Any]
#: Loss of rows with logits ``z``, summed.
Rows = Callable[[Any, Any], Any]


def cross_entropy(z: Any, y: Any) -> Any:
    """PyTorch's own, one kernel."""
    return F.binary_cross_entropy_with_logits(z, y, reduction="sum")


def signs_once(z: Any, s: Any) -> Any:
    """Of labels as signs, 1 for 0 and -1 for 1, made of them once."""
    return F.softplus(s * z, threshold=37.0).sum()


def loss_of(formulation: str, rows: Rows = cross_entropy) -> Loss:
    """The loss of some rows: of ``(X W) w``, or of ``X (W w)``."""
    if formulation == "as_written":
        return lambda params, X, y: rows((X @ params["W"]) @ params["w"], y)
    return lambda params, X, y: rows(X @ (params["W"] @ params["w"]), y)


class Model(torch.nn.Module):
    """The model as a module, its parameters registered."""

    def __init__(self, params: Arrays, loss: Loss) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(params["w"].clone())
        self.W = torch.nn.Parameter(params["W"].clone())
        self.loss = loss

    def forward(self, X: Any, y: Any) -> Any:
        """The summed loss of some rows."""
        return self.loss({"w": self.w, "W": self.W}, X, y)


def baselines(formulation: str, params: Arrays, data: Arrays, block_rows: int) -> Iterator[Baseline]:
    """The three styles; and the first of them without work that no step changes, and with one kernel in C++."""
    X, y = data["X"], data["y"]
    size = block_rows if formulation == "blocked" else len(y)
    batches = list(zip(X.split(size), y.split(size), strict=True))
    loss = loss_of(formulation)
    yield descending("autograd.grad", summed(on_leaves(loss), batches), params, torch.stack)
    yield module_and_sgd(loss, batches, params)
    yield descending("torch.func", summed(functional(loss), batches), params, torch.stack)
    signed = [(X, 1 - 2 * y) for X, y in batches]
    for name, rows in (("signs once", signs_once), ("fused kernel", fused_kernel())):
        yield descending(name, summed(on_leaves(loss_of(formulation, rows)), signed), params, torch.stack)


def on_leaves(loss: Loss) -> ValueAndGradient:
    """``torch.autograd.grad`` of the loss in fresh leaves."""

    def value_and_gradient(params: Arrays, X: Any, y: Any) -> tuple[Any, Arrays]:
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        value = loss(leaves, X, y)
        gradients = torch.autograd.grad(value, tuple(leaves.values()))
        return value.detach(), dict(zip(leaves, gradients, strict=True))

    return value_and_gradient


def functional(loss: Loss) -> ValueAndGradient:
    """``torch.func.grad_and_value`` of the loss."""
    transformed = grad_and_value(loss)

    def value_and_gradient(params: Arrays, X: Any, y: Any) -> tuple[Any, Arrays]:
        gradient, value = transformed(params, X, y)
        return value, gradient

    return value_and_gradient


def module_and_sgd(loss: Loss, batches: list[Any], params: Arrays) -> Baseline:
    """``zero_grad``, ``backward``, ``step``."""
    model = Model(params, loss)
    start = {name: p.clone() for name, p in params.items()}

    def backward(optimiser: Any) -> Any:
        optimiser.zero_grad()
        total = 0.0
        for X, y in batches:
            value = model(X, y)
            value.backward()
            total = total + value.detach()
        return total

    still = torch.optim.SGD(model.parameters(), lr=0.0)

    def step() -> tuple[Any, Arrays]:
        value = backward(still)
        return value, {"w": model.w.grad, "W": model.W.grad}

    def loop(steps: int, learning_rate: float) -> tuple[Any, Arrays]:
        optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate)
        losses = []
        for _ in range(steps):
            losses.append(backward(optimiser))
            optimiser.step()
        final = {name: p.detach().clone() for name, p in model.named_parameters()}
        model.load_state_dict(start)
        return torch.stack(losses), final

    return Baseline(name="nn.Module + SGD", step=step, loop=loop)
