"""What experts and the documentation of each framework write for this model, with no harness around it.

The model is the projected logistic loss summed over rows, ``sum_i softplus(z_i) - y_i z_i``, of float64 data with
labels in {0, 1}. One file per framework, which imports that framework and no other; this registry imports none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Arrays = Mapping[str, Any]
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
