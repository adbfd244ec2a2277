"""Programs that compute a loss and its derivatives by themselves: right ones, and every way to answer wrongly."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

#: Half the mean squared residual of `tests.user_model.models.HEAD`, with its gradient; ``{answer}`` sends it.
PROGRAM = """import json, os, signal, sys, time

def computed(asked):
    X, y = asked["data"]["X"], asked["data"]["y"]
    w, b = asked["params"]["w"], asked["params"]["b"]
    r = [sum(x * v for x, v in zip(row, w)) + b - t for row, t in zip(X, y)]
    slopes = [sum(e * row[j] for e, row in zip(r, X)) / len(r) for j in range(len(w))]
    return {"loss": 0.5 * sum(e * e for e in r) / len(r), "gradient": {"w": slopes, "b": sum(r) / len(r)}}

def send(found):
    print(json.dumps(found), flush=True)

for line in sys.stdin:
    asked = json.loads(line)
    found = computed(asked)
    {answer}
"""

#: The answer of one that says what it can beside, and does that. The gradient is affine: H t is that at t with y = 0.
ABLE = """
def product(asked):
    still = {**asked["data"], "y": [0.0] * len(asked["data"]["y"])}
    return computed({"params": asked["tangents"], "data": still})["gradient"]
def slope(found, asked):
    along = zip(found["gradient"]["w"], asked["tangents"]["w"])
    return sum(g * t for g, t in along) + found["gradient"]["b"] * asked["tangents"]["b"]
what = asked["evaluate"]
found = {
    "value_and_gradient": lambda: {**found, "can": ["jvp", "hvp", "echo", "sing"]},
    "jvp": lambda: {"jvp": slope(found, asked)},
    "hvp": lambda: {"hvp": product(asked)},
    "echo": lambda: {"loss": 0, "gradient": asked["params"]},
}[what]()
"""


def program(folder: Path, answer: str = "send(found)", text: str = PROGRAM, name: str = "program.py") -> list[str]:
    """The words that start a program with that answer."""
    file = folder / name
    file.write_text(text.replace("{answer}", answer.replace("\n", "\n    ")), encoding="utf-8")
    return [sys.executable, str(file)]


def option(words: list[str], name: str = "plain") -> str:
    """The value of ``--backend`` for it."""
    return f"{name}=command:{shlex.join(words)}"
