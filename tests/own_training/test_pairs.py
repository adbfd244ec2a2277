"""Optimisers of PyTorch against their published formulas in JAX: right ones agree, others diverge where they must."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradparity.model_spec.space import DType
from tests.own_training.pairs import AGREE, MODEL, divergence, folder, jax_port, torch_port

ADAM = AGREE["adam"][1]

#: PyTorch's optimiser, a formula that is another, the step at which they must diverge first, and what is to blame.
DIVERGE: dict[str, tuple[str, str, int]] = {
    "eps inside of the root": (AGREE["adam"][0], ADAM.replace("(1 - 0.999**t)) + 1e-8", "(1 - 0.999**t) + 1e-8)"), 1),
    "no bias correction": (AGREE["adam"][0], ADAM.replace("(m / (1 - 0.9**t))", "m"), 1),
    "AdamW against L2": (AGREE["adamw"][0], AGREE["adam with l2"][1], 1),
    "Nesterov against plain": (AGREE["nesterov"][0], AGREE["momentum"][1], 1),
    "dampening from the first step on": (AGREE["dampened"][0], "m = 0.9 * m + 0.5 * g\np = p - 0.05 * m", 1),
    "dampening left out": (AGREE["dampened"][0], "m = 0.9 * m + g\np = p - 0.05 * m", 2),
    "a schedule one step late": (
        "Scheduled(torch.optim.SGD(params.values(), lr=0.05))",
        "p = p - jnp.where(t > 6, 0.005, 0.05) * g",
        6,
    ),
}

QUICK = {"eps inside of the root", "a schedule one step late"}

#: A schedule of PyTorch's: a tenth of the learning rate from the sixth step on.
SCHEDULED = """
class Scheduled:
    def __init__(self, optimiser):
        self.optimiser = optimiser
        self.schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=5)

    def zero_grad(self):
        self.optimiser.zero_grad()

    def step(self):
        self.optimiser.step()
        self.schedule.step()
"""


def agrees(path: Path, name: str, dtype: DType, steps: int, draws: int) -> None:
    optimiser, update, clip = AGREE[name]
    found, until = divergence(
        folder(path / "m", torch_port(optimiser, clip), jax_port(update, clip)), steps, dtype, draws
    )
    assert found is None
    assert until == steps


@pytest.mark.parametrize(("name", "dtype"), [("adam", "float64"), ("nesterov", "float32")])
def test_an_optimiser_and_its_formula_agree(tmp_path: Path, name: str, dtype: DType):
    agrees(tmp_path, name, dtype, 20, 3)


@pytest.mark.slow
@pytest.mark.variation
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", AGREE)
def test_an_optimiser_and_its_formula_agree_over_two_hundred_steps(tmp_path: Path, name: str, dtype: DType):
    agrees(tmp_path, name, dtype, 200, 8)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in DIVERGE]
)
def test_another_rule_diverges_at_its_first_other_step_and_the_update_is_to_blame(tmp_path: Path, name: str):
    optimiser, update, step = DIVERGE[name]
    port = torch_port(optimiser).replace("def init", SCHEDULED + "\ndef init")
    found, _ = divergence(folder(tmp_path / "m", port, jax_port(update)), 10)
    assert found is not None
    assert (found.step, found.blame) == (step, "update"), found
    assert found.what.startswith("parameter")


def test_a_gradient_that_is_another_is_to_blame_and_not_the_update(tmp_path: Path):
    port = torch_port(AGREE["adam"][0]).replace('data["X"] @ params["W1"]', 'data["X"] @ params["W1"].detach()')
    found, _ = divergence(folder(tmp_path / "m", port, jax_port(ADAM)), 3)
    assert found is not None
    assert (found.step, found.blame) == (1, "gradient"), found
    assert "W1" in found.detail


@pytest.mark.slow
def test_a_loss_after_the_update_is_another_number_that_is_returned(tmp_path: Path):
    port = torch_port(AGREE["adam"][0]).replace(
        "return params, state, value", "return params, state, loss(params, batch)"
    )
    found, _ = divergence(folder(tmp_path / "m", port, jax_port(ADAM)), 3)
    assert found is not None
    assert (found.step, found.what, found.blame) == (1, "the loss", "returned loss"), found


@pytest.mark.slow
def test_gradients_that_are_summed_over_parts_of_a_batch_are_the_updates_fault(tmp_path: Path):
    parts = (
        "    for part in range(4):\n"
        "        loss(params, {k: v[4 * part : 4 * part + 4] for k, v in batch.items()}).backward()\n"
        "    value = loss(params, batch)\n"
    )
    summed = torch_port(AGREE["sgd"][0]).replace("    value = loss(params, batch)\n    value.backward()\n", parts)
    meant = summed.replace("}).backward()", "}).div(4).backward()")
    found, _ = divergence(folder(tmp_path / "summed", summed, jax_port(AGREE["sgd"][1])), 3)
    assert found is not None
    assert (found.step, found.blame) == (1, "update"), found
    assert divergence(folder(tmp_path / "meant", meant, jax_port(AGREE["sgd"][1])), 3) == (None, 3)


#: A normalised hidden layer, with the running statistics that are for evaluation only.
NORMALISED = {
    "torch": """
import torch

def parts(params, X):
    hidden = X @ params["W1"]
    return hidden, torch.nn.functional.batch_norm(hidden, None, None, bias=params["b1"], training=True)

def loss(params, data):
    out = torch.tanh(parts(params, data["X"])[1]) @ params["W2"]
    return torch.mean((out[:, 0] - data["y"]) ** 2)

def init(params):
    return {"optimiser": torch.optim.SGD(params.values(), lr=0.05), "norm": torch.nn.BatchNorm1d(8).to(params["b1"])}

def step(params, state, batch):
    state["optimiser"].zero_grad()
    value = loss(params, batch)
    value.backward()
    with torch.no_grad():
        state["norm"](parts(params, batch["X"])[0])
    state["optimiser"].step()
    return params, state, value
""",
    "jax": """
import jax
import jax.numpy as jnp

def loss(params, data):
    hidden = data["X"] @ params["W1"]
    centred = hidden - hidden.mean(0)
    normal = centred / jnp.sqrt((centred**2).mean(0) + 1e-5) + params["b1"]
    return jnp.mean(((jnp.tanh(normal) @ params["W2"])[:, 0] - data["y"]) ** 2)

def init(params):
    return {"norm": {"running_mean": jnp.zeros(8), "running_var": jnp.ones(8)}}

@jax.jit
def step(params, state, batch):
    value, found = jax.value_and_grad(loss)(params, batch)
    hidden = batch["X"] @ params["W1"]
    new = {"running_mean": hidden.mean(0), "running_var": hidden.var(0, ddof=1)}
    norm = {name: KEPT * old + (1 - KEPT) * new[name] for name, old in state["norm"].items()}
    return {k: p - 0.05 * found[k] for k, p in params.items()}, {"norm": norm}, value
""",
}


def test_running_statistics_by_flaxs_momentum_diverge_from_torchs_in_the_state_alone(tmp_path: Path):
    right, wrong = (NORMALISED["jax"].replace("KEPT", kept) for kept in ("0.9", "0.1"))
    assert divergence(folder(tmp_path / "right", NORMALISED["torch"], right), 10) == (None, 10)
    found, _ = divergence(folder(tmp_path / "wrong", NORMALISED["torch"], wrong), 10)
    assert found is not None
    assert (found.step, found.what.partition(" ")[0]) == (1, "state"), found
    assert "norm.running_" in found.what


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "diverges"), [("0.9", False), ("0.1", True)])
def test_statistics_of_a_state_dict_are_compared_as_the_steps_leave_them(tmp_path: Path, kept: str, diverges: bool):
    norm = '"norm.running_mean": np.zeros(8), "norm.running_var": np.ones(8), "norm.num_batches_tracked": np.array(0)'
    model = MODEL.replace("(8, 1))}", "(8, 1)), " + norm + "}")
    torch = (
        NORMALISED["torch"]
        .replace(
            """
    with torch.no_grad():
        state["norm"](parts(params, batch["X"])[0])
""",
            """
    with torch.no_grad():
        hidden, found = parts(params, batch["X"])[0], [params["norm.running_mean"], params["norm.running_var"]]
        torch.nn.functional.batch_norm(hidden, *found, training=True)
""",
        )
        .replace("params.values()", '[params[k] for k in ("W1", "b1", "W2")]')
    )
    jax = (
        NORMALISED["jax"]
        .replace('{"norm": {"running_mean": jnp.zeros(8), "running_var": jnp.ones(8)}}', "None")
        .replace('state["norm"].items()', '((name, params["norm." + name]) for name in new)')
        .replace(
            "    return {k: p - 0.05", '    norm = {"norm." + k: v for k, v in norm.items()}\n    return {k: p - 0.05'
        )
        .replace(
            'found[k] for k, p in params.items()}, {"norm": norm}',
            'found[k] for k, p in params.items() if "." not in k} | norm | COUNT, state',
        )
        .replace("COUNT", '{"norm.num_batches_tracked": params["norm.num_batches_tracked"]}')
        .replace("jax.value_and_grad(loss)(params, batch)", "value_and_grad(params, batch)")
        .replace("@jax.jit", VALUE_AND_GRAD + "\n@jax.jit")
        .replace("KEPT", kept)
    )
    found, until = divergence(folder(tmp_path / "m", torch, jax, model), 8)
    assert until == 8
    assert (found is not None) == diverges, found
    assert found is None or (found.step, found.what.partition(".")[0]) == (1, "state norm"), found


#: Of the parameters without what counts and what is a statistic.
VALUE_AND_GRAD = """
def value_and_grad(params, batch):
    free = {k: v for k, v in params.items() if "." not in k}
    return jax.value_and_grad(lambda free: loss({**params, **free}, batch))(free)
"""
