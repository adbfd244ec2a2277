"""A model of 29 rows, and ports of it over several processes, right and wrong: written as people write them."""

from __future__ import annotations

import textwrap
from pathlib import Path

ROWS = 29

MODEL = """
import numpy as np

rows = ("X", "y")

def parameters(rng):
    return {"W": 0.5 * rng.standard_normal((3, 2)), "w": rng.standard_normal(2)}

def data(rng):
    return {"X": rng.standard_normal((29, 3)), "y": rng.standard_normal(29)}

def loss(params, data, xp):
    residual = xp.tanh(data["X"] @ params["W"]) @ params["w"] - data["y"]
    return xp.mean(residual**2)
"""

#: A port's loss, and its gradient from what it makes of its own rows and of what the ranks have.
PORT = """
import torch
import torch.distributed as dist

def loss(params, data):
    residual = torch.tanh(data["X"] @ params["W"]) @ params["w"] - data["y"]
    return torch.mean(residual**2)

def own(params, data):
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    loss(leaves, data).backward()
    return {name: p.grad for name, p in leaves.items()}

def gradient(params, data):
    found = own(params, data)
    n = dist.get_world_size()
    BODY
"""

RIGHT = """
    share = len(data["y"]) / 29
    for g in found.values():
        g *= share
        dist.all_reduce(g)
    return found
"""


def written(folder: Path, body: str | None = None, *, model: str = MODEL) -> Path:
    """A model's folder, with a port that has its own gradient if a body for it is given."""
    (folder / "backends").mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(model)
    if body is not None:
        port = PORT.replace("    BODY", textwrap.indent(textwrap.dedent(body).strip(), "    "))
        (folder / "backends" / "torch-distributed.py").write_text(port)
    return folder
