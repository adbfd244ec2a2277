"""Steps of the user's own through the whole harness: agreement, the first divergence, and what is no function."""

from __future__ import annotations

from pathlib import Path

import pytest

import gradparity
from gradparity.model_spec.errors import InputError
from gradparity.results import RunResult
from gradparity.results.own_training import OwnTraining
from tests.conftest import Command
from tests.user_model.models import GRADIENT, HEAD, LOSS, model_file, model_folder

BATCHES = """
def batches(rng):
    while True:
        yield {"X": rng.standard_normal((4, 3)), "y": rng.standard_normal(4)}
"""

#: Momentum as torch.optim.SGD has it.
PORT = """
import autograd.numpy as np
from autograd import grad

def loss(params, data):
    r = np.dot(data["X"], params["w"]) + params["b"] - data["y"]
    return 0.5 * np.mean(r * r)

gradient = grad(loss)

def init(params):
    return {"velocity": {name: np.zeros_like(value) for name, value in params.items()}}

def step(params, state, batch):
    value, found = loss(params, batch), gradient(params, batch)
    velocity = {name: 0.9 * v + found[name] for name, v in state["velocity"].items()}
    return {name: value - 0.05 * velocity[name] for name, value in params.items()}, {"velocity": velocity}, value
"""
BY_HAND = LOSS.replace("(params, data, xp)", "(params, data)").replace("xp", "np") + GRADIENT
NUMPY = "import numpy as np\n" + BY_HAND + PORT[PORT.index("def init") :]
#: Nesterov's momentum, as torch.optim.SGD has it: the same velocity, one gradient further.
NESTEROV = NUMPY.replace("0.05 * velocity[name]", "0.05 * (found[name] + 0.9 * velocity[name])")


def own_training(folder: str, *backends: str, steps: int = 12) -> tuple[RunResult, OwnTraining]:
    result = gradparity.check(folder, backends=list(backends), steps=steps)
    found = result.problems[0].own_training
    assert found is not None, result
    return result, found


def test_two_ports_with_one_rule_agree_step_by_step_on_the_batches_of_the_model(tmp_path: Path):
    folder = model_folder(tmp_path / "m", HEAD + LOSS + BATCHES, autograd=PORT, numpy=NUMPY)
    result, found = own_training(folder, "autograd", "numpy")
    assert result.ok, result
    assert (found.verdict, found.compared, found.batches) == ("agrees", 12, 12)
    first, second = (run.losses for run in found.runs)
    assert len(set(first)) == 12  # every batch is another
    assert first != [None] * 12
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) < 1e-14  # type: ignore[operator]


def test_nesterov_diverges_from_plain_momentum_at_the_first_step_and_fails_the_command(
    tmp_path: Path, command: Command
):
    folder = model_folder(tmp_path / "m", HEAD + LOSS + BATCHES, autograd=PORT, numpy=NESTEROV)
    code, out, _ = command(
        "check", folder, "--backends", "autograd,numpy", "--steps", "12", "--out", str(tmp_path / "o")
    )
    assert code == 1
    assert "diverge at step 1" in out


@pytest.mark.slow
def test_a_step_that_counts_its_calls_is_held_against_nothing(tmp_path: Path):
    counts = NUMPY.replace("def init", "CALLS = []\n\ndef init").replace(
        "    return {name: value - 0.05", "    CALLS.append(1)\n    return {name: value - 0.05 / len(CALLS)"
    )
    folder = model_folder(tmp_path / "m", HEAD + LOSS, autograd=PORT, numpy=counts)
    result, found = own_training(folder, "autograd", "numpy")
    assert found.verdict == "impure"
    assert found.batches == 0
    assert not result.ok
    again = {run.backend: run.again for run in found.runs}
    assert again["autograd"] == ""
    assert "from the same start" in again["numpy"]


#: A model whose gain is a constant, and ports whose step may train it all the same.
GAINED = HEAD.replace('"b": np.array(0.5)', '"b": np.array(0.5), "gain": np.array(2.0)') + 'constants = ["gain"]\n'
GAINED_PORT = """
import autograd.numpy as np
from autograd import grad

def loss(params, data):
    return 0.5 * np.mean((params["gain"] * (np.dot(data["X"], params["w"]) + params["b"]) - data["y"]) ** 2)

def step(params, state, batch):
    found = grad(loss)(params, batch)
    return {k: v - RATE * found[k] if k in TRAINED else v for k, v in params.items()}, state, loss(params, batch)
""".replace("RATE", "0.05")


def test_a_step_that_trains_a_constant_is_told_so_and_its_rule_is_that_of_the_gradients_there(tmp_path: Path):
    ports = [GAINED_PORT.replace("TRAINED", names) for names in ('("w", "b")', '("w", "b", "gain")')]
    hand = """
import numpy as np

def loss(params, data):
    return 0.5 * np.mean((params["gain"] * (data["X"] @ params["w"] + params["b"]) - data["y"]) ** 2)

def gradient(params, data):
    r = params["gain"] * (data["X"] @ params["w"] + params["b"]) - data["y"]
    return {"b": params["gain"] * r.mean(), "w": params["gain"] * data["X"].T @ r / len(r)}

def step(params, state, batch):
    found = gradient(params, batch)
    return {k: v - 0.05 * found[k] if k in found else v for k, v in params.items()}, state, loss(params, batch)
"""
    folder = model_folder(tmp_path / "m", GAINED, autograd=ports[1], numpy=hand)
    _, found = own_training(folder, "autograd", "numpy", steps=8)
    (divergence,) = found.divergences
    assert divergence.what == "state gain"
    assert divergence.detail == "autograd's step moves gain, which is a constant of the model, and numpy's does not"
    assert [run.rule for run in found.runs] == ["SGD (lr 0.05)"] * 2
    folder = model_folder(tmp_path / "still", GAINED, autograd=ports[0], numpy=hand)
    assert own_training(folder, "autograd", "numpy", steps=8)[1].verdict == "agrees"


def test_a_loss_that_ends_in_no_number_is_said_and_so_is_how_far_runs_were_compared(
    tmp_path: Path, command: Command
) -> None:
    ends = [port.replace("value, found = loss", "value, found = np.log(1.5 - state['k']) + loss").replace(
        'return {"velocity": {', 'return {"k": 0, "velocity": {').replace(
        '{"velocity": velocity}', '{"k": state["k"] + 1, "velocity": velocity}') for port in (PORT, NUMPY)]  # fmt: skip
    folder = model_folder(tmp_path / "m", HEAD + LOSS, autograd=ends[0], numpy=ends[1])
    words = ("--backends", "autograd,numpy", "--steps", "6", "--out", str(tmp_path / "out"))
    _, out, _ = command("check", folder, *words)
    said = " ".join(out.split())
    assert "they agree over 2 of 6 steps" in said
    assert "numpy: the loss is no finite number from step 3 on" in said


@pytest.mark.slow
def test_batches_that_end_shorten_the_run_and_a_step_that_raises_is_a_failure(tmp_path: Path):
    few = BATCHES.replace("while True", "for _ in range(5)")
    raises = NUMPY.replace("    value, found =", "    assert 'y' not in batch, 'no labels'\n    value, found =")
    folder = model_folder(tmp_path / "m", HEAD + LOSS + few, autograd=PORT, numpy=raises)
    result, found = own_training(folder, "autograd", "numpy")
    assert (found.verdict, found.steps) == ("alone", 5)
    assert "ends after 5" in found.notes[0]
    (trouble,) = result.troubles
    assert (trouble.backend, trouble.stage) == ("numpy", "training steps")
    assert "no labels" in trouble.reason


@pytest.mark.slow
def test_a_step_that_hangs_is_in_the_headline_and_in_the_exit_code(tmp_path: Path, command: Command):
    hangs = NUMPY.replace("    value, found =", "    import time; time.sleep(1000)\n    value, found =")
    folder = model_folder(tmp_path / "m", HEAD + LOSS, autograd=PORT, numpy=hangs)
    options = ("--backends", "autograd,numpy", "--budget", "8", "--out", str(tmp_path / "o"))
    code, out, _ = command("check", folder, *options)
    assert code == 3
    assert (
        "! Both backends agree on m; not compared: jvp and hvp of autograd and own steps of autograd and numpy." in out
    )
    said = (tmp_path / "o" / "report.md").read_text(encoding="utf-8").replace("\\", "")
    assert "numpy: not compared: " in said


@pytest.mark.slow
def test_an_init_without_a_step_is_said_with_its_line(tmp_path: Path):
    alone = NUMPY[: NUMPY.index("def step")]
    result = gradparity.check(
        model_folder(tmp_path / "m", HEAD + LOSS, autograd=PORT, numpy=alone), backends=["autograd", "numpy"], steps=3
    )
    assert any("numpy.py" in each.reason and "no step" in each.reason for each in result.troubles)


@pytest.mark.slow
def test_a_model_in_one_file_has_a_step_for_each_backend(tmp_path: Path):
    both = HEAD + LOSS + GRADIENT
    for name in ("autograd", "numpy"):
        both += (
            f"\ndef step_{name}(params, state, batch):\n"
            "    found = gradient(params, batch)\n"
            "    return {k: v - 0.1 * found[k] for k, v in params.items()}, state, loss(params, batch, np)\n"
        )
    _, found = own_training(model_file(tmp_path, both), "autograd", "numpy")
    assert found.verdict == "agrees"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no file')", "ValueError: no file"),
        ("return []", "no batch"),
        ("return [{'X': 'text'}, {'X': object()}]", "X"),
    ],
)
def test_batches_at_fault_are_one_line_before_anything_runs(tmp_path: Path, body: str, said: str):
    model = HEAD + LOSS + f"\ndef batches(rng):\n    {body}\n"
    folder = model_folder(tmp_path / "m", model, autograd=PORT, numpy=NUMPY)
    with pytest.raises(InputError, match=said):
        gradparity.check(folder, backends=["autograd", "numpy"], steps=3)
