"""Answers recorded elsewhere: written without gradparity, held to the truth by their precision, refused of others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import gradparity
from gradparity.cli.app import app
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.model_spec.errors import InputError
from gradparity.results.recorded import read
from gradparity.runner.references import consistent
from tests.docs.pages import ROOT, blocks

PAGE = {b.name: b.body for b in blocks(ROOT / "docs" / "howto" / "references.md") if b.kind == "file"}
#: Runs a script as a machine would that has no gradparity: whoever asks for it is told that there is none.
ELSEWHERE = """
import importlib.abc, runpy, sys

class Nowhere(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("gradparity", "model_spec", "backends", "bench"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nowhere())
try:
    import gradparity
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("gradparity is here")
runpy.run_path(sys.argv[1])
assert "gradparity" not in sys.modules
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's model and inputs, its script's reference, and others made of that."""
    where = tmp_path_factory.mktemp("references")
    for name, body in PAGE.items():
        (where / name).write_text(body)
    written = ["record", str(where / "model.py"), "--out", str(where / "inputs.safetensors")]
    assert CliRunner().invoke(app, written, standalone_mode=False).return_value == 0
    subprocess.run([sys.executable, "-I", "-c", ELSEWHERE, "elsewhere.py"], cwd=where, check=True)
    answers, facts = load_file(where / "elsewhere.safetensors"), facts_of(where / "elsewhere.safetensors")
    inputs = load_file(where / "inputs.safetensors")
    X, W, V, Y = (inputs[name] for name in ("data.X", "params.W", "direction.W", "data.Y"))
    residual, along = X @ W - Y, X @ V
    exact = {
        "loss": np.array((residual**2).mean()),
        "gradient.W": 2 / residual.size * X.T @ residual,
        "jvp": np.array(2 / residual.size * (residual * along).sum()),
        "hvp.W": 2 / residual.size * X.T @ along,
    }
    save_file(exact, where / "double.safetensors", facts | {"dtype": "float64", "name": "double"})
    wrong = answers | {"gradient.W": answers["gradient.W"] * np.float32(1.001)}
    save_file(wrong, where / "wrong.safetensors", facts | {"name": "wrong"})
    return where


def facts_of(file: Path) -> dict[str, str]:
    with safe_open(file, "np") as stream:
        return dict(stream.metadata())


@pytest.fixture(scope="module")
def result(folder: Path) -> gradparity.api.Result:
    files = [folder / f"{name}.safetensors" for name in ("elsewhere", "double", "wrong")]
    return gradparity.check(folder / "model.py", backends="autograd", steps=2, reference=files)


@pytest.fixture(scope="module")
def unknown(folder: Path) -> gradparity.api.Result:
    """The same references beside a port of the model that has no neutral loss."""
    where = folder / "port"
    (where / "backends").mkdir(parents=True)
    (where / "model.py").write_text(PAGE["model.py"].partition("def loss")[0])
    port = "import autograd.numpy as np\n\n\ndef loss(params, data):\n"
    port += "    return np.mean((data['X'] @ params['W'] - data['Y']) ** 2)\n"
    (where / "backends" / "autograd.py").write_text(port)
    files = [folder / f"{name}.safetensors" for name in ("elsewhere", "double", "wrong")]
    return gradparity.check(where, backends="autograd", reference=files)


def verdicts(result: gradparity.api.Result, name: str) -> dict[str, str]:
    return {each.block: each.verdict for each in result.problems[0].findings if each.backend == name}


def test_twenty_lines_without_gradparity_write_what_agrees(result: gradparity.api.Result):
    assert len([line for line in PAGE["elsewhere.py"].splitlines() if line.strip()]) <= 20
    assert verdicts(result, "numpy@elsewhere") == {"loss": "agrees", "gradient W": "agrees"}


def test_what_a_reference_has_not_is_said_as_not_compared(result: gradparity.api.Result):
    absent = {str(each) for each in result.problems[0].not_given}
    assert {"jvp of numpy@elsewhere", "hvp of numpy@elsewhere"} <= absent
    assert not any("double" in each for each in absent)


def test_every_quantity_of_a_whole_reference_is_judged(result: gradparity.api.Result):
    assert verdicts(result, "double") == dict.fromkeys(["loss", "gradient W", "jvp", "hvp W"], "agrees")


def test_a_wrong_reference_is_wrong(result: gradparity.api.Result):
    assert verdicts(result, "wrong") == {"loss": "agrees", "gradient W": "wrong"}
    assert not result.ok


def test_the_precision_that_it_fits_is_said(result: gradparity.api.Result):
    said = {each.name: each.said for each in result.problems[0].recorded}
    assert said["numpy@elsewhere"].startswith("consistent with float32 (")
    assert "not with float64 (" in said["numpy@elsewhere"]
    assert said["double"].startswith("consistent with float64 (")
    assert "not with float32 (" in said["wrong"]
    shown = [each.finding for each in result.problems[0].diagnoses if each.name == "reference double"]
    assert shown == [f"recorded in float64 on {facts_device(result)}, {said['double']}"]


def facts_device(result: gradparity.api.Result) -> str:
    return next(each.device for each in result.problems[0].recorded if each.name == "double")


@pytest.mark.slow
def test_a_projects_defaults_are_those_of_a_record(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pyproject.toml").write_text("[tool.gradparity]\nseed = 1\n")
    monkeypatch.chdir(tmp_path)
    for name, more in (("defaults", []), ("given", ["--seed", "0"])):
        words = ["record", str(folder / "model.py"), "--out", f"{name}.safetensors", *more]
        assert CliRunner().invoke(app, words, standalone_mode=False).return_value == 0
    zero = load_file(folder / "inputs.safetensors")["params.W"]
    assert np.array_equal(load_file("given.safetensors")["params.W"], zero)
    assert not np.array_equal(load_file("defaults.safetensors")["params.W"], zero)


@pytest.mark.slow
def test_without_a_truth_references_stand_among_the_backends(unknown: gradparity.api.Result):
    assert set(verdicts(unknown, "autograd").values()) == set(verdicts(unknown, "double").values()) == {"agrees"}
    (problem,) = unknown.problems
    assert problem.pairwise is not None
    assert problem.pairwise.backends == ["autograd", "double"]


@pytest.mark.slow
def test_without_a_truth_a_coarser_reference_is_held_to_those_that_agree(unknown: gradparity.api.Result):
    assert verdicts(unknown, "numpy@elsewhere") == {"loss": "agrees", "gradient W": "agrees"}
    assert verdicts(unknown, "wrong") == {"loss": "agrees", "gradient W": "wrong"}
    rules = {each.rule for each in unknown.problems[0].findings if each.backend == "wrong"}
    assert all(rule.startswith("pairwise, against autograd: ") for rule in rules)


def test_a_reference_of_other_inputs_is_refused_with_both_digests(folder: Path, tmp_path: Path):
    inputs = load_file(folder / "inputs.safetensors")
    facts = facts_of(folder / "elsewhere.safetensors")
    known = json.loads(facts["inputs"])
    moved = known | {"data.Y": known["data.X"]}
    save_file({"loss": np.array(1.0)}, tmp_path / "other.safetensors", facts | {"inputs": json.dumps(moved)})
    assert set(known) == set(inputs)
    words = ["check", str(folder / "model.py"), "--reference", str(tmp_path / "other.safetensors")]
    with pytest.raises(InputError) as refused:
        CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")], standalone_mode=False, catch_exceptions=False)
    message = str(refused.value)
    assert "data.Y differs" in message
    theirs, ours = (
        text.split(",")[1].split(":")[0].strip() for text in (refused.value.got, refused.value.expected + ",")
    )
    assert len(theirs) == len(ours.rstrip(",")) == 16
    assert theirs != ours


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gradparity_reference": "2"}, "gradparity_reference '2'"),
        ({"inputs": "[]"}, "a JSON object"),
        ({"name": "a b"}, "'a b'"),
    ],
)
def test_what_is_no_reference_is_refused(folder: Path, tmp_path: Path, change: dict[str, str], said: str):
    facts = facts_of(folder / "elsewhere.safetensors") | change
    save_file({"loss": np.array(1.0)}, tmp_path / "ref.safetensors", facts)
    with pytest.raises(InputError, match=r".*") as refused:
        read(str(tmp_path / "ref.safetensors"))
    assert said in str(refused.value)


def test_the_finest_that_fits_is_named_and_the_next_finer_one_that_does_not():
    figures = {"float64": 2e9, "float32": 2e4, "tf32": 60.0, "float16": 7.9, "bfloat16": 1.3}
    said = consistent(figures, "float32")
    assert said == (
        "consistent with bfloat16 products and float32 sums (1.30 floors), "
        "not with TF32 products and float32 sums (60.0 floors)"
    )
    assert consistent(dict.fromkeys(figures, 2 * AGREES_FLOORS), "bfloat16").startswith("consistent with no precision")


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_loss_is_one_number_in_whatever_shape_it_was_saved(folder: Path, tmp_path: Path, shape: tuple[int, ...]):
    facts = facts_of(folder / "elsewhere.safetensors")
    save_file({"loss": np.full(shape, 1.5)}, tmp_path / "ref.safetensors", facts)
    assert read(str(tmp_path / "ref.safetensors")).quantities["loss"][""].shape == ()


def test_another_shape_is_said_and_no_floors_are_made_up(folder: Path, tmp_path: Path):
    answers = load_file(folder / "double.safetensors")
    answers["gradient.W"] = answers["gradient.W"].ravel()
    save_file(answers, tmp_path / "flat.safetensors", facts_of(folder / "double.safetensors"))
    found = gradparity.check(folder / "model.py", backends="autograd", steps=1, reference=tmp_path / "flat.safetensors")
    (wrong,) = [each for each in found.problems[0].findings if each.verdict == "wrong"]
    assert wrong.cause.startswith("shape (18,), expected (6, 3); ")
    assert "inf" not in wrong.cause


@pytest.mark.parametrize("change", [{"gradient.w": np.zeros((6, 3))}, {"gradient.W": None, "gradient.b": np.zeros(3)}])
def test_a_gradient_of_what_is_no_parameter_is_refused_and_not_called_wrong(
    folder: Path, tmp_path: Path, change: dict[str, np.ndarray | None]
):
    answers = load_file(folder / "double.safetensors") | change
    answers = {name: value for name, value in answers.items() if value is not None}
    save_file(answers, tmp_path / "named.safetensors", facts_of(folder / "double.safetensors"))
    with pytest.raises(InputError, match="which is no parameter"):
        gradparity.check(folder / "model.py", backends="autograd", steps=1, reference=tmp_path / "named.safetensors")
