"""Ports in layouts of their own through whole checks: compared, trained and timed by the names of the parameters."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import gradparity
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.layouts import layout_of
from gradparity.model_spec.user.model import load_model
from gradparity.results import RunResult
from gradparity.worker.own_steps import Training, own_steps
from gradparity.worker.ported import by_name, in_its_layout
from gradparity.worker.user_loss import user_loss
from tests.conftest import configured
from tests.user_model.models import model_folder

MODEL = """
import numpy as np

layouts = {
    "autograd": {"fc.weight": ("params/fc/kernel", "T"), "*.bias": "params/*/bias", "scale.n": "n"},
    "jax": {"fc.weight": (["rows/0", "rows/1", "rows/2"],), "fc.bias": "b", "scale.n": None},
    "numpy": {"**.weight": ("**.kernel", "oi -> io"), "**": "**"},
}

def parameters(rng):
    return {"fc.weight": rng.standard_normal((3, 4)), "fc.bias": rng.standard_normal(3), "scale": {"n": np.array(2)}}

def data(rng):
    return {"x": rng.standard_normal((5, 4))}

def loss(params, data, xp):
    z = data["x"] @ params["fc.weight"].T + params["fc.bias"]
    return xp.mean(xp.tanh(z) ** params["scale"]["n"])

def gradient(params, data):
    t = np.tanh(data["x"] @ params["fc.kernel"] + params["fc.bias"])
    g = params["scale.n"] * t ** (params["scale.n"] - 1) * (1 - t**2) / t.size
    return {"fc.bias": g.sum(0), "fc.kernel": data["x"].T @ g}
"""
AUTOGRAD = """
import autograd.numpy as np
from gradparity import tap

def loss(params, data):
    fc = params["params"]["fc"]
    z = tap("z", data["x"] @ fc["kernel"] + fc["bias"])
    return np.mean(np.tanh(z) ** params["n"])
"""
JAX = """
import jax.numpy as jnp
from gradparity import tap

def loss(params, data):
    z = tap("z", jnp.stack([data["x"] @ row for row in params["rows"]], 1) + params["b"])
    return jnp.mean(jnp.tanh(z) ** 2)
"""


def checked(folder: str, *backends: str, **options: Any) -> RunResult:
    return gradparity.check(folder, backends=list(backends), **options)


def test_ports_in_three_layouts_agree_with_the_truth_in_every_block_and_all_along_training(tmp_path: Path):
    pytest.importorskip("jax")
    pytest.importorskip("autograd")
    folder = model_folder(tmp_path / "m", MODEL, autograd=AUTOGRAD, jax=JAX)
    result = checked(folder, "numpy", "autograd", "jax", steps=5)
    assert result.ok, result
    (problem,) = result.problems
    blocks = {(found.backend, found.quantity, found.parameter) for found in problem.findings}
    assert {
        (name, "gradient", path) for name in ("numpy", "autograd", "jax") for path in ("fc.weight", "fc.bias")
    } <= blocks
    assert {("jax", "hvp", "fc.weight"), ("autograd", "jvp", "")} <= {(b, q, p or "") for b, q, p in blocks}
    assert all(ran.verdict == "agrees" for ran in problem.training)
    assert [said.finding for said in problem.diagnoses if said.name == "constants"] == [
        "held fixed, not differentiated: scale.n"
    ]


def test_a_weight_that_is_transposed_once_too_often_is_named_at_its_line(tmp_path: Path):
    pytest.importorskip("autograd")
    square = (
        "\n".join(line for line in MODEL.splitlines() if '"jax"' not in line)
        .replace("(3, 4)", "(4, 4)")
        .replace("normal(3)", "normal(4)")
    )
    folder = model_folder(tmp_path / "m", square, autograd=AUTOGRAD.replace('fc["kernel"]', 'fc["kernel"].T'))
    result = checked(folder, "autograd")
    assert not result.ok
    (problem,) = result.problems
    assert {found.verdict for found in problem.findings if found.parameter == "fc.weight"} == {"wrong"}
    assert 'fc["kernel"].T' in str(problem.divergences.lines)


STEPS = """
def init(params):
    return [0 * array(params)]

def step(params, state, batch):
    value, found = loss(params, batch), derivative(params, batch)
    velocity = 0.9 * state[0] + array(found)
    return moved(params, velocity), [velocity], value
"""
STEPPED = {
    "autograd": """
import autograd.numpy as np
from autograd import grad

def loss(params, data):
    return np.mean(np.tanh(data["x"] @ params["net"]["kernel"]) ** 2 * params["net"]["n"])

def derivative(params, batch):
    of_kernel = lambda kernel: loss({"net": {"kernel": kernel, "n": params["net"]["n"]}}, batch)
    return {"net": {"kernel": grad(of_kernel)(array(params))}}

def array(params):
    return params["net"]["kernel"]

def moved(params, velocity):
    return {"net": {"kernel": array(params) - 0.1 * velocity, "n": params["net"]["n"]}}
""",
    "numpy": """
import numpy as np

def loss(params, data):
    return np.mean(np.tanh(data["x"] @ params["fc.weight"].T) ** 2 * params["n"])

def derivative(params, batch):
    t = np.tanh(batch["x"] @ params["fc.weight"].T)
    return {"fc.weight": (2 * t * (1 - t**2) * params["n"] / t.size).T @ batch["x"]}

gradient = derivative

def array(params):
    return params["fc.weight"]

def moved(params, velocity):
    return {"fc.weight": array(params) - 0.1 * velocity, "n": params["n"]}
""",
}


def test_what_is_timed_has_nothing_moved_and_gives_the_same_by_the_names_of_the_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("autograd")
    for attribute in ("path", "meta_path"):
        monkeypatch.setattr(sys, attribute, list(getattr(sys, attribute)))
    text = "\n".join(line for line in MODEL.splitlines() if '"jax"' not in line)
    folder, backend = model_folder(tmp_path / "m", text, autograd=AUTOGRAD), configured("autograd")
    problem = draw_problem(load_model(folder), "m", 0)
    loss = user_loss(problem.spec, backend, ("autograd",))
    program, placed = backend.program(loss), (backend.put(problem.params), backend.put(problem.data))
    timed, params, data = in_its_layout(backend, loss, program, problem, placed)
    assert {name: value.shape for name, value in params.items()} == {"params/fc/kernel": (4, 3), "params/fc/bias": (3,)}
    with monkeypatch.context() as patch:
        patch.setattr("gradparity.model_spec.user.moves.Move.into", lambda *_: pytest.fail("an array is moved"))
        patch.setattr(type(loss.ported.layout), "into", lambda self, flat: {"n": flat["scale.n"]})  # the constant
        value, found = timed.value_and_gradient(params, data)
    wanted, gradient = program.value_and_gradient(*placed)
    host = by_name(loss, backend.get({"": value, **found}))
    assert host[""] == pytest.approx(wanted, rel=1e-15)
    for name, each in gradient.items():
        assert host[name] == pytest.approx(each, rel=1e-13)
    plain = user_loss(draw_problem(load_model(folder), "m", 0).spec, backend, ("numpy-like",))
    assert in_its_layout(backend, plain, program, problem, placed) == (program, *placed)
    assert by_name(plain, {"": 1, "w": 2}) == {"": 1, "w": 2}


def test_steps_of_two_ports_are_compared_in_one_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for attribute in ("path", "meta_path"):
        monkeypatch.setattr(sys, attribute, list(getattr(sys, attribute)))
    pytest.importorskip("autograd")
    head = """
import numpy as np

layouts = {"autograd": {"fc.weight": ("net/kernel", "T"), "n": "net/n"}}

def parameters(rng):
    return {"fc.weight": rng.standard_normal((3, 4)), "n": np.array(2)}

def data(rng):
    return {"x": rng.standard_normal((5, 4))}
"""
    folder = model_folder(tmp_path / "m", head, **{name: port + STEPS for name, port in STEPPED.items()})
    loaded = load_model(folder)
    problem, runs, moved = draw_problem(loaded, "m", 0), {}, {}
    for name in STEPPED:
        own = own_steps(folder, (name,))
        assert own is not None
        training = Training(configured(name), problem, own, [], layout_of(loaded, problem.spec, (name,)))
        runs[name], moved[name] = list(training.run(8)), list(training.run(8, moved_by=1))
    for first, second in zip(*runs.values(), strict=True):
        assert first.loss == pytest.approx(second.loss, rel=1e-14)
        assert list(first.params) == ["fc.weight"]
        assert first.params["fc.weight"] == pytest.approx(second.params["fc.weight"], rel=1e-12)
    for name, run in moved.items():  # by a rounding of the same entries
        assert 0 < abs(run[-1].params["fc.weight"] - runs[name][-1].params["fc.weight"]).max() < 1e-13
