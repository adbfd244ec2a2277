"""What is the matter with the problem itself, whichever backend computes it, in words a person can act on. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradparity.results import Diagnosis
from gradparity.truth.extended import evaluate
from gradparity.truth.reference import Reference
from model_spec.problem import Problem


def diagnose(problem: Problem, reference: Reference) -> list[Diagnosis]:
    """Every diagnosis that applies at the problem's parameters."""
    return [found for found in (saddle_start(problem, reference),) if found is not None]


def saddle_start(problem: Problem, reference: Reference) -> Diagnosis | None:
    """A start with zero gradient and negative curvature: descent never leaves it, and it is no optimum.

    The Hessian couples w and W there, so that turning the tangent of W about turns the sign of the curvature: one of
    the two directions descends.
    """
    gradient = [value for (quantity, _), value in reference.truth.blocks.items() if quantity == "gradient"]
    if any(value.any() for value in gradient):
        return None
    turned = replace(
        problem, tangents={name: -value if name == "W" else value for name, value in problem.tangents.items()}
    )
    curvature = min(_curvature(problem), _curvature(turned))
    if not curvature < 0:
        return None
    return Diagnosis(
        name="saddle start",
        finding=(
            "the gradient is exactly zero at this start, yet it is no minimum: the curvature along a random direction "
            f"is {curvature:.3g}. Gradient descent never leaves it, on any backend"
        ),
        cure="Start from small random parameters (--start random, the default).",
    )


def _curvature(problem: Problem) -> float:
    """``v^T H v`` for the problem's tangents v, over ``v^T v``."""
    blocks = evaluate(problem).blocks
    along = sum(np.vdot(blocks["hvp", name], tangent) for name, tangent in problem.tangents.items())
    norm = sum(np.vdot(tangent, tangent) for tangent in problem.tangents.values())
    return float(along / norm)
