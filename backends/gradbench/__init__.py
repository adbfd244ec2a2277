"""GradBench (https://github.com/gradbench/gradbench): its evaluations as models, and its protocol as JSON lines.

Each file of ``evals`` is a model that any check takes (``parameters``, ``data`` and ``loss``) and has a ``WIRE``, which
says how its inputs and outputs stand in messages. Nothing here imports a framework. See docs/howto/gradbench.md.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from gradparity.backends.gradbench.wire import Wire

#: Evaluations that are known here, GradBench's own introduction first.
EVALS = ("hello", "lse", "llsq", "det", "kmeans", "ode", "gmm", "lstm")


def module_of(name: str) -> ModuleType:
    """The model of an evaluation, one of `EVALS`."""
    return import_module(f"{__name__}.evals.{name}")


def wire_of(name: str) -> Wire:
    """How an evaluation's inputs and outputs stand in messages."""
    found: Wire = module_of(name).WIRE
    return found


def path_of(name: str) -> str:
    """The file that a check of an evaluation takes as its model."""
    return str(Path(__file__).with_name("evals") / f"{name}.py")
