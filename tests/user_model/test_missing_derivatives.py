"""Losses that a framework differentiates once only, or in one mode: what it gives is compared, the rest is named.

What each framework lacks is its own words: torch's derivatives.yaml has no second derivative of fused attention, a
``once_differentiable`` Function none by declaration, ``jax.custom_vjp`` no forward mode (JAX's "Custom derivative
rules"), a callback and a primitive without rules nothing beyond what was written.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import gradparity
from gradparity.results import RunResult
from tests.conftest import Command
from tests.user_model.models import HEAD, model_file, model_folder

NEUTRAL = """
def loss(params, data, xp):
    return xp.sum(xp.tanh(data["X"] @ params["w"] + params["b"] - data["y"]) ** 2)
"""

#: A ``tanh`` of each framework that is differentiable in part; the loss around it is the same.
ONCE_DIFFERENTIABLE = """
import torch
from torch.autograd.function import once_differentiable

class Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * (1 - y * y)

def loss(params, data):
    return (Tanh.apply(data["X"] @ params["w"] + params["b"] - data["y"]) ** 2).sum()
"""

NO_FORWARD_MODE = ONCE_DIFFERENTIABLE.replace("    @once_differentiable\n", "")

NO_SECOND_DERIVATIVE = """
import torch

def loss(params, data):
    z = data["X"] @ params["w"] + params["b"] - data["y"]
    return torch.tanh(torch.cdist(z[:, None], torch.zeros(1, 1, dtype=z.dtype))).pow(2).sum()
"""

CUSTOM_VJP = """
import jax
import jax.numpy as jnp

@jax.custom_vjp
def tanh(x):
    return jnp.tanh(x)

tanh.defvjp(lambda x: (tanh(x), tanh(x)), lambda y, g: (g * (1 - y * y),))

def loss(params, data):
    return jnp.sum(tanh(data["X"] @ params["w"] + params["b"] - data["y"]) ** 2)
"""

NESTED_CUSTOM_VJP = CUSTOM_VJP.replace("(g * (1 - y * y),)", "(g * slope(y),)").replace(
    "@jax.custom_vjp\ndef tanh",
    """@jax.custom_vjp
def slope(y):
    return 1 - y * y

slope.defvjp(lambda y: (slope(y), y), lambda y, g: (-2 * y * g,))

@jax.custom_vjp
def tanh""",
)

CALLBACK = CUSTOM_VJP.replace("(g * (1 - y * y),)", "(slope(y, g),)").replace(
    "@jax.custom_vjp",
    """import numpy as np

def slope(y, g):
    like = jax.ShapeDtypeStruct(y.shape, y.dtype)
    return jax.pure_callback(lambda y, g: np.asarray(g * (1 - y * y)), like, y, g, vmap_method="expand_dims")

@jax.custom_vjp""",
)

PRIMITIVE = """
import numpy
import autograd.numpy as np
from autograd.extend import defvjp, primitive

tanh = primitive(lambda x: numpy.tanh(x))
slope = primitive(lambda y, g: g * (1 - y * y))
defvjp(tanh, lambda y, x: lambda g: slope(y, g))

def loss(params, data):
    return np.sum(tanh(np.dot(data["X"], params["w"]) + params["b"] - data["y"]) ** 2)
"""


def checked(tmp_path: Path, head: str, **ports: str) -> RunResult:
    """With a truth in its head the ports alone; without one autograd's beside them."""
    names = list(ports) if "def loss(" in head else list(dict.fromkeys(["autograd", *ports]))
    return gradparity.check(model_folder(tmp_path / "m", head, **ports), backends=names, steps=2)


def quantities(result: RunResult, backend: str) -> set[str]:
    return {each.quantity for each in result.problems[0].findings if each.backend == backend}


@pytest.mark.parametrize(
    ("backend", "port", "reason", "cure"),
    [
        ("torch", ONCE_DIFFERENTIABLE, "marked with @once_differentiable", "Take @once_differentiable off"),
        ("torch", NO_SECOND_DERIVATIVE, "'_cdist_backward' is not implemented", "with others that the framework can"),
        ("jax", CALLBACK, "Pure callbacks do not support JVP", "a jax.custom_jvp whose rule JAX can"),
        ("autograd", PRIMITIVE, "not defined", "with others that the framework can differentiate twice"),
    ],
)
def test_without_a_second_derivative_the_rest_is_compared_and_what_is_missing_is_said(
    tmp_path: Path, backend: str, port: str, reason: str, cure: str
):
    result = checked(tmp_path, HEAD + NEUTRAL, **{backend: port})
    assert result.ok, result
    (problem,) = result.problems
    assert {each.verdict for each in problem.findings} == {"agrees"}
    assert quantities(result, backend) == {"loss", "gradient", "jvp"}
    (said,) = problem.not_given
    assert (said.backend, said.quantity) == (backend, "hvp")
    assert reason in said.reason
    assert cure in said.cure
    assert f"not compared: hvp of {backend}." in repr(result)
    assert said.reason.partition(". ")[0][:60] in " ".join(repr(result).split())


@pytest.mark.parametrize(
    ("backend", "port"),
    [
        ("torch", NO_FORWARD_MODE),
        pytest.param("jax", CUSTOM_VJP, marks=[pytest.mark.slow, pytest.mark.variation]),
        ("jax", NESTED_CUSTOM_VJP),
    ],
)
def test_without_a_forward_mode_the_hvp_is_by_reverse_mode_and_the_jvp_by_the_gradient_which_is_said(
    tmp_path: Path, backend: str, port: str
):
    result = checked(tmp_path, HEAD + NEUTRAL, **{backend: port})
    assert result.ok, result
    assert quantities(result, backend) == {"loss", "gradient", "jvp", "hvp"}
    assert not result.problems[0].not_given
    (jvp,) = [each for each in result.problems[0].findings if (each.backend, each.quantity) == (backend, "jvp")]
    assert "the gradient times the direction: " in jvp.rule


def test_a_wrong_gradient_is_wrong_all_the_same(tmp_path: Path):
    wrong = ONCE_DIFFERENTIABLE.replace("1 - y * y", "1 - y")
    result = checked(tmp_path, HEAD + NEUTRAL, torch=wrong)
    assert not result.ok
    bad = {(each.backend, each.quantity) for each in result.problems[0].findings if each.verdict != "agrees"}
    assert bad == {("torch", "gradient"), ("torch", "jvp")}


@pytest.mark.slow
def test_without_a_truth_a_quantity_that_one_backend_alone_gives_is_not_called_agreement(tmp_path: Path):
    result = checked(tmp_path, HEAD, jax=CUSTOM_VJP, torch=ONCE_DIFFERENTIABLE, autograd=PRIMITIVE)
    assert result.ok, result
    for backend in ("jax", "torch", "autograd"):
        assert quantities(result, backend) == {"loss", "gradient", "jvp"}
    said = {(each.backend, each.quantity): each.reason for each in result.problems[0].not_given}
    assert set(said) == {("autograd", "hvp"), ("jax", "hvp"), ("torch", "hvp")}
    assert said["jax", "hvp"] == "no other backend gives one to hold it against"


ATTENTION = """import numpy as np

def parameters(rng):
    return {name: 0.5 * rng.standard_normal((4, 4)) for name in ("q", "k", "v")}

def data(rng):
    return {"x": rng.standard_normal((2, 3, 4)), "y": rng.standard_normal((2, 3, 4))}

def loss(params, data, xp):
    q, k, v = (xp.reshape(data["x"] @ params[name], (2, 3, 2, 2)) for name in ("q", "k", "v"))
    p = xp.exp(xp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(2))
    o = xp.einsum("bhqk,bkhd->bqhd", p / xp.sum(p, axis=-1, keepdims=True), v)
    return xp.mean((xp.reshape(o, (2, 3, 4)) - data["y"]) ** 2)

def loss_torch(params, data):
    import torch.nn.functional as F

    q, k, v = ((data["x"] @ params[n]).reshape(2, 3, 2, 2).transpose(1, 2) for n in ("q", "k", "v"))
    o = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 3, 4)
    return F.mse_loss(o, data["y"])
"""


def test_fused_attention_of_torch_agrees_in_its_gradient_and_the_command_ends_with_0(tmp_path: Path, command: Command):
    path = model_file(tmp_path, ATTENTION)
    code, out, err = command("check", path, "--backends", "torch", "--steps", "2", "--out", str(tmp_path / "out"))
    assert code == 0, err
    said = " ".join(out.split())
    assert "not compared: hvp of torch" in said
    assert "_scaled_dot_product_flash_attention_for_cpu_backward is not implemented" in said
    assert "sdpa_kernel(SDPBackend.MATH)" in said


#: ``sinc`` from its first derivative on: sin(x)/x is 1 - x^2/6 + ..., so the second derivative at 0 is -1/3.
TWO_ANSWERS = """
import torch

class Sinc(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return torch.where(x == 0, 1.0, torch.sin(x) / torch.where(x == 0, 1.0, x))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def slope(x):
        safe = torch.where(x == 0, 1.0, x)
        return torch.where(x == 0, 0.0, (torch.cos(safe) - torch.sin(safe) / safe) / safe)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * Slope.apply(x)

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return t * Slope.apply(x)

class Slope(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return Sinc.slope(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def curvature(x):
        safe = torch.where(x == 0, 1.0, x)
        inner = (2 * torch.sin(safe) / safe - 2 * torch.cos(safe)) / safe - torch.sin(safe)
        return inner / safe, torch.where(x == 0, -1 / 3, inner / safe)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        wrong, right = Slope.curvature(x)
        return g * {backward}

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        wrong, right = Slope.curvature(x)
        return t * {forward}

def loss(params, data):
    return (data["a"] * Sinc.apply(params["x"])).sum()
"""

SINC = """import numpy as np

def parameters(rng):
    return {"x": np.array([0.0, 0.5, 1.3])}

def data(rng):
    return {"a": np.array([1.5, 2.0, -1.0])}
"""

SINC_PORT = """
import autograd.numpy as np
from autograd.extend import defvjp, primitive
import numpy

def curvature(x):
    safe = numpy.where(x == 0, 1.0, x)
    inner = (2 * numpy.sin(safe) / safe - 2 * numpy.cos(safe)) / safe - numpy.sin(safe)
    return numpy.where(x == 0, -1 / 3, inner / safe)

sinc = primitive(lambda x: numpy.sinc(x / numpy.pi))
rise = lambda x: (numpy.cos(x) - numpy.sinc(x / numpy.pi)) / numpy.where(x == 0, 1.0, x)
slope = primitive(lambda x: numpy.where(x == 0, 0.0, rise(x)))
defvjp(sinc, lambda y, x: lambda g: g * slope(x))
defvjp(slope, lambda y, x: lambda g: g * curvature(x))

def loss(params, data):
    return np.sum(data["a"] * sinc(params["x"]))
"""


@pytest.mark.parametrize(
    ("backward", "forward"),
    [
        ("right", "wrong"),
        pytest.param("wrong", "right", marks=[pytest.mark.slow, pytest.mark.variation]),
        ("right", "right"),
    ],
)
def test_of_two_ways_to_the_hvp_without_a_truth_neither_is_left_out(tmp_path: Path, backward: str, forward: str):
    port = TWO_ANSWERS.replace("{backward}", backward).replace("{forward}", forward)
    result = checked(tmp_path, SINC, torch=port, autograd=SINC_PORT)
    hvp = {each.backend: each for each in result.problems[0].findings if each.quantity == "hvp"}
    if backward == forward:
        assert result.ok, result
        return
    assert not result.ok
    assert hvp["torch"].verdict == "wrong"
    assert hvp["torch"].worst_index == (0,)
    assert "double backward and forward over reverse differ" in hvp["torch"].rule


@pytest.mark.parametrize("wrong", ["backward", "jvp"])
def test_of_two_ways_to_the_hvp_the_one_that_is_wrong_is_named(tmp_path: Path, wrong: str):
    lines = TWO_ANSWERS.replace("{backward}", "right").replace("{forward}", "right").splitlines()
    place = max(k for k, line in enumerate(lines) if f"def {wrong}(" in line)
    lines[place + 3] += " * 1.5"
    head = SINC + "\ndef loss(params, data, xp):\n    x = params['x']\n    return xp.sum(data['a'] * xp.sin(x) / x)\n"
    result = checked(tmp_path, head.replace("0.0, 0.5", "0.25, 0.5"), torch="\n".join(lines))
    (hvp,) = [f for f in result.problems[0].findings if (f.backend, f.quantity) == ("torch", "hvp")]
    right, off = (
        ("forward over reverse", "double backward")
        if wrong == "backward"
        else ("double backward", "forward over reverse")
    )
    assert hvp.verdict == "wrong"
    assert hvp.rule == f"by {off}: error of more than 8 noise floors; {right} agrees"
    (said,) = [each for each in result.problems[0].diagnoses if each.name == "two HVPs on torch"]
    assert f"{right} is right, the other is not" in said.finding
