"""Small ports with a fault, and what they would give without it: the same text with the fault undone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from gradparity.worker.cure_messages import Cured, Lines, Wanted
from gradparity.worker.cures.search import cure
from gradparity.worker.user_loss import user_loss
from tests.conftest import configured

MODEL = """
def parameters(rng):
    f = lambda *s: 0.5 * rng.standard_normal(s)
    return {"w": f(5, 8), "b": f(8), "square": f(8, 8), "out": f(8)}
def data(rng):
    return {"x": rng.standard_normal((12, 5)), "y": rng.standard_normal(12)}
"""


def problem_at(folder: Path, port: str, text: str, **more: str) -> UserProblem:
    """The problem of a model in a folder with one port, and helper modules beside the model."""
    (folder / "backends").mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "backends" / f"{port}.py").write_text(text)
    for name, helper in more.items():
        (folder / f"{name}.py").write_text(helper)
    return draw_problem(load_model(folder), "port", 0)


def wanted_of(problem: UserProblem, port: str) -> list[Wanted]:
    """Loss and gradient of a port, at the problem's parameters and beside them."""
    backend, rng = configured(port), np.random.default_rng(1)
    program = backend.program(user_loss(problem.spec, backend, (port,)))
    beside = {name: value + 0.3 * rng.standard_normal(value.shape) for name, value in problem.params.items()}
    found = []
    for params in (None, beside):
        placed = backend.put(problem.params if params is None else params), backend.put(problem.data)
        value, gradient = program.value_and_gradient(*placed)
        loss = float(np.asarray(backend.get({"": value})[""]))
        found.append(Wanted(loss, {name: np.array(block) for name, block in backend.get(gradient).items()}, params))
    return found


def line_of(text: str, piece: str) -> int:
    """The line that a piece of a text begins in."""
    return text[: text.index(piece)].count("\n") + 1


def cured(folder: Path, port: str, text: str, fault: tuple[str, str], *, seconds: float = 60) -> Cured:
    """What is found for a port in which the first piece of the fault, which is right, has become the second."""
    right, wrong = fault
    assert text.count(right) == 1
    wanted = wanted_of(problem_at(folder / "right", port, text), port)
    broken = text.replace(right, wrong)
    problem = problem_at(folder / "wrong", port, broken)
    line = line_of(text, right)
    places: list[Lines] = [(str(folder / "wrong" / "backends" / f"{port}.py"), line, line)]
    return cure(configured(port), (port,), problem, places, wanted, seconds)
