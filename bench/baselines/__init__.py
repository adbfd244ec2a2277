"""What experts and the documentation of each framework write for this model, with no harness around it.

The model is the projected logistic loss summed over rows, ``sum_i softplus(z_i) - y_i z_i``, of float64 data with
labels in {0, 1}. One file per framework, which imports that framework and no other; this registry imports none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Arrays = Mapping[str, Any]
#: ``value_and_gradient(params)`` of all rows, or ``(params, X, y)`` of some.
ValueAndGradient = Callable[..., tuple[Any, Arrays]]
#: Value and gradient at the parameters that the baseline was built with.
Step = Callable[[], tuple[Any, Arrays]]
#: ``loop(steps, learning_rate)``: the losses before each step of gradient descent, and the final parameters.
Loop = Callable[[int, float], tuple[Any, Arrays]]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """One way of writing it. ``step`` or ``loop`` is None where another baseline of the file has the same.

    Both return arrays of the framework, complete: asynchronous work is waited for.
    """

    name: str
    step: Step | None
    loop: Loop | None


def summed(of_rows: ValueAndGradient, batches: Sequence[tuple[Any, Any]]) -> ValueAndGradient:
    """Value and gradient of all rows, from those of batches of ``X`` and ``y``."""

    def value_and_gradient(params: Arrays) -> tuple[Any, Arrays]:
        (X, y), *rest = batches
        total, sums = of_rows(params, X, y)
        for X, y in rest:
            value, gradient = of_rows(params, X, y)
            total, sums = total + value, {name: sums[name] + gradient[name] for name in sums}
        return total, sums

    return value_and_gradient


def descending(
    name: str, value_and_gradient: ValueAndGradient, params: Arrays, stack: Callable[[list[Any]], Any]
) -> Baseline:
    """A step, and the Python loop around it; ``stack`` makes the losses one array."""

    def loop(steps: int, learning_rate: float) -> tuple[Any, Arrays]:
        at, losses = params, []
        for _ in range(steps):
            value, gradient = value_and_gradient(at)
            losses.append(value)
            at = {name: at[name] - learning_rate * gradient[name] for name in at}
        return stack(losses), at

    return Baseline(name=name, step=lambda: value_and_gradient(params), loop=loop)


#: Module of the baselines that each backend is held to. Each has ``baselines(formulation, params, data, block_rows)``.
MODULES: Mapping[str, str] = {
    "numpy": "gradparity.benchmark.baselines.numpy_baseline",
    "autograd": "gradparity.benchmark.baselines.autograd_baseline",
    "jax": "gradparity.benchmark.baselines.jax_baseline",
    "torch": "gradparity.benchmark.baselines.torch_baseline",
    "torch-compile": "gradparity.benchmark.baselines.torch_compile_baseline",
}


def baselines(backend: str, formulation: str, params: Arrays, data: Arrays, block_rows: int) -> Iterator[Baseline]:
    """Every baseline of one backend, built around its framework's own arrays.

    Args:
        backend: a name in `MODULES`.
        formulation: ``as_written``, ``reassociated`` or ``blocked``.
        params: ``w (L,)`` and ``W (F, L)``.
        data: ``X (S, F)`` and ``y (S,)``.
        block_rows: rows in a block under ``blocked``.
    """
    found: Iterator[Baseline] = import_module(MODULES[backend]).baselines(formulation, params, data, block_rows)
    return found
