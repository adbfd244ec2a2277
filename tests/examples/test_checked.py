"""Every example through ``gradparity check`` on every backend that it has code for."""

from __future__ import annotations

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


#: What pytest runs without -m slow too.
QUICK = ("mlp.py", "logistic_regression")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in RIGHT])
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
