"""A model of another size at each seed: what is tried at a second point is tried at its shapes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command

MODEL = """import numpy as np

def size(rng):
    return 4 + rng.bit_generator.seed_seq.entropy[0] % 2

def parameters(rng):
    return {"w": rng.standard_normal(size(rng))}

def data(rng):
    return {"X": rng.standard_normal((6, size(rng)))}

def loss(params, data, xp):
    return xp.sum(xp.tanh(data["X"] @ params["w"]) ** 2)
"""
PORT = """import autograd.numpy as np

def loss(params, data):
    return np.sum(np.tanh(data["X"] @ params["w"] * 1.5) ** 2)
"""


@pytest.mark.slow
@pytest.mark.variation
def test_an_edit_is_tried_at_parameters_of_other_shapes(tmp_path: Path, command: Command):
    (tmp_path / "backends").mkdir()
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    (tmp_path / "backends" / "autograd.py").write_text(PORT, encoding="utf-8")
    code, shown, err = command("check", str(tmp_path), "--backends", "autograd", "--out", str(tmp_path / "out"))
    assert code == 1, shown + err
    assert "if `1.5` at autograd.py:4 were `1.0` (tried at two points" in " ".join(shown.split())
