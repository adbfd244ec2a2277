"""A derivative that is zero arrives as numbers: PyTorch's forward mode writes one as a tensor without memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.backends import torch_compiled, torch_eager

#: Each with its gradient at the parameter below; linear beside it, so that its second derivative is zero.
LINEAR: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "absolute values": (lambda w: w.abs().sum(), [1, -1, 1, -1]),
    "relu": (lambda w: w.relu().sum(), [1, 0, 1, 0]),
    "a sum": (lambda w: 3 * w.sum(), [3, 3, 3, 3]),
    "the largest": (lambda w: w.max(), [0, 0, 1, 0]),
    "a clamp": (lambda w: w.clamp(-1, 1).sum(), [1, 1, 0, 0]),
    "a leaky relu": (lambda w: (w * (w > 0)).sum() + 0.5 * (w * (w <= 0)).sum(), [1, 0.5, 1, 0.5]),
    "nothing at all": (lambda w: (w.sign() ** 2).sum() + 0 * w.sum(), [0, 0, 0, 0]),
    "a value that is detached": (lambda w: w.detach().square().sum() + w[0], [1, 0, 0, 0]),
    "rounded": (lambda w: w.round().sum(), [0, 0, 0, 0]),
}
AT, ALONG = np.array([0.5, -0.25, 2.0, -3.0]), np.array([1.0, 2.0, -1.0, 0.5])


@pytest.mark.parametrize("name", LINEAR)
def test_every_quantity_of_a_piecewise_linear_loss_is_numbers(name: str) -> None:
    held_to(torch_eager.backend, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LINEAR)
def test_every_quantity_of_a_compiled_one_is_too(name: str) -> None:
    held_to(torch_compiled.backend, name)


def held_to(backend: Any, name: str) -> None:
    loss, gradient = LINEAR[name]
    program = backend.program(lambda params, data: loss(params["w"]))
    params, along = backend.put({"w": AT}), backend.put({"w": ALONG})
    assert backend.get(program.value_and_gradient(params, {})[1])["w"].tolist() == gradient
    assert backend.get({"": program.jvp(params, {}, along)})[""] == np.dot(gradient, ALONG)
    assert len(program.hvps) == 2
    for way in program.hvps.values():
        found = backend.get(way(params, {}, along))["w"]
        assert found.dtype == np.float64
        assert found.tolist() == [0.0] * 4
