"""One small network with taps, and wrong ports of it, in every framework; and its values and cotangents by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity import tap
from gradparity.worker.messages import Recorded
from gradparity.worker.recording import record
from tests.conftest import configured

DIFFERENTIATED = ("autograd", "jax", "torch")

_RNG = np.random.default_rng(7)
PARAMS = {"W": _RNG.normal(size=(4, 4)), "v": _RNG.normal(size=4)}
DATA = {"X": _RNG.normal(size=(4, 4))}


def network(name: str, fault: str = "") -> Any:
    """``sum_i (tanh(X W) v)_i^2`` with taps ``z``, ``h`` and ``out``, or with a fault between two of them."""
    xp = configured(name).namespace()

    def loss(params: Any, data: Any) -> Any:
        z = tap("z", data["X"] @ params["W"])
        h = xp.tanh(z)
        if fault == "transposed":
            h = h.T
        if fault == "scaled vjp":
            h = same_value_other_slope(name)(h)
        if fault == "detached":
            h = detached(name)(h)
        if fault == "shape":
            h = xp.stack([h, h])
        h = tap("h", h)
        out = tap("out", h @ params["v"])
        return (out * out).sum()

    return loss


def same_value_other_slope(name: str) -> Any:
    """The identity, whose derivative is said to be 2."""
    if name == "autograd":
        from autograd.extend import defvjp, primitive

        identity = primitive(lambda x: x)
        defvjp(identity, lambda ans, x: lambda g: 2 * g)
        return identity
    if name == "jax":
        import jax

        identity = jax.custom_vjp(lambda x: x)
        identity.defvjp(lambda x: (x, None), lambda _, g: (2 * g,))
        return identity
    import torch

    class Identity(torch.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return x.clone()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return 2 * g

    return Identity.apply


def detached(name: str) -> Any:
    """A cut of the backward path."""
    if name == "autograd":
        from autograd.tracer import getval

        return getval
    if name == "jax":
        import jax

        return jax.lax.stop_gradient
    return lambda x: x.detach()


def by_hand(params: Any = PARAMS, data: Any = DATA) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values and cotangents of the network by the chain rule written out."""
    z = data["X"] @ params["W"]
    h = np.tanh(z)
    out = h @ params["v"]
    g_out = 2 * out
    g_h = np.outer(g_out, params["v"])
    return {"z#0": z, "h#0": h, "out#0": out}, {"z#0": g_h * (1 - h * h), "h#0": g_h, "out#0": g_out}


def of(name: str, loss: Any, params: Any = PARAMS, data: Any = DATA, draws: int = 0) -> Recorded:
    return record(configured(name), loss, params, data, draws=draws)


def assert_close(got: Any, expected: Any) -> None:
    assert list(got) == list(expected)
    for key, value in expected.items():
        assert got[key].shape == value.shape
        np.testing.assert_allclose(got[key], value, rtol=1e-12, atol=1e-12)
