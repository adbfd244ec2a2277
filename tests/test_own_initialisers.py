"""Initialisers that ports bring: PyTorch's own layers against NumPy's draws, a fault at a time, and the whole check."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity.judge.changes import blocks_of
from gradparity.judge.initialisers import judged
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from gradparity.numerics.two_samples import compared
from gradparity.report.annotations import annotations_of
from gradparity.results import store
from gradparity.results.initialisers import SHARED, Initialisers
from gradparity.worker.initialisers import drawn
from gradparity.worker.step_messages import DrawStarts, StartsDrawn
from tests.conftest import Command
from tests.user_model.models import GRADIENT, HEAD, LOSS, model_folder

#: The model's own start is of the scale of PyTorch's default, so that it agrees where it is held against one port.
MODEL = """
import numpy as np

def parameters(rng):
    k, m = 20**-0.5, 32**-0.5
    return {"embed.weight": rng.normal(size=(50, 20)),
            "fc1.weight": rng.uniform(-k, k, (32, 20)), "fc1.bias": rng.uniform(-k, k, 32),
            "fc2.weight": rng.uniform(-m, m, (16, 32)), "fc2.bias": rng.uniform(-m, m, 16)}

def data(rng):
    return {"X": rng.standard_normal((6, 20))}

layouts = {"numpy": {"fc*.weight": ("fc*/kernel", "T"), "embed.weight": "embed/table", "**": "**"}}
"""
TORCH = """
import torch

def loss(params, data):
    raise NotImplementedError

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(50, 20)
        self.fc1, self.fc2 = torch.nn.Linear(20, 32), torch.nn.Linear(32, 16)

def initialise(seed):
    torch.manual_seed(seed)
    return Net().state_dict()
"""
NUMPY = """
import numpy as np

def loss(params, data):
    raise NotImplementedError

gradient = loss

def initialise(seed):
    rng = np.random.default_rng(seed)
    k, m = 20**-0.5, 32**-0.5
    return {
        "embed": {"table": rng.normal(size=(50, 20))},
        "fc1": {"kernel": rng.uniform(-k, k, (20, 32))}, "fc1.bias": rng.uniform(-k, k, 32),
        "fc2": {"kernel": rng.uniform(-m, m, (32, 16))}, "fc2.bias": rng.uniform(-m, m, 16),
    }
"""
LINEAR = "torch.nn.Linear's default, U(-1/sqrt(fan in), 1/sqrt(fan in)), uniform"


def draws(folder: str, *names: str, seed: int = 0) -> dict[str, StartsDrawn]:
    """What the worker of each backend, and of the model, answers."""
    problem = replace(draw_problem(load_model(folder), "m", 0), seed=seed)
    return {name: drawn(problem, (name,), DrawStarts(10.0, model=name == "model")) for name in names}


def verdict(folder: str, *names: str, known: Mapping[str, StartsDrawn] | None = None) -> Initialisers:
    shapes = draw_problem(load_model(folder), "m", 0).spec.shapes
    return judged({**(known or {}), **draws(folder, *names)}, shapes, {})


@pytest.fixture(scope="module")
def torch(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, StartsDrawn]:
    """What PyTorch's own layers draw."""
    pytest.importorskip("torch")
    return draws(model_folder(tmp_path_factory.mktemp("torch") / "m", MODEL, torch=TORCH, numpy=NUMPY), "torch")


def schemes(found: Initialisers, backend: str) -> dict[str, list[str]]:
    return {each.block: each.schemes for each in found.blocks if each.backend == backend}


Torch = Mapping[str, StartsDrawn]


def test_torch_s_layers_and_the_same_draws_in_another_layout_agree_and_are_named(tmp_path: Path, torch: Torch) -> None:
    found = verdict(model_folder(tmp_path / "m", MODEL, numpy=NUMPY), "numpy", "model", known=torch)
    assert (found.verdict, found.compared, found.beside, found.notes) == ("agrees", 5, [], [])
    for backend in ("torch", "numpy", "model"):
        named = schemes(found, backend)
        assert named["embed.weight"] == ["std 1, normal"]
        assert named["fc1.weight"] == named["fc2.weight"] == [LINEAR]
        assert "torch.nn.Linear's bias" in named["fc1.bias"][0]


#: A fault in NumPy's port: the block that it is in, what differs, the factor of PyTorch's standard deviation over it.
FAULTS: dict[str, tuple[str, str, str, str, float | None]] = {
    "fan out for fan in": ("uniform(-k, k, (20, 32))", "uniform(-m, m, (20, 32))", "fc1.weight", "scale", 1.6**0.5),
    "sqrt(2) missing": ("uniform(-m, m, (32, 16))", "uniform(-m, m, (32, 16)) / 2**0.5", "fc2.weight", "scale", 2**0.5),
    "a normal": ("uniform(-k, k, (20, 32))", "normal(0, k / 3**0.5, (20, 32))", "fc1.weight", "distribution", None),
    "zeros": ('"fc2.bias": rng.uniform(-m, m, 16)', '"fc2.bias": np.zeros(16)', "fc2.bias", "drawn", None),
    "embedding scale": ("rng.normal(size=(50, 20))", "rng.normal(size=(50, 20)) * 0.02", "embed.weight", "scale", 50.0),
    "a padding row": (
        "rng.normal(size=(50, 20))",
        "rng.normal(size=(50, 20)) * (np.arange(50) > 0)[:, None]",
        "embed.weight",
        "drawn",
        None,
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_of_an_initialiser_is_said_of_its_block_alone(case: str, tmp_path: Path, torch: Torch) -> None:
    right, wrong, block, what, factor = FAULTS[case]
    port = NUMPY.replace(right, wrong)
    assert port != NUMPY
    found = verdict(model_folder(tmp_path / "m", MODEL, numpy=port), "numpy", known=torch)
    (difference,) = found.differences
    assert (difference.block, difference.what, difference.backends) == (block, what, ("numpy", "torch"))
    if factor is not None:
        low, high = difference.factor_range
        assert low is not None
        assert high is not None
        assert low < 1 / factor < high < 1.3 * low


def test_one_key_for_two_blocks_is_seen_where_another_port_has_two(tmp_path: Path, torch: Torch) -> None:
    again = "np.random.default_rng(seed + 99).uniform"
    port = NUMPY.replace("rng.uniform(-k, k, 32)", f"{again}(-k, k, 32)")
    port = port.replace("rng.uniform(-m, m, 16)", f"{again}(-m, m, 16)")
    found = verdict(model_folder(tmp_path / "m", MODEL, numpy=port), "numpy", known=torch)
    assert [run.again for run in found.runs if run.again] == [f"fc1.bias and fc2.bias {SHARED}"]
    assert not found.ok
    both = model_folder(
        tmp_path / "both", MODEL + 'layouts["autograd"] = layouts["numpy"]\n', numpy=port, autograd=port
    )
    assert verdict(both, "numpy", "autograd").ok  # it is meant, or they share the fault


def test_a_variance_taken_for_a_standard_deviation_is_hinted_at(tmp_path: Path) -> None:
    ports = {name: NUMPY.replace("uniform(-k, k, (20, 32))", f"normal(0, {std}, (20, 32))")
             for name, std in (("numpy", "0.04"), ("autograd", "0.04**2"))}  # fmt: skip
    model = MODEL + 'layouts["autograd"] = layouts["numpy"]\n'
    found = verdict(model_folder(tmp_path / "m", model, **ports), "numpy", "autograd")
    (difference,) = found.differences
    assert difference.hint == "as from a variance taken for a standard deviation"


def test_one_port_is_held_against_the_model_and_several_are_held_together(tmp_path: Path) -> None:
    other = MODEL.replace("rng.normal(size=(50, 20))", "0.5 * rng.normal(size=(50, 20))")
    folder = model_folder(tmp_path / "m", other, numpy=NUMPY, autograd=NUMPY.replace('{"table": ', "").replace(
        "(50, 20))}", "(50, 20))").replace('"embed"', '"embed.weight"').replace('{"kernel": ', "").replace(
        "(20, 32))}", "(20, 32)).T").replace("(32, 16))}", "(32, 16)).T").replace('"fc1"', '"fc1.weight"').replace(
        '"fc2"', '"fc2.weight"'))  # fmt: skip
    alone = verdict(folder, "numpy", "model")
    assert [(each.backends, each.block) for each in alone.differences] == [(("numpy", "model"), "embed.weight")]
    both = verdict(folder, "numpy", "autograd", "model")
    assert (both.verdict, [each.block for each in both.beside]) == ("agrees", ["embed.weight"])


def test_a_checkpoint_is_no_initialiser_and_a_port_alone_has_its_schemes_named(tmp_path: Path) -> None:
    weights = MODEL.replace("def parameters(rng):", "def parameters(rng):\n    rng = np.random.default_rng(7)")
    found = verdict(model_folder(tmp_path / "m", weights, numpy=NUMPY), "numpy", "model")
    assert (found.verdict, found.ok, found.compared) == ("alone", True, 0)
    assert found.notes == ["parameters(rng) is held against nothing: every seed gives the same"]
    assert schemes(found, "numpy")["fc1.weight"] == [LINEAR]


@pytest.mark.parametrize(
    ("line", "by", "said"),
    [
        ("rng = np.random.default_rng(seed)", "rng = np.random.default_rng(3)", "every seed gives the same"),
        ("rng = np.random.default_rng(seed)", "rng = np.random.default_rng()", "it gives another embed.weight"),
        ('"fc2.bias": rng', '"fc2.bais": rng', "fc2.bias"),
        ("uniform(-k, k, 32)", "uniform(-k, k, 31)", r"fc1.bias of a port: got shape \(31,\)"),
        ("uniform(-k, k, (20, 32))", "uniform(-k, k, (32, 20))", r"got shape \(32, 20\)"),
        ("uniform(-m, m, 16)", "uniform(-m, m, 16) / 0", "finite numbers"),
        ("return {", "assert seed < 4, 'too large'\n    return {", "numpy.py, line 12.*AssertionError: too large"),
        ("return {", "return 3\n    return {", "a dict of arrays"),
    ],
)
def test_what_is_no_initialiser_is_said_in_words(line: str, by: str, said: str, tmp_path: Path) -> None:
    port = NUMPY.replace(line, by)
    assert port != NUMPY
    folder = model_folder(tmp_path / "m", MODEL, numpy=port)
    try:
        with np.errstate(divide="ignore"):
            found = verdict(folder, "numpy").runs[0].again
    except InputError as error:
        found = str(error)
    assert re.search(said, found)


def test_torch_without_its_seed_is_found_out(tmp_path: Path, torch: Torch) -> None:
    unseeded = TORCH.replace("    torch.manual_seed(seed)\n", "")
    given = draws(model_folder(tmp_path / "m", MODEL, torch=unseeded, numpy=NUMPY), "torch")["torch"]
    found = verdict(model_folder(tmp_path / "n", MODEL, numpy=NUMPY), "numpy", known={"torch": given})
    assert (found.verdict, found.differences) == ("impure", [])
    assert "called twice with 0, it gives another embed.weight" in [run.again for run in found.runs]


def test_a_port_is_not_accused_of_the_model_s_start_because_another_port_ignores_its_seed(
    tmp_path: Path, torch: Torch
) -> None:
    other = MODEL.replace("rng.normal(size=(50, 20))", "0.5 * rng.normal(size=(50, 20))")
    folder = model_folder(tmp_path / "m", other, numpy=NUMPY.replace("default_rng(seed)", "default_rng(3)"))
    found = verdict(folder, "numpy", "model", known=torch)
    assert (found.verdict, found.differences) == ("impure", [])
    assert [(each.backends, each.block) for each in found.beside] == [(("torch", "model"), "embed.weight")]


def right_pairs(count: int) -> Mapping[str, int]:
    """How often PyTorch's draws and NumPy's of the same distribution are said to differ."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(21)
    generator = torch.Generator().manual_seed(22)
    shape = (16, 150)

    def cut(drawn: Any) -> Any:
        return drawn[np.abs(drawn) < 2][:2400].reshape(shape)

    pairs: dict[str, Any] = {
        "uniform": lambda w: (w.uniform_(-0.3, 0.3, generator=generator), rng.uniform(-0.3, 0.3, shape)),
        "normal": lambda w: (w.normal_(0, 0.02, generator=generator), rng.normal(0, 0.02, shape)),
        "truncated": lambda w: (
            torch.nn.init.trunc_normal_(w, a=-2.0, b=2.0, generator=generator),
            cut(rng.normal(size=9600)),
        ),
    }
    found = dict.fromkeys(pairs, 0)
    for name, pair in pairs.items():
        for _ in range(count):
            one, other = pair(torch.empty(shape))
            found[name] += bool(compared(one.numpy(), other).what)
    return found


def test_no_right_pair_of_two_hundred_is_said_to_differ() -> None:
    assert set(right_pairs(67).values()) == {0}


@pytest.mark.slow
def test_no_right_pair_of_many_is_said_to_differ() -> None:
    assert set(right_pairs(700).values()) == {0}


@pytest.mark.slow
def test_no_right_pair_of_ports_is_said_to_differ_at_any_seed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = model_folder(tmp_path / "m", MODEL, torch=TORCH, numpy=NUMPY)
    shapes = draw_problem(load_model(folder), "m", 0).spec.shapes
    for seed in range(0, 12_000, 1000):
        found = judged(draws(folder, "torch", "numpy", seed=seed), shapes, {})
        assert (found.verdict, found.differences) == ("agrees", [])


#: Ports of a line that start its weights by a normal, of one scale or of another.
LINE = LOSS.replace("(params, data, xp)", "(params, data)").replace("xp", "np")
START = """
def initialise(seed):
    rng = np.random.default_rng(seed)
    return {"w": SCALE * rng.standard_normal(3), "b": np.array(0.5)}
"""
AUTOGRAD = "import autograd.numpy as np\n" + LINE.replace('data["X"] @ params["w"]', 'np.dot(data["X"], params["w"])')
BY_HAND = "import numpy as np\n" + LINE + GRADIENT


def test_initialisers_that_differ_fail_the_command_and_are_in_every_report(tmp_path: Path, command: Command) -> None:
    folder = model_folder(
        tmp_path / "m",
        HEAD + LOSS,
        autograd=AUTOGRAD + START.replace("SCALE", "2"),
        numpy=BY_HAND + START.replace("SCALE * ", ""),
    )
    out = tmp_path / "out"
    code, printed, _ = command("check", folder, "--backends", "autograd,numpy", "--steps", "2", "--out", str(out))
    assert code == 1
    assert "numpy and autograd initialise w otherwise" in printed
    assert "std 1, normal" in (out / "report.md").read_text()
    page = (out / "report.html").read_text()
    assert "once in a million" in page
    result = store.read(str(out))
    said = annotations_of(result, {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)})
    assert [re.findall("file=(.*?),title=initialisers differ::", each) for each in said] == [
        ["m/backends/numpy.py"],
        ["m/backends/autograd.py"],
    ]
    (problem,) = result.problems
    assert {finding.verdict for finding in problem.findings} == {"agrees"}
    assert [blocks_of(problem, name)["its initialiser"] for name in ("autograd", "numpy")] == ["differs"] * 2
    found = json.loads((out / "results.json").read_text())["problems"][0]["initialisers"]
    (difference,) = found["differences"]
    assert difference["factor_range"][0] < 0.5 < difference["factor_range"][1]


@pytest.mark.slow
def test_an_initialiser_that_raises_or_ends_its_process_costs_its_backend_nothing_else(
    tmp_path: Path, command: Command
) -> None:
    for name, line, said in (
        ("raises", "raise ValueError('no file')", "ValueError: no file"),
        ("ends", "import os; os._exit(3)", "numpy's initialise is not compared"),
    ):
        port = BY_HAND + f"\ndef initialise(seed):\n    {line}\n"
        folder = model_folder(
            tmp_path / name, HEAD + LOSS, autograd=AUTOGRAD + START.replace("SCALE * ", ""), numpy=port
        )
        out = tmp_path / f"out-{name}"
        code, printed, _ = command("check", folder, "--backends", "autograd,numpy", "--steps", "2", "--out", str(out))
        assert code == 3
        assert said in " ".join(printed.split())
        (problem,) = store.read(str(out)).problems
        assert problem.troubles == []
        assert {finding.verdict for finding in problem.findings} == {"agrees"}
