"""``gradparity.stop`` is a constant for every derivative: in each framework, compiled or not, and in the truth.

Expected values are by hand: of ``sum(x * stop(x^2))`` the gradient is ``x^2`` and not ``3 x^2``, its Hessian is zero.
"""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity
from gradparity import stop
from gradparity.results import RunResult
from gradparity.truth.model.truth import neutral_reference
from tests.conftest import configured
from tests.user_model.models import model_file, model_folder

X = np.array([0.5, -1.25, 2.0])
V = np.array([1.0, 0.5, -2.0])
Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize("value", [X, 1.5, 3, True, None, "text", np.float32(2)])
def test_of_numbers_and_arrays_of_numpy_it_is_the_value_itself(value: Any):
    assert stop(value) is value


def test_of_containers_it_has_the_same_form():
    assert stop({"a": [1.0, (2, 3)], "b": Pair(1, None)}) == {"a": [1.0, (2, 3)], "b": Pair(1, None)}
    assert type(stop(Pair(1, 2))) is Pair


def test_what_it_cannot_stop_is_refused():
    class Own:
        pass

    with pytest.raises(TypeError, match="Own is no array whose gradient it knows how to stop"):
        stop(Own())


@pytest.mark.filterwarnings("ignore:Output seems independent of input")  # autograd's, of a Hessian that is zero
@pytest.mark.parametrize("name", ["autograd", "jax", "torch"])
def test_no_derivative_of_any_order_passes_in_a_backends_program(name: str):
    backend = configured(name)
    program = backend.program(lambda params, data: (params["x"] * stop(params["x"] ** 2)).sum())
    params, tangents = backend.put({"x": X}), backend.put({"x": V})
    value, gradient = program.value_and_gradient(params, {})
    np.testing.assert_allclose(float(value), (X**3).sum(), rtol=1e-15)
    np.testing.assert_allclose(backend.get(gradient)["x"], X**2, rtol=1e-15)
    np.testing.assert_allclose(float(program.jvp(params, {}, tangents)), (X**2 * V).sum(), rtol=1e-15)
    hvps = getattr(program, "hvps", None) or {"": program.hvp}
    for hvp in hvps.values():
        assert not backend.get(hvp(params, {}, tangents))["x"].any()


def test_under_jit_vmap_and_scan_of_jax():
    configured("jax")
    import jax
    import jax.numpy as jnp

    def loss(x: Any) -> Any:
        return jax.lax.scan(lambda total, each: (total + each * stop(each**2), None), 0.0, x)[0]

    for function in (loss, jax.jit(loss), jax.checkpoint(loss), lambda x: jax.vmap(loss)(x[None])[0]):
        np.testing.assert_allclose(jax.grad(function)(jnp.asarray(X)), X**2, rtol=1e-15)
        np.testing.assert_allclose(jax.jacfwd(function)(jnp.asarray(X)), X**2, rtol=1e-15)


def test_under_function_transforms_and_the_compiler_of_torch():
    configured("torch")
    import torch

    def loss(x: Any) -> Any:
        return (x * stop(x**2)).sum()

    x = torch.tensor(X)
    for gradient in (torch.func.grad(loss), torch.func.jacfwd(loss), torch.func.jacrev(loss)):
        np.testing.assert_allclose(gradient(x).numpy(), X**2, rtol=1e-15)
    np.testing.assert_allclose(torch.func.vmap(torch.func.grad(loss))(x[None])[0].numpy(), X**2, rtol=1e-15)
    seen = []

    def look_on(graph: Any, _: Any) -> Any:
        seen.append(graph)
        return graph.forward

    leaf = x.clone().requires_grad_()
    torch.compile(loss, backend=look_on, fullgraph=True, dynamic=False)(leaf).backward()
    assert len(seen) == 1
    np.testing.assert_allclose(leaf.grad.numpy(), X**2, rtol=1e-15)


NEUTRALS = {
    "a factor": (lambda p, d, xp: xp.sum(p["x"] * stop(p["x"] ** 2)), X**2, 0 * X),
    "a target": (lambda p, d, xp: xp.sum((p["x"] ** 2 - stop(xp.sin(p["x"]))) ** 2), None, None),
    "in a dictionary": (lambda p, d, xp: xp.sum(xp.exp(p["x"]) * stop({"y": p["x"]})["y"]), np.exp(X) * X, None),
    "a normaliser": (lambda p, d, xp: xp.log(xp.sum(xp.exp(p["x"] - stop(xp.max(p["x"]))))) + stop(xp.max(p["x"])),
                     None, None),
    "straight through": (lambda p, d, xp: xp.sum((p["x"] + stop(xp.sign(p["x"]) - p["x"])) * p["x"]),
                         np.sign(X) + X, 2 * V),
}  # fmt: skip


@pytest.mark.parametrize("which", NEUTRALS)
def test_in_the_certified_truth_it_is_a_constant_of_the_tape_forward_and_reverse(which: str):
    loss, gradient, product = NEUTRALS[which]
    found = neutral_reference(loss, {"x": X}, {}, {"x": V}, seed=0)
    assert found.method.startswith("certified in ball arithmetic")
    assert found.directions >= 1  # confirmed by forward mode
    if which == "a target":
        slope = 2 * (X**2 - np.sin(X))
        gradient, product = slope * 2 * X, (8 * X**2 + 2 * slope) * V
    if which == "a normaliser":
        p = np.exp(X) / np.exp(X).sum()
        gradient, product = p, p * V - p * (p @ V)
    if which == "in a dictionary":
        product = np.exp(X) * X * V
    np.testing.assert_allclose(found.truth["gradient", "x"].astype(float), gradient, rtol=1e-14)
    np.testing.assert_allclose(found.truth["hvp", "x"].astype(float), product, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(float(found.truth["jvp", ""]), gradient @ V, rtol=1e-14)


HEAD = """from gradparity import stop

def parameters(rng):
    return {"w": 0.5 * rng.standard_normal((4, 3)), "b": 0.1 * rng.standard_normal(3)}

def data(rng):
    return {"s": rng.standard_normal((16, 4)), "t": rng.standard_normal((16, 4)), "r": rng.standard_normal(16)}
"""

NEUTRAL = """
def loss(params, data, xp):
    q = lambda s: xp.tanh(s @ params["w"] + params["b"])
    target = data["r"] + 0.9 * {stop}(xp.max(q(data["t"]), axis=1))
    return xp.mean((xp.sum(q(data["s"]), axis=1) - target) ** 2)
"""

JAX = """
import jax
import jax.numpy as jnp
from gradparity import stop

def loss(params, data):
    q = lambda s: jnp.tanh(s @ params["w"] + params["b"])
    target = data["r"] + 0.9 * {stop}(q(data["t"]).max(1))
    return jnp.mean((q(data["s"]).sum(1) - target) ** 2)
"""

TORCH = """
import torch
from gradparity import stop

def loss(params, data):
    q = lambda s: torch.tanh(s @ params["w"] + params["b"])
    target = data["r"] + 0.9 * {stop}(q(data["t"]).amax(1))
    return torch.mean((q(data["s"]).sum(1) - target) ** 2)
"""


def verdicts(result: RunResult, quantity: str = "gradient") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in result.problems[0].findings:
        if each.quantity == quantity:
            found.setdefault(each.backend, set()).add(each.verdict)
    return found


def test_a_stop_that_the_model_declares_is_the_truth_and_ports_that_stop_there_agree(tmp_path: Path):
    ports = {"jax": JAX.format(stop="jax.lax.stop_gradient"), "torch": TORCH.format(stop="stop")}
    path = model_folder(tmp_path / "m", HEAD + NEUTRAL.format(stop="stop"), **ports)
    result = gradparity.check(path, backends=["autograd", "jax", "torch"], steps=5)
    assert result.ok, result
    assert result.problems[0].truth.startswith("certified")


def test_a_port_that_does_not_stop_where_the_model_declares_it_is_wrong(tmp_path: Path):
    path = model_folder(tmp_path / "m", HEAD + NEUTRAL.format(stop="stop"), torch=TORCH.format(stop=""))
    result = gradparity.check(path, backends=["autograd", "torch"], steps=2)
    assert verdicts(result) == {"autograd": {"agrees"}, "torch": {"wrong"}}
    assert verdicts(result, "loss") == {"autograd": {"agrees"}, "torch": {"agrees"}}


@pytest.mark.parametrize("jit", [pytest.param("", marks=[pytest.mark.slow, pytest.mark.variation]), "jax.jit"])
def test_without_a_truth_ports_that_declare_a_stop_are_not_denied_by_their_own_losses(tmp_path: Path, jit: str):
    jax = JAX.format(stop="stop") + (f"\nloss = {jit}(loss)\n" if jit else "")
    path = model_folder(tmp_path / "m", HEAD, jax=jax, torch=TORCH.format(stop="stop"))
    result = gradparity.check(path, backends=["jax", "torch"])
    assert result.ok, result
    own = {(each.backend, each.consistent) for each in result.problems[0].pairwise.own}
    assert own == ({("torch", True)} if jit else {("jax", True), ("torch", True)})


@pytest.mark.slow
def test_without_a_truth_a_wrong_gradient_beside_a_declared_stop_is_still_denied(tmp_path: Path):
    wrong = TORCH.format(stop="stop").replace(
        'q(data["s"]).sum(1)', '(q(data["s"]) + 0 * q(data["s"]).detach()).sum(1)'
    )
    wrong = wrong.replace("0 * q", "q").replace("+ q(data", "- 0.5 * q(data").replace("(q(data", "(1.5 * q(data", 1)
    path = model_folder(tmp_path / "m", HEAD, jax=JAX.format(stop="stop"), torch=wrong)
    result = gradparity.check(path, backends=["jax", "torch"])
    own = {each.backend: each.consistent for each in result.problems[0].pairwise.own}
    assert own == {"jax": True, "torch": False}
    assert not result.ok


@pytest.mark.slow
def test_a_one_file_model_with_a_parameter_under_a_stop_alone_has_a_zero_gradient_there(tmp_path: Path):
    text = HEAD + NEUTRAL.format(stop="stop").replace('q(data["s"])', 'data["s"] @ params["w"]')
    result = gradparity.check(model_file(tmp_path, text), backends=["autograd", "jax", "torch"], steps=2)
    assert result.ok, result
    (said,) = result.problems[0].diagnoses
    assert said.finding.startswith("the loss does not depend on b, or stops the gradient there")
