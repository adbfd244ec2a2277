"""What is the matter with the problem itself, whichever backend computes it, in words a person can act on. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.judge.curvature import largest_curvature
from gradparity.judge.separation import separating_direction
from gradparity.judge.training import PATH_FLOORS
from gradparity.model_spec.problem import AnyProblem, Problem
from gradparity.numerics.extended import Extended
from gradparity.numerics.optimisers import GradientDescent, Momentum
from gradparity.results import Diagnosis
from gradparity.truth.logistic.extended import evaluate, row_blocks
from gradparity.truth.reference import Reference
from gradparity.truth.trajectory import Trajectory


def diagnose(problem: AnyProblem, reference: Reference, runs: Sequence[Trajectory] = ()) -> list[Diagnosis]:
    """Every diagnosis that applies at the problem's parameters and along its reference runs."""
    if not isinstance(problem, Problem):
        ignored = ignored_parameters(reference.ignored)
        return [ignored] if ignored is not None else []
    found = (
        saddle_start(problem, reference),
        separable_data(problem, runs),
        saturated_sigmoid(problem, runs),
        unstable_learning_rate(problem, runs),
    )
    return [diagnosis for diagnosis in found if diagnosis is not None]


def saddle_start(problem: Problem, reference: Reference) -> Diagnosis | None:
    """A start with zero gradient and negative curvature: descent never leaves it, and it is no optimum.

    The Hessian couples w and W there, so that turning the tangent of W about turns the sign of the curvature: one of
    the two directions descends.
    """
    gradient = [value for (quantity, _), value in reference.truth.items() if quantity == "gradient"]
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
    blocks = evaluate(problem)
    along = sum(np.vdot(blocks["hvp", name], tangent) for name, tangent in problem.tangents.items())
    norm = sum(np.vdot(tangent, tangent) for tangent in problem.tangents.values())
    return float(along / norm)


def separable_data(problem: Problem, runs: Sequence[Trajectory] = ()) -> Diagnosis | None:
    """A direction that classifies every row: along it the loss goes to 0 and no weights are the best."""
    if problem.spec.l2 or problem.on_disk:  # the linear program takes X whole
        return None
    direction = separating_direction(problem)
    if direction is None:
        return None
    margin = np.abs(problem.data["X"] @ direction).min()
    grown = [_growth(run) for run in runs if run.path.losses[-1] < run.path.losses[0]]
    return Diagnosis(
        name="separable data",
        finding=(
            f"a direction classifies all {problem.rows} rows, the nearest at a distance of {margin:.3g}: the loss has "
            "no minimum, it goes to 0 while the weights grow for ever" + "".join(f"; {words}" for words in grown)
        ),
        cure="Add a penalty (--l2 1e-3), or compare after a fixed number of steps and not at convergence.",
    )


def _growth(run: Trajectory) -> str:
    first, last = (np.sqrt((params * params).sum()) for params in (run.path.params[0], run.path.params[-1]))
    losses = run.path.losses
    return (
        f"in {len(losses) - 1} steps of {run.optimiser.name} the loss went from {losses[0]:.3g} to {losses[-1]:.3g} "
        f"and the length of the parameters from {first:.3g} to {last:.3g}"
    )


def saturated_sigmoid(problem: Problem, runs: Sequence[Trajectory] = ()) -> Diagnosis | None:
    """Logits so large that the probability, as a number of this dtype, has left no room between itself and 0 or 1."""
    limit = -math.log(np.finfo(problem.spec.dtype).eps)  # 36 in float64, 16 in float32: 1 - p is an ulp of 1
    points = [("at the start", problem.params)]
    points += [
        (f"after {len(run.path.losses) - 1} steps of {run.optimiser.name}", problem.spec.unpack(run.path.params[-1]))
        for run in runs
    ]
    said = []
    for where, params in points:
        over = sum(int(np.sum(np.abs(z) > limit)) for z in _logits(problem, params))
        if over:
            said.append(f"{over} of {problem.rows} rows ({over / problem.rows:.0%}) {where}")
    if not said:
        return None
    return Diagnosis(
        name="saturated sigmoid",
        finding=(
            f"|c z| is over {limit:.0f} in {'; '.join(said)}. There p or 1 - p is below one ulp of "
            f"{problem.spec.dtype}: a gradient or curvature formed from p, such as p (1 - p), has no correct digit or "
            "is exactly zero"
        ),
        cure=(
            "Standardise the features, start smaller, lower --logit-scale or --lr, or add --l2; write the loss as "
            "softplus of the logit (--numerics stable) and not as the log of p."
        ),
    )


def unstable_learning_rate(problem: Problem, runs: Sequence[Trajectory]) -> Diagnosis | None:
    """A loss that rises because the step is longer than the curvature allows.

    Gradient descent is stable up to ``2 / lambda_max``, the heavy ball up to ``2 (1 + mu) / lambda_max``. Where the
    loss rises in one step of gradient descent, the curvature on the way exceeded ``2 / lr``: the descent lemma.

    Reference: Polyak 1964; Nesterov, Introductory lectures on convex optimization, 2004, section 1.2.3.
    """
    for run in runs:
        if isinstance(run.optimiser, GradientDescent | Momentum):
            found = _unstable(problem, run, run.optimiser)
            if found is not None:
                return found
    return None


def _unstable(problem: Problem, run: Trajectory, optimiser: GradientDescent | Momentum) -> Diagnosis | None:
    losses = run.path.losses[: len(run.loss_floor)]
    with np.errstate(all="ignore"):
        rises = np.flatnonzero(~(np.diff(losses) <= PATH_FLOORS * run.loss_floor[1:]))
    if not rises.size:
        return None
    step, mu = int(rises[0]), optimiser.momentum if isinstance(optimiser, Momentum) else 0.0
    limits = {}
    for where, at in (("at the start", 0), (f"before step {step + 1}", step), ("at the end", len(losses) - 1)):
        if where != "at the start" and at == 0:
            continue
        params = run.path.params[min(int(np.searchsorted(run.path.steps, at)), len(run.path.steps) - 1)]
        curvature = _curvature_at(problem, params)
        if curvature is not None and curvature > 0:
            limits[where] = 2 * (1 + mu) / curvature
    rate = optimiser.learning_rate
    if mu and not any(rate > limit for limit in limits.values()):
        return None  # the heavy ball overshoots and comes back by itself
    formula = "2 (1 + momentum) / largest curvature" if mu else "2 / largest curvature"
    known = ", ".join(f"{limit:.3g} {where}" for where, limit in limits.items())
    stable = min([rate, *limits.values()])
    return Diagnosis(
        name="learning rate beyond stability",
        finding=(
            f"with --lr {rate:.3g} the loss of {optimiser.name} rises, first at step {step + 1} from "
            f"{float(losses[step]):.4g} to {float(losses[step + 1]):.4g}, and in {rises.size} of {len(losses) - 1} "
            f"steps. A step is stable up to {formula}"
            + (f": {known}" if known else "")
            + ("" if stable < rate else "; the curvature is larger still between the points of a step")
        ),
        cure=f"Use --lr {_two_digits_below(stable if stable < rate else rate / 2)} or less.",
    )


def _curvature_at(problem: Problem, vector: Extended) -> float | None:
    """The largest curvature at a point, unless the run has left the range in which it can be formed."""
    if not (np.isfinite(vector).all() and np.abs(vector).max() < np.sqrt(np.finfo(problem.spec.dtype).max)):
        return None
    return largest_curvature(problem, problem.spec.unpack(vector))


def _two_digits_below(value: float) -> str:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.floor(value / unit) * unit:.2g}"


def _logits(problem: Problem, params: Mapping[str, npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
    """``c z`` of every row, in blocks, float64; the sign and not the size is lost where it overflows."""
    w, W = np.asarray(params["w"], np.float64), params.get("W")
    with np.errstate(all="ignore"):
        u = w if W is None else np.asarray(W, np.float64) @ w
        for rows in row_blocks(problem):
            yield np.asarray(problem.spec.logit_scale * (problem.data["X"][rows] @ u))


def ignored_parameters(names: Sequence[str]) -> Diagnosis | None:
    """Parameters that a loss of the user's does not depend on."""
    if not names:
        return None
    several = len(names) > 1
    return Diagnosis(
        name="ignored parameters" if several else "an ignored parameter",
        finding=(
            f"the loss does not depend on {', '.join(names)}, or stops the gradient there: "
            f"{'their gradients are' if several else 'its gradient is'} zero everywhere"
        ),
        cure="Use it in the loss, or leave it out of parameters(rng).",
    )
