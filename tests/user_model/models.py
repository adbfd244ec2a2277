"""Models of users, written into a folder: right ones, and every way to get one wrong."""

from __future__ import annotations

from pathlib import Path

HEAD = """import numpy as np

def parameters(rng):
    return {"w": rng.standard_normal(3), "b": np.array(0.5)}

def data(rng):
    return {"X": rng.standard_normal((6, 3)), "y": rng.standard_normal(6)}
"""

#: Half the mean squared residual of a line.
LOSS = """
def loss(params, data, xp):
    r = data["X"] @ params["w"] + params["b"] - data["y"]
    return 0.5 * xp.mean(r * r)
"""

GRADIENT = """
def gradient(params, data):
    r = data["X"] @ params["w"] + params["b"] - data["y"]
    return {"b": r.mean(), "w": data["X"].T @ r / len(r)}
"""

SUMMED_PORT = """
import autograd.numpy as np

def loss(params, data):
    r = np.dot(data["X"], params["w"]) + params["b"] - data["y"]
    return 0.5 * np.sum(r * r)
"""


def model_file(folder: Path, text: str, name: str = "model.py") -> str:
    """The path of a one-file model with that text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def model_folder(folder: Path, text: str, **backends: str) -> str:
    """The path of a folder with ``model_spec.py`` and a file for each backend."""
    (folder / "backends").mkdir(parents=True)
    model_file(folder, text, "model_spec.py")
    for name, code in backends.items():
        model_file(folder / "backends", code, f"{name}.py")
    return str(folder)
