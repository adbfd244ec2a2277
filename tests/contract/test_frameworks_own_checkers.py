"""Each framework's own gradient checker accepts our loss in that framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gradparity.backends.protocol import Backend
from gradparity.model_spec.spec import ProjectedLogistic
from tests.contract.problems import drawn


def problem() -> Any:
    return drawn(ProjectedLogistic(features=5, projection=3, l2=0.1), 12, seed=6)


def test_autograd_check_grads_accepts_both_modes_and_two_orders(backend_of: Callable[[str], Backend]) -> None:
    backend = backend_of("autograd")
    from autograd.test_util import check_grads

    p = problem()
    loss, data = backend.loss(p.spec), backend.put(p.data)
    check_grads(lambda params: loss(params, data), modes=["fwd", "rev"], order=2)(backend.put(p.params))


@pytest.mark.slow
def test_jax_check_grads_accepts_both_modes_and_two_orders(backend_of: Callable[[str], Backend]) -> None:
    backend = backend_of("jax")
    from jax.test_util import check_grads

    p = problem()
    loss, data = backend.loss(p.spec), backend.put(p.data)
    check_grads(lambda params: loss(params, data), (backend.put(p.params),), order=2)


def test_torch_gradcheck_and_gradgradcheck_accept_the_loss(backend_of: Callable[[str], Backend]) -> None:
    backend = backend_of("torch")
    import torch

    p = problem()
    loss, data = backend.loss(p.spec), backend.put(p.data)
    w, W = (value.requires_grad_() for value in backend.put(p.params).values())
    assert torch.autograd.gradcheck(lambda w, W: loss({"w": w, "W": W}, data), (w, W), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda w, W: loss({"w": w, "W": W}, data), (w, W))
