"""One network and its ports in PyTorch and JAX, with an optimiser each: folders of models as a user writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import indent
from typing import Any

import msgspec

from gradparity.backends.protocol import Backend
from gradparity.judge.own_blame import blamed
from gradparity.judge.own_training import chosen_pairs, compared
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.space import DType
from gradparity.model_spec.user.drawing import draw_batches, draw_problem
from gradparity.model_spec.user.layouts import layout_of
from gradparity.model_spec.user.model import load_model
from gradparity.model_spec.user_spec import UserSpec
from gradparity.results.own_training import OwnDivergence
from gradparity.worker.own_gradients import given
from gradparity.worker.own_steps import Training, own_steps, take_steps
from gradparity.worker.step_messages import GiveGradients, GivenBatch, GradientsGiven, StepsTaken
from gradparity.worker.user_loss import user_loss
from tests.conftest import configured
from tests.user_model.models import model_folder

MODEL = """
import numpy as np

def parameters(rng):
    return {"W1": 0.5 * rng.standard_normal((5, 8)), "b1": np.zeros(8), "W2": 0.5 * rng.standard_normal((8, 1))}

def draw(rng, rows):
    X = rng.standard_normal((rows, 5))
    return {"X": X, "y": np.sin(X.sum(1))}

def data(rng):
    return draw(rng, 32)

def batches(rng):
    while True:
        yield draw(rng, 16)
"""

TORCH = """
import torch

def loss(params, data):
    hidden = torch.tanh(data["X"] @ params["W1"] + params["b1"])
    return torch.mean(((hidden @ params["W2"])[:, 0] - data["y"]) ** 2)

def init(params):
    return OPTIMISER

def step(params, state, batch):
    state.zero_grad()
    value = loss(params, batch)
    value.backward()
    CLIP
    state.step()
    return params, state, value
"""

#: The update of one array: p, its gradient g, state s (arrays by name, zeros at first) and the step t from 1.
JAX = """
import jax
import jax.numpy as jnp

NAMES = ("m", "v", "a")

def loss(params, data):
    hidden = jnp.tanh(data["X"] @ params["W1"] + params["b1"])
    return jnp.mean(((hidden @ params["W2"])[:, 0] - data["y"]) ** 2)

def init(params):
    return {"t": jnp.array(0), **{name: jax.tree.map(jnp.zeros_like, params) for name in NAMES}}

def update(p, g, m, v, a, t):
UPDATE
    return p, m, v, a

@jax.jit
def step(params, state, batch):
    value, found = jax.value_and_grad(loss)(params, batch)
    CLIP
    t = state["t"] + 1
    new = {k: update(params[k], found[k], *(state[n][k] for n in NAMES), t) for k in params}
    params, *others = ({k: each[i] for k, each in new.items()} for i in range(4))
    return params, {"t": t, **dict(zip(NAMES, others))}, value
"""

CLIPS = {
    "": ("pass", "pass"),
    "norm": (
        "torch.nn.utils.clip_grad_norm_(params.values(), 0.5)",
        "norm = jnp.sqrt(sum((g * g).sum() for g in found.values()))\n"
        "found = {k: g * jnp.minimum(1, 0.5 / (norm + 1e-6)) for k, g in found.items()}",
    ),
}

_ADAM = """
m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
p = p - 1e-2 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
"""

#: PyTorch's optimiser, and its published formula; what is clipped.
AGREE: dict[str, tuple[str, str, str]] = {
    "sgd": ("torch.optim.SGD(params.values(), lr=0.05)", "p = p - 0.05 * g", ""),
    "momentum": (
        "torch.optim.SGD(params.values(), lr=0.02, momentum=0.9)",
        "m = 0.9 * m + g\np = p - 0.02 * m",
        "",
    ),
    "dampened": (
        "torch.optim.SGD(params.values(), lr=0.05, momentum=0.9, dampening=0.5)",
        "m = jnp.where(t == 1, g, 0.9 * m + 0.5 * g)\np = p - 0.05 * m",
        "",
    ),
    "nesterov": (
        "torch.optim.SGD(params.values(), lr=0.02, momentum=0.9, nesterov=True)",
        "m = 0.9 * m + g\np = p - 0.02 * (g + 0.9 * m)",
        "",
    ),
    "adam": ("torch.optim.Adam(params.values(), lr=1e-2)", _ADAM, ""),
    "adam, clipped": ("torch.optim.Adam(params.values(), lr=1e-2)", _ADAM, "norm"),
    "adamw": (
        "torch.optim.AdamW(params.values(), lr=1e-2, weight_decay=0.1)",
        "p = p * (1 - 1e-3)\n" + _ADAM,
        "",
    ),
    "adam with l2": (
        "torch.optim.Adam(params.values(), lr=1e-2, weight_decay=0.1)",
        "g = g + 0.1 * p\n" + _ADAM,
        "",
    ),
    "rmsprop": (
        "torch.optim.RMSprop(params.values(), lr=1e-3, centered=True, momentum=0.9)",
        "v, a = 0.99 * v + 0.01 * g * g, 0.99 * a + 0.01 * g\n"
        "m = 0.9 * m + g / (jnp.sqrt(v - a * a) + 1e-8)\np = p - 1e-3 * m",
        "",
    ),
    "adagrad": (
        "torch.optim.Adagrad(params.values(), lr=0.1)",
        "v = v + g * g\np = p - 0.1 * g / (jnp.sqrt(v) + 1e-10)",
        "",
    ),
    "adadelta": (
        "torch.optim.Adadelta(params.values())",
        "v = 0.9 * v + 0.1 * g * g\nd = g * jnp.sqrt(a + 1e-6) / jnp.sqrt(v + 1e-6)\n"
        "a = 0.9 * a + 0.1 * d * d\np = p - d",
        "",
    ),
}


def torch_port(optimiser: str, clip: str = "") -> str:
    """The network trained by an optimiser of PyTorch's."""
    return TORCH.replace("OPTIMISER", optimiser).replace("CLIP", CLIPS[clip][0])


def jax_port(update: str, clip: str = "") -> str:
    """The network trained by a formula."""
    body = indent(CLIPS[clip][1], "    ").strip()
    return JAX.replace("UPDATE", indent(update.strip(), "    ")).replace("CLIP", body)


def folder(path: Path, torch: str, jax: str, model: str = MODEL) -> str:
    """A model's folder with both ports."""
    return model_folder(path, model, torch=torch, jax=jax)


@dataclass(frozen=True)
class Trained:
    """One port's run in this process, and its own gradients where they are asked for."""

    backend: Backend
    problem: UserProblem
    batches: list[GivenBatch]
    run: StepsTaken

    def gradients(self, params: Mapping[str, Any], first: int) -> GradientsGiven:
        """At parameters (n, *shape) by name, on the batches from the one of that number on."""
        points = len(next(iter(params.values())))

        @cache
        def build(spec: UserSpec) -> tuple[Any, Any]:
            loss = user_loss(spec, self.backend, self.backend_names)
            return loss, self.backend.program(loss)

        request = GiveGradients(dict(params), self.batches[first : first + points], 8)
        return given(self.backend, self.problem, build, request)

    @property
    def backend_names(self) -> tuple[str, ...]:
        """As a model calls it."""
        return ("torch",) if "torch" in type(self.backend).__module__ else ("jax",)


def trained(path: str, name: str, steps: int, dtype: DType | None = None, draws: int = 4) -> Trained:
    """A port trained as the worker trains it."""
    backend, model = configured(name), load_model(path)
    problem = draw_problem(model, "pair", 0, dtype)
    drawn = draw_batches(model, 0, dtype, steps, 2**27)[0] if model.function("batches", "rng") else []
    batches = [GivenBatch(each.form, each.arrays) for each in drawn]
    own = own_steps(path, (name,))
    assert own is not None
    layout = layout_of(model, problem.spec, (name,))
    run = take_steps(Training(backend, problem, own, batches, layout), steps, draws, 60.0, 0, 0)
    return Trained(backend, problem, batches, run)


def divergence(path: str, steps: int, dtype: DType | None = None, draws: int = 4) -> tuple[OwnDivergence | None, int]:
    """Where PyTorch's port diverges from JAX's with what is to blame, and up to which step they are compared."""
    torch, jax = (trained(path, name, steps, dtype, draws) for name in ("torch", "jax"))
    runs = {"jax": jax.run, "torch": torch.run}
    problem = torch.problem
    until, _ = compared(runs, problem.params, problem.spec.dtype)
    found = chosen_pairs(runs, problem.params, problem.spec.dtype)
    if not found:
        return None, until
    ((one, other, met),) = found
    before = met.step - 1
    params = problem.params if not before else {k: v[before - 1] for k, v in jax.run.params.items()}
    points = {name: value[None] for name, value in params.items()}
    record = met.record((one, other))
    both = (each.gradients(points, before) for each in (torch, jax))
    blame, detail = blamed(*both, record.what, problem.spec.dtype)
    return msgspec.structs.replace(record, blame=blame, detail=detail), until
