"""Every example through ``gradparity check`` on every backend that it has code for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import gradparity

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BACKENDS = ("autograd", "jax", "torch")
RIGHT = sorted(
    path.name
    for path in EXAMPLES.iterdir()
    if path.suffix == ".py" or ((path / "model_spec.py").is_file() and path.name != "broken_port")
)


def test_there_are_at_least_eight_examples_and_a_broken_one():
    assert len(RIGHT) >= 8
    assert (EXAMPLES / "broken_port" / "model_spec.py").is_file()


#: What pytest runs without -m slow too; and what varies others: no recursion, no decomposition, no weights of its own.
QUICK = ("mlp.py", "logistic_regression")
VARIED = ("softmax_regression.py", "gaussian_mixture.py", "matrix_factorisation.py", "lstm_cell.py")


def marks_of(name: str) -> list[pytest.MarkDecorator]:
    return [] if name in QUICK else [pytest.mark.slow, *([pytest.mark.variation] if name in VARIED else [])]


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=marks_of(n)) for n in RIGHT])
def test_every_backend_agrees_on(name: str):
    by_hand = "def gradient(" in (EXAMPLES / name).read_text() if name.endswith(".py") else False
    backends = [*BACKENDS, *(["numpy"] if by_hand else [])]
    result = gradparity.check(EXAMPLES / name, backends=backends, steps=3)
    assert result.ok, result
    assert {f.backend for f in result.problems[0].findings} == set(backends)
    assert result.problems[0].truth.startswith("certified in ball arithmetic")


def test_the_broken_port_is_found_and_the_place_where_its_gradient_is_lost():
    (problem,) = gradparity.check(EXAMPLES / "broken_port", backends=["jax", "torch"], steps=3).problems
    verdicts = {(f.backend, f.quantity): f.verdict for f in problem.findings}
    assert verdicts["torch", "loss"] == "agrees"
    assert verdicts["torch", "gradient"] == "wrong"
    assert {f.verdict for f in problem.findings if f.backend == "jax"} == {"agrees"}
    assert [str(found).partition(":")[0] for found in problem.divergences.found] == [
        "torch diverges from jax at `weight` (backward)"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cure", "bad"), [("obvious", {("torch", "hvp"): "unstable"}), ("from_logits", {})], ids=("obvious", "from_logits")
)
def test_the_cure_that_suggests_itself_is_off_in_the_hvp_and_the_other_passes(
    cure: str, bad: dict[tuple[str, str], str], tmp_path: Path
):
    folder = tmp_path / "focal"
    shutil.copytree(EXAMPLES / "broken_port", folder)
    shutil.copy(folder / "cures" / f"{cure}.py", folder / "backends" / "torch.py")
    result = gradparity.check(folder, backends=["torch"], steps=3)
    (problem,) = result.problems
    assert {(f.backend, f.quantity): f.verdict for f in problem.not_good} == bad
    assert result.ok == (not bad)
    # Every cotangent of a gradient that agrees is right, and none is said to diverge.
    assert problem.divergences is None or (problem.divergences.lines, problem.divergences.found) == ([], [])
