"""Taps under what frameworks transform and compile: vmap, checkpoints, scans, jit, and callbacks of many entries."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from gradparity import tap
from gradparity.processes.environment import worker_environment
from gradparity.worker.messages import Recorded
from tests.conftest import configured
from tests.taps.models import DATA, PARAMS, assert_close, by_hand, network, of


def row_loss(xp: Any) -> Any:
    """One example's loss; ``W`` is tapped too, which the rows share."""

    def row(params, x):
        h = tap("h", xp.tanh(x @ tap("W", params["W"])))
        return tap("out", h @ params["v"]) ** 2

    return row


def batched(name: str, *, inside: bool) -> Any:
    """The network's loss with ``vmap`` over rows; ``inside``: over gradients of rows, as per-example gradients are."""
    row = row_loss(configured(name).namespace())
    if name == "jax":
        import jax

        grad, vmap = jax.grad, jax.vmap
    else:
        from torch.func import grad, vmap
    if not inside:
        return lambda params, data: vmap(row, (None, 0))(params, data["X"]).sum()
    return lambda params, data: vmap(grad(row), (None, 0))(params, data["X"])["v"].sum()


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_under_vmap_values_have_the_batch_axis_in_front_and_a_shared_value_has_its_whole_cotangent(name: str):
    got = of(name, batched(name, inside=False))
    values, cotangents = by_hand()
    assert set(got.values) == {"W#0", "h#0", "out#0"}
    np.testing.assert_allclose(got.values["h#0"], values["h#0"])
    np.testing.assert_allclose(got.cotangents["h#0"], cotangents["h#0"])
    np.testing.assert_allclose(got.cotangents["out#0"], cotangents["out#0"])
    np.testing.assert_array_equal(got.values["W#0"], PARAMS["W"])
    np.testing.assert_allclose(got.cotangents["W#0"], DATA["X"].T @ cotangents["z#0"])


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_under_vmap_of_gradients_values_are_batched_too(name: str):
    got = of(name, batched(name, inside=True))
    np.testing.assert_allclose(got.values["h#0"], by_hand()[0]["h#0"])


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_nested_vmaps_stack_their_axes_the_outermost_first_whatever_axis_was_mapped(name: str):
    if name == "jax":
        from jax import vmap
    else:
        from torch.func import vmap

    def loss(params, data):
        # T (2, 3, 4): mapped over its last axis, and within over its first.
        cell = lambda x, v: tap("cell", x * v)  # noqa: E731
        return vmap(lambda x, v: vmap(cell, (0, None))(x, v), (2, 0))(data["T"], params["v"]).sum()

    T = np.arange(24.0).reshape(2, 3, 4)
    got = of(name, loss, data={"T": T})
    expected = np.einsum("ijk,k->kij", T, PARAMS["v"])
    np.testing.assert_array_equal(got.values["cell#0"], expected)
    np.testing.assert_array_equal(got.cotangents["cell#0"], np.ones((4, 2, 3)))


def test_torch_func_grad_of_the_loss_inside_a_forward_pass_leaves_the_value():
    configured("torch")
    import torch

    got = of("torch", lambda params, data: torch.func.jvp(network("torch"), (params, data), (params, data))[1])
    np.testing.assert_allclose(got.values["h#0"], by_hand()[0]["h#0"])


def test_in_torch_a_tapped_value_may_be_changed_in_place():
    def loss(params, data):
        h = tap("h", params["v"] * 2.0)
        h *= 3.0
        return h.sum()

    got = of("torch", loss)
    np.testing.assert_array_equal(got.values["h#0"], PARAMS["v"] * 2.0)
    np.testing.assert_array_equal(got.cotangents["h#0"], np.full(4, 3.0))


@pytest.mark.parametrize(
    "name, how, jitted",
    [("torch", "layers", False), *(("jax", how, jitted) for how in ("layers", "scan") for jitted in (False, True))],
)
def test_checkpointed_layers_and_the_steps_of_a_scan_are_recorded_once(name: str, how: str, jitted: bool):
    configured(name)
    if name == "torch":
        from torch.utils.checkpoint import checkpoint

        layer = lambda h: checkpoint(lambda h: tap("h", h.tanh()), h, use_reentrant=False)  # noqa: E731
    else:
        import jax

        tanh = lambda h: tap("h", jax.numpy.tanh(h))  # noqa: E731
        layer = tanh if how == "scan" else jax.checkpoint(tanh)

    def loss(params, data):
        if how == "scan":
            return jax.lax.scan(lambda h, _: (layer(h), None), params["v"], length=3)[0].sum()
        return layer(layer(layer(params["v"]))).sum()

    assert_layers(of(name, jax.jit(loss) if jitted else loss))


def assert_layers(got: Recorded) -> None:
    """Three layers of tanh from v, summed: values, and cotangents from the last to the first."""
    values = [np.tanh(PARAMS["v"])]
    for _ in range(2):
        values.append(np.tanh(values[-1]))
    cotangents = [np.ones(4)]
    for h in reversed(values[1:]):
        cotangents.insert(0, cotangents[0] * (1 - h * h))
    assert_close(got.values, {f"h#{i}": value for i, value in enumerate(values)})
    assert_close(got.cotangents, {f"h#{i}": value for i, value in enumerate(cotangents)})


@pytest.mark.parametrize("own_caches", [True, False], ids=["caches of its own", "an older JAX"])
def test_a_function_that_jax_has_compiled_before_is_recorded_and_is_itself_again_afterwards(monkeypatch, own_caches):
    backend = configured("jax")
    import jax

    from gradparity.backends.taps import jax_taps

    if not own_caches:
        monkeypatch.setattr(jax_taps, "_recording", None)
    elif jax_taps._recording is None:
        pytest.skip("this JAX has no user contexts")

    traced = []

    @jax.jit
    def loss(params, data):
        traced.append(1)
        return network("jax")(params, data)

    arguments = backend.put(PARAMS), backend.put(DATA)
    loss(*arguments)
    for _ in range(2):
        assert_close(of("jax", loss).cotangents, by_hand()[1])
    if own_caches:
        assert len(traced) == 2  # once with taps for both recordings, and once without
        loss(*arguments)
        assert len(traced) == 2
    assert "callback" not in str(jax.make_jaxpr(loss)(*arguments))


MILLION = """
import jax
import numpy as np
from gradparity import tap
from tests.taps.models import PARAMS, of

x = np.linspace(0.0, 1.0, 10**6)
loss = jax.jit(lambda params, data: (tap("big", params["v"][0] * data["x"]) ** 2).sum())
np.testing.assert_allclose(of("jax", loss, data={"x": x}).cotangents["big#0"], 2 * PARAMS["v"][0] * x, rtol=1e-12)
"""


def test_a_million_entries_pass_the_callbacks_of_one_thread():
    configured("jax")
    # In a process of its own, as a worker is: in one that other tests had used it was seen to wait for ever.
    environment = {**worker_environment(1), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", MILLION], env=environment, check=True, timeout=120)
