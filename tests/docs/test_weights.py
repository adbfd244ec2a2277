"""The ports of the page about weights, in Flax and Equinox, give PyTorch's gradient; where these are installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from gradparity.worker.user_loss import user_loss
from tests.conftest import configured
from tests.docs.pages import ROOT, blocks

PAGE = {block.name: block.body for block in blocks(ROOT / "docs" / "howto" / "weights.md") if block.kind == "file"}
FLATTENED = '("params/fc/kernel", "o (c h w) -> (h w c) o", {"h": 4, "w": 4})'


def gradient(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Loss and gradient of one port at the drawn parameters, by name."""
    backend, problem = configured(name), draw_problem(load_model(folder), "net", 0)
    program = backend.program(user_loss(problem.spec, backend, (name,)))
    value, found = program.value_and_gradient(backend.put(problem.params), backend.put(problem.data))
    return dict(backend.get({"loss": value, **found}))


@pytest.mark.slow
@pytest.mark.parametrize("port", ["net", "linen", "nnx", "equinox"])
def test_a_port_of_the_page_has_the_gradient_of_torch(port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for package in ("torch", "jax", "safetensors.torch", {"linen": "flax", "nnx": "flax"}.get(port, port)):
        if package != "net":
            pytest.importorskip(package, reason=f"{package} is not installed: pip install {package.partition('.')[0]}")
    for attribute in ("path", "meta_path"):
        monkeypatch.setattr(sys, attribute, list(getattr(sys, attribute)))
    monkeypatch.chdir(tmp_path)
    model = PAGE["net/model.py"].replace('("params/fc/kernel", "T")', FLATTENED)
    assert FLATTENED in model
    if port == "equinox":
        begin, end = model.index("layouts = "), model.index("def parameters")
        stated = 'layouts = {"jax": {"conv.bias": ("conv.bias", "o -> o11"), "**": "**"}}\n'
        assert stated[18:-2] in (ROOT / "docs" / "howto" / "weights.md").read_text()
        model = model[:begin] + stated + model[end:]
    (tmp_path / "net" / "backends").mkdir(parents=True)
    (tmp_path / "net" / "model.py").write_text(model)
    (tmp_path / "net" / "backends" / "torch.py").write_text(PAGE["net/backends/torch.py"])
    (tmp_path / "net" / "backends" / "jax.py").write_text(PAGE[f"{port}/backends/jax.py"])
    exec(compile(PAGE["train.py"], "train.py", "exec"), {})  # noqa: S102  # the page's
    ported, torchs = (gradient(tmp_path / "net", name) for name in ("jax", "torch"))
    assert list(ported) == list(torchs)
    for name, value in torchs.items():
        assert ported[name].dtype == value.dtype == np.float32
        assert np.linalg.norm(ported[name] - value) < 2e-6 * max(
            np.linalg.norm(value), np.linalg.norm(torchs["loss"])
        ), name
