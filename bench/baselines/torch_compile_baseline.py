"""PyTorch, compiled: ``torch.compile`` of the value and gradient, and of the whole step with its update.

Held against it too are the eager styles, since at large sizes there is little to fuse. Reference: the PyTorch tutorials
"Introduction to torch.compile" and "Compiling the optimizer with torch.compile".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from gradparity.benchmark.baselines import Arrays, Baseline, descending, summed
from gradparity.benchmark.baselines.torch_baseline import baselines as eager
from gradparity.benchmark.baselines.torch_baseline import functional, loss_of


def baselines(formulation: str, params: Arrays, data: Arrays, block_rows: int) -> Iterator[Baseline]:
    """The compiled step, whose loop is compiled a step at a time, and the eager styles."""
    yield compiled(formulation, params, data, block_rows)
    yield from eager(formulation, params, data, block_rows)


def compiled(formulation: str, params: Arrays, data: Arrays, block_rows: int) -> Baseline:
    """Each block of rows is one compiled call; the whole step is one where there is a single block."""
    X, y = data["X"], data["y"]
    rows = block_rows if formulation == "blocked" else len(y)
    batches = list(zip(X.split(rows), y.split(rows), strict=True))
    of_rows = functional(loss_of(formulation))
    value_and_gradient = summed(torch.compile(of_rows), batches)
    if len(batches) > 1:
        return descending("torch.compile", value_and_gradient, params, torch.stack)

    @torch.compile
    def whole_step(params: Any, X: Any, y: Any, learning_rate: Any) -> tuple[Any, Any]:
        value, gradient = of_rows(params, X, y)
        return value, {name: params[name] - learning_rate * gradient[name] for name in params}

    def loop(steps: int, learning_rate: float) -> tuple[Any, Arrays]:
        at, losses, rate = params, [], torch.tensor(learning_rate, dtype=X.dtype)
        for _ in range(steps):
            value, at = whole_step(at, X, y, rate)
            losses.append(value)
        return torch.stack(losses), at

    return Baseline(name="torch.compile", step=lambda: value_and_gradient(params), loop=loop)
