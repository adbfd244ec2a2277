"""Training runs in extended precision, and the noise floor grown along them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from gradparity.optimisers import LBFGS, Optimiser, Path, Tree, ValueAndGradient, follow, rounded
from gradparity.truth.extended import Extended, perturbed, value_and_gradient
from model_spec.problem import Problem

#: Perturbed runs that the floor is estimated from.
DRAWS = 8
#: Entries of X read, over all steps and draws, that a reference may cost: some 6 s at 30 ns each.
OPERATIONS = 2 * 10**8


@dataclass(frozen=True)
class Trajectory:
    """The run that every backend's is held against.

    Attributes:
        optimiser: with its hyperparameters as the problem's dtype rounds them.
        path: the run itself, in extended precision (L-BFGS: gradients and loss rounded to the dtype).
        loss_floor: ``(n + 1,)``; how far the loss moves when rounding errors are made along the way.
        floors: by parameter, ``(m,)`` at ``path.steps``; the same for the parameter's root mean square.
        amplification: ``(m,)``; the largest floor of a parameter over the rounding of that parameter itself.
        final_floor: of the last loss of each run, however many iterations each took.
        evaluations: fewest and most that a perturbed run took.
        complete: whether the reference has all the steps that were asked for.
    """

    optimiser: Optimiser
    path: Path
    loss_floor: Extended
    floors: dict[str, Extended]
    amplification: Extended
    final_floor: Extended
    evaluations: tuple[int, int]
    complete: bool


def trajectory(problem: Problem, optimiser: Optimiser, steps: int, draws: int = DRAWS) -> Trajectory:
    """The reference run of an optimiser from the problem's parameters, shorter where it would pass `OPERATIONS`.

    The floor at a step is the largest root mean square so far, over ``draws`` runs with every continuous input and the
    start off by one rounding, and parameters, gradient and loss off by another at every step: what a run in the
    problem's dtype cannot avoid. It grows as the dynamics make it grow. One rounding of the value itself is added.
    """
    which = rounded(optimiser, problem.spec.dtype)
    affordable = min(steps, max(1, affordable_steps(problem, which, draws)))
    with threadpool_limits(1):  # SciPy's L-BFGS on vectors of hundreds: BLAS threads make it ten times slower
        path = follow(which, problem.spec, _evaluator(problem), _start(problem, which), affordable)
        runs = [_perturbed_path(moved, which, affordable, draw) for draw, moved in enumerate(perturbed(problem, draws))]

    u = np.longdouble(np.finfo(problem.spec.dtype).eps) / 2
    tiny = np.longdouble(np.finfo(problem.spec.dtype).smallest_subnormal)
    with np.errstate(all="ignore"):
        kept = min(len(run.losses) for run in (path, *runs))
        losses = path.losses[:kept].astype(np.longdouble)
        moved_losses = np.array([run.losses[:kept] for run in runs], np.longdouble) - losses
        loss_floor = _grown(_rms(moved_losses, 0)) + u * np.abs(losses) + tiny
        steps_kept = path.steps[path.steps < kept]
        runs_params = [_at(run, steps_kept) for run in runs]
        floors, amplification = {}, np.zeros(len(steps_kept), np.longdouble)
        for name, block in blocks(problem).items():
            true = path.params[: len(steps_kept), block].astype(np.longdouble)
            spread = _rms(np.array([_rms(params[:, block] - true, 1) for params in runs_params]), 0)
            rounding = u * _rms(true, 1)
            floors[name] = _grown(spread) + rounding + tiny
            # The rounding of the largest parameters so far: near a zero crossing the present ones have almost none.
            amplification = np.maximum(amplification, floors[name] / (_grown(rounding) + tiny))
        finals = np.array([run.losses[-1] for run in runs], np.longdouble) - path.losses[-1]
        final_floor = _rms(finals, 0) + loss_floor[-1]
    counts = [run.evaluations for run in (path, *runs)]
    return Trajectory(
        which,
        path,
        loss_floor,
        floors,
        amplification,
        np.asarray(final_floor),
        (min(counts), max(counts)),
        affordable == steps,
    )


def affordable_steps(problem: Problem, optimiser: Optimiser, draws: int = DRAWS) -> int:
    """How many steps `OPERATIONS` allow."""
    calls: int = OPERATIONS // (problem.data["X"].size * (1 + draws))
    return calls if not isinstance(optimiser, LBFGS) else calls * 2 // 3


def blocks(problem: Problem) -> dict[str, slice]:
    """Where each parameter lies in the flat vector."""
    places, begin = {}, 0
    for name, shape in problem.spec.shapes.items():
        size = int(np.prod(shape, dtype=int))
        places[name] = slice(begin, begin + size)
        begin += size
    return places


def _perturbed_path(moved: Problem, which: Optimiser, steps: int, draw: int) -> Path:
    """The run on moved inputs, with a rounding of random sign in the parameters and the gradient of every step."""
    u = np.longdouble(np.finfo(moved.spec.dtype).eps) / 2
    roundings = np.array([1 + u, 1 - u])
    rng = np.random.default_rng([moved.seed, 2, draw])

    def jitter(tree: Tree) -> Tree:
        # One draw for the whole tree: it takes 6 us however small it is, as long as several operations.
        factors = roundings.take(rng.integers(0, 2, sum(p.size for p in tree.values()), np.int8))
        parts, begin = {}, 0
        for name, p in tree.items():
            parts[name] = p * factors[begin : begin + p.size].reshape(p.shape)
            begin += p.size
        return parts

    exact = _evaluator(moved, jitter)
    return follow(which, moved.spec, exact, _start(moved, which), steps, moved=jitter)


def _evaluator(problem: Problem, jitter: Callable[[Tree], Tree] | None = None) -> ValueAndGradient:
    """Loss and gradient by the closed form, both off by ``jitter``, and for L-BFGS the point too.

    SciPy holds parameters in float64, so for L-BFGS results are rounded to the problem's dtype like a backend's.
    """
    X, y = (np.asarray(problem.data[name], np.longdouble) for name in ("X", "y"))

    def call(params: Tree) -> tuple[Any, Tree]:
        at = {name: np.asarray(p, np.longdouble) for name, p in params.items()}
        of_scipy = any(p.dtype != np.longdouble for p in params.values())
        value, gradient = value_and_gradient(problem.spec, jitter(at) if jitter and of_scipy else at, X, y)
        if jitter:
            gradient = jitter({"": np.asarray(value), **gradient})
            value = gradient.pop("")
        if not of_scipy:
            return value, gradient
        dtype = problem.spec.dtype
        return value.astype(dtype), {name: g.astype(dtype) for name, g in gradient.items()}

    return call


def _start(problem: Problem, which: Optimiser) -> Tree:
    dtype = problem.spec.dtype if isinstance(which, LBFGS) else np.longdouble
    return {name: np.asarray(p, dtype) for name, p in problem.params.items()}


def _at(run: Path, steps: Any) -> Extended:
    """Parameters of a run at some of the steps that it kept."""
    return np.asarray(run.params[np.searchsorted(run.steps, steps)], np.longdouble)


def _rms(values: Any, axis: int) -> Any:
    return np.sqrt(np.mean(values * values, axis=axis))


def _grown(values: Any) -> Any:
    return np.maximum.accumulate(values)
