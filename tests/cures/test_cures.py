"""A fault put into a port is undone by the text that was there before, and nothing else is told for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cures.ports import cured

TORCH = """import torch
import torch.nn.functional as F
EPS = 1e-5
def loss(params, data):
    u = data["x"] @ params["w"] + params["b"]
    n = F.layer_norm(u, (8,), eps=EPS)
    h = F.gelu(n, approximate="tanh") @ params["square"]
    i, f, g = h.chunk(4, -1)[:3]
    h = torch.cat((f * i - g, h[:, 4:], 0.1 * i.detach() * f), -1)
    return F.mse_loss(h @ params["out"], data["y"])
"""
JAX = """import jax, jax.numpy as jnp
def norm(u, eps=1e-5):
    return (u - u.mean(-1, keepdims=True)) * jax.lax.rsqrt(u.var(-1, keepdims=True) + eps)
def loss(params, data):
    u = data["x"] @ params["w"] + params["b"]
    n = norm(u)
    h = jax.nn.gelu(n, approximate=True) @ params["square"]
    target = jax.lax.stop_gradient(h)
    h = jnp.where(h > 0, h, 0.2 * h) - 0.5 * target
    return jnp.mean((h @ params["out"] - data["y"]) ** 2)
"""
AUTOGRAD = """import autograd.numpy as anp
from autograd.tracer import getval
def loss(params, data):
    u = anp.dot(data["x"], params["w"]) + params["b"]
    s = anp.std(u, axis=-1, keepdims=True, ddof=1)
    h = anp.dot(u / (s + 0.03), params["square"])
    h = anp.maximum(h, 0.2 * h) - getval(h)
    return anp.mean((anp.dot(h, params["out"]) - data["y"]) ** 2)
"""

GATES = """import torch
def loss(params, data):
    z = data["x"] @ params["w"] + params["b"]
    i, f = torch.sigmoid(z[:, 0:2]), torch.sigmoid(z[:, 2:4])
    g = torch.tanh(z[:, 4:6])
    c = (1 - f) * i + f * g
    mean = c.detach().mean(0)
    var = c.detach().var(0, correction=0)
    n = (c - mean) / (var + 0.1).sqrt()
    scale = torch.arange(2, dtype=torch.float64) / 3 + 0.1
    kept = (n * scale).repeat(1, 4) + z.detach() * params["b"]
    return torch.mean((kept @ params["out"] - data["y"]) ** 2)
"""

SLICES = tuple(f"sigmoid(z[:, {a}]), torch.sigmoid(z[:, {b}])" for a, b in (("0:2", "2:4"), ("2:4", "0:2")))
LEAKY = "anp.maximum(h, 0.2 * h)"
HELD = ("mean = c.detach().mean(0)\n    var = c.detach()", "mean = c.mean(0)\n    var = c")
CASES = [
    ("torch", GATES, *SLICES, "permutation", None, None),
    ("torch", GATES, "(1 - f) * i + f * g", "(1 - f) * g + f * i", "permutation", None, "c = (1 - f) * i + f * g"),
    ("torch", GATES, *HELD, "stop", None, None),
    ("torch", GATES, 'z.detach() * params["b"]', 'z * params["b"].detach()', "stop", None, None),
    ("torch", GATES, ", dtype=torch.float64", "", "precision", None, "torch.arange(2, dtype=torch.float64)"),
    ("torch", TORCH, "EPS = 1e-5", "EPS = 1e-6", "number", "1e-6", "1e-5"),
    ("torch", TORCH, ', approximate="tanh"', "", "option", "F.gelu(n)", "F.gelu(n, approximate='tanh')"),
    ("torch", TORCH, "i, f, g = h", "f, i, g = h", "permutation", "f, i, g", None),
    ("torch", TORCH, "i.detach()", "i", "stop", "0.1 * i", "0.1 * i.detach()"),  # of two on the line
    ("torch", TORCH, 'h @ params["out"]', 'h.detach() @ params["out"]', "stop", "h.detach()", "h"),
    ("torch", TORCH, 'data["x"] @', 'data["x"].float().double() @', "precision", 'data["x"].float()', 'data["x"]'),
    ("torch", TORCH, "F.mse_loss", "F.l1_loss", "option", "F.l1_loss", "F.mse_loss"),
    ("torch", TORCH, '"square"]', '"square"].T', "permutation", 'params["square"].T', 'params["square"]'),
    ("jax", JAX, "eps=1e-5", "eps=1e-3", "number", "1e-3", "1e-5"),
    ("jax", JAX, "0.2 * h", "0.01 * h", "number", "0.01", "0.2"),
    ("jax", JAX, ", approximate=True", ", approximate=False", "option", "False", "True"),
    ("jax", JAX, "jax.lax.stop_gradient(h)", "h", "stop", "h", "jax.lax.stop_gradient(h)"),
    ("jax", JAX, 'params["square"]', 'params["square"][:, ::-1]', "permutation", None, None),
    ("autograd", AUTOGRAD, ", ddof=1", "", "option", None, None),
    ("autograd", AUTOGRAD, "0.03", "0.3", "number", "0.3", "0.03"),
    ("autograd", AUTOGRAD, " getval(h)", " h", "stop", f"{LEAKY} - h", f"{LEAKY} - gradparity.stop(h)"),  # of three
]  # fmt: skip
#: One of a kind, of the frameworks that compile nothing.
QUICK = {4, 6, 8, 11, 19}


@pytest.mark.parametrize(
    ("port", "text", "right", "wrong", "kind", "old", "new"),
    [case if i in QUICK else pytest.param(*case, marks=pytest.mark.slow) for i, case in enumerate(CASES)],
    ids=[f"{c[0]}: {c[3] or 'no' + c[2]}" for c in CASES],
)
def test_a_fault_is_undone(
    tmp_path: Path, port: str, text: str, right: str, wrong: str, kind: str, old: str | None, new: str | None
):
    answer = cured(tmp_path, port, text, (right, wrong))
    assert len(answer.found) == 1
    found = answer.found[0]
    assert found.kind == kind
    assert old is None or found.old == old
    assert new is None or found.new == new
    assert not answer.cut
