"""Environment variables that a model reads: those that are passed on reach it, and of the others it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity
from gradparity.runner.settings import settings_from
from tests.user_model.models import HEAD, LOSS, model_file, model_folder

SCALED = HEAD + LOSS.replace("0.5 * xp", "SCALE * xp")
PORT = """
import os
import autograd.numpy as np

def loss(params, data):
    r = np.dot(data["X"], params["w"]) + params["b"] - data["y"]
    return float(READ) * np.mean(r * r)
"""


def first_loss(result: Any) -> float:
    return result.problems[0].training[0].losses[0]


@pytest.mark.parametrize("given", ["SCALE_OF_MINE", pytest.param("SCALE_OF_MINE=4", marks=pytest.mark.slow)])
def test_a_variable_that_is_passed_on_reaches_the_model_and_every_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
):
    monkeypatch.setenv("SCALE_OF_MINE", "4" if "=" not in given else "7")
    head = "import os\nSCALE = float(os.environ['SCALE_OF_MINE'])\n"
    port = PORT.replace("READ", "os.environ['SCALE_OF_MINE']")
    path = model_folder(tmp_path / "m", head + SCALED, autograd=port)
    result = gradparity.check(path, backends=["autograd"], steps=1, env=given)
    assert result.ok, result
    rng = [np.random.default_rng([0, which]) for which in (0, 1)]
    w, X, y = rng[0].standard_normal(3), rng[1].standard_normal((6, 3)), rng[1].standard_normal(6)
    assert first_loss(result) == pytest.approx(4 * np.mean((X @ w + 0.5 - y) ** 2), rel=1e-14)
    kept = result.environment["SCALE_OF_MINE"]
    assert kept == "4" if "=" in given else "4" not in kept  # what is passed on as it is may be a secret
    assert [said for said in result.problems[0].diagnoses if said.name == "environment"] == []


@pytest.mark.parametrize(
    ("read", "there"),
    [
        ("os.environ.get('SCALE_OF_MINE', 1)", "the model"),
        pytest.param("os.getenv('SCALE_OF_MINE') or 1", "the model", marks=pytest.mark.slow),
        pytest.param("1 if 'SCALE_OF_MINE' in os.environ else 1", "the model", marks=pytest.mark.slow),
        pytest.param("os.getenv('SCALE_OF_MINE') or 1", "a port", marks=pytest.mark.slow),
    ],
)
def test_one_that_is_set_and_is_read_in_vain_is_said_with_the_line_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str, there: str
):
    monkeypatch.setenv("SCALE_OF_MINE", "4")
    head = f"import os\nSCALE = float({read})\n" if there == "the model" else "SCALE = 1.0\n"
    port = PORT.replace("READ", read if there == "a port" else "1")
    result = gradparity.check(
        model_folder(tmp_path / "m", head + SCALED, autograd=port), backends=["autograd"], steps=1
    )
    (said,) = [said for said in result.problems[0].diagnoses if said.name == "environment"]
    line = "model_spec.py, line 2" if there == "the model" else "autograd.py, line 7"
    assert f"SCALE_OF_MINE ({line})" in said.finding
    assert said.cure == "--env SCALE_OF_MINE passes it on."
    assert "4" not in said.finding


@pytest.mark.slow
def test_what_frameworks_read_and_what_is_not_set_here_is_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SCALE_OF_MINE", raising=False)
    monkeypatch.setenv("JAX_LOG_COMPILES", "0")  # JAX reads it, at its import
    path = model_file(tmp_path, "import os\nimport jax\nSCALE = float(os.getenv('SCALE_OF_MINE') or 1)\n" + SCALED)
    result = gradparity.check(path, backends=["autograd", "jax"], steps=1)
    assert result.ok, result
    assert [said for said in result.problems[0].diagnoses if said.name == "environment"] == []


def test_a_model_that_cannot_do_without_says_so_with_what_passes_it_on(tmp_path: Path):
    path = model_file(tmp_path, "import os\nSCALE = float(os.environ['SCALE_OF_MINE'])\n" + SCALED)
    with pytest.raises(
        gradparity.InputError, match=r"KeyError: 'SCALE_OF_MINE'.*model\.py, line 2\): --env SCALE_OF_MINE"
    ):
        gradparity.check(path, backends=["autograd"], steps=1)


@pytest.mark.slow
def test_a_port_that_cannot_do_without_fails_with_what_passes_it_on(tmp_path: Path):
    port = PORT.replace("READ", "os.environ['SCALE_OF_MINE']")
    path = model_folder(tmp_path / "m", "SCALE = 1.0\n" + SCALED, autograd=port)
    (trouble,) = gradparity.check(path, backends=["autograd"], steps=1).troubles
    assert "--env SCALE_OF_MINE passes yours on" in trouble.reason


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("=3", "NAME or NAME=value"),
        ("A B=3", "NAME or NAME=value"),
        ("OMP_NUM_THREADS=3", "--threads N"),
        ("JAX_PLATFORMS=cuda", "does not set"),
        ("TMPDIR=/tmp", "does not set"),
        ("NPROC", "--threads N"),
    ],
)
def test_a_variable_that_is_none_or_is_gradparitys_own_is_refused(given: str, said: str):
    with pytest.raises(gradparity.InputError, match=f"--env: got .*{said}"):
        settings_from("check", {"env": [given]})
