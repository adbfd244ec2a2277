"""Training runs in extended precision, and the noise floor grown along them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from gradparity.model_spec.problem import AnyProblem
from gradparity.model_spec.space import ParameterSpace
from gradparity.numerics.extended import Extended
from gradparity.numerics.optimisers import LBFGS, OUT_OF_TIME, Optimiser, Path, Tree, ValueAndGradient, follow, rounded
from gradparity.truth.lockstep import in_lockstep

#: Perturbed runs that the floor is estimated from.
DRAWS = 8


@dataclass(frozen=True)
class Trajectory:
    """The run that every backend's is held against.

    Attributes:
        optimiser: with its hyperparameters as the problem's dtype rounds them.
        path: the run itself, in extended precision (L-BFGS: gradients and loss rounded to the dtype).
        loss_floor: ``(n + 1,)``; how far the loss moves when rounding errors are made along the way; nan from where
            nothing is known of it or of a parameter.
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


Evaluated: TypeAlias = tuple[Any, Tree]


class Arithmetic(Protocol):
    """Loss and gradient of one kind of problem in extended precision.

    Attributes:
        seconds: after which a reference begins no further step, whatever was thought that it could afford.
        at_once: perturbed runs that go on side by side, each with data of its own.
    """

    seconds: float
    at_once: int

    def perturbed(self, problem: Any, draws: int) -> Iterator[Any]:
        """Copies of the problem whose every continuous input is off by one rounding."""

    def bind(self, problem: Any) -> Callable[[Tree], Evaluated]:
        """Loss and gradient at parameters in extended precision."""

    def bind_draws(self, problems: Sequence[Any]) -> Callable[[Mapping[int, Tree]], Mapping[int, Evaluated]]:
        """The same of some of several draws, by their number, each with what roundings inside can do."""

    def calls(self, problem: Any) -> int:
        """Calls of the former that a reference may cost."""

    def calls_of_draws(self, problem: Any, draws: int) -> float:
        """What a call for so many draws costs, over what one of the former does."""


def reference_run(
    problem: AnyProblem, optimiser: Optimiser, steps: int, arithmetic: Arithmetic, draws: int = DRAWS
) -> Trajectory:
    """The reference run of an optimiser from the problem's parameters, shorter where that would cost too much.

    The floor at a step is the largest root mean square so far, over runs with every continuous input and the start off
    by one rounding, and parameters, gradient and loss off by another at every step: what a run in the problem's dtype
    cannot avoid. It grows as the dynamics make it grow. One rounding of the value itself is added.

    Args:
        problem: where the run starts, and of which loss.
        optimiser: what takes the steps.
        steps: how many are wanted.
        arithmetic: value and gradient of this kind of problem, and how many of them a reference may cost.
        draws: perturbed runs.

    Returns:
        The run, and its floors.
    """
    which = rounded(optimiser, problem.spec.dtype)
    ends_s = time.monotonic() + arithmetic.seconds
    affordable = min(steps, max(1, affordable_steps(problem, which, arithmetic, draws)))
    with threadpool_limits(1):  # SciPy's L-BFGS on vectors of hundreds: BLAS threads make it ten times slower
        evaluate = _evaluator(problem.spec, arithmetic.bind(problem))
        path = follow(
            which, problem.spec, evaluate, _start(problem, which), affordable, seconds=ends_s - time.monotonic()
        )
        del evaluate  # with its copy of the data
        numbered, runs = enumerate(arithmetic.perturbed(problem, draws)), list[Path]()
        while some := list(islice(numbered, arithmetic.at_once)):
            runs += in_lockstep(
                [partial(_perturbed_path, moved, which, affordable, draw, ends_s) for draw, moved in some],
                arithmetic.bind_draws([moved for _, moved in some]),
            )
            del some
    cut = any(run.stopped == OUT_OF_TIME for run in (path, *runs))

    u, tiny = unit_and_tiny(problem.spec.dtype)
    dtypes = problem.spec.dtypes
    with np.errstate(all="ignore"):
        kept = min(len(run.losses) for run in (path, *runs))
        losses = path.losses[:kept].astype(np.longdouble)
        moved_losses = np.array([run.losses[:kept] for run in runs], np.longdouble) - losses
        loss_floor = _grown(_rms_of_runs(moved_losses)) + u * np.abs(losses) + tiny
        steps_kept = path.steps[path.steps < kept]
        runs_params = [_at(run, steps_kept) for run in runs]
        floors, amplification = {}, np.zeros(len(steps_kept), np.longdouble)
        for name, block in blocks(problem).items():
            true = path.params[: len(steps_kept), block].astype(np.longdouble)
            unit, least = unit_and_tiny(dtypes[name])
            spread = _rms_of_runs(np.array([_rms(params[:, block] - true, 1) for params in runs_params]))
            rounding = unit * _rms(true, 1)
            floors[name] = _grown(spread) + rounding + least
            # The rounding of the largest parameters so far: near a zero crossing the present ones have almost none.
            amplification = np.maximum(amplification, floors[name] / (_grown(rounding) + least))
        finals = np.array([run.losses[-1] for run in runs], np.longdouble) - path.losses[-1]
        final_floor = _rms_of_runs(finals) + loss_floor[-1]
        known = _known_steps(loss_floor, floors, steps_kept)
        loss_floor[known:] = np.nan
    counts = [run.evaluations for run in (path, *runs)]
    return Trajectory(
        which,
        path,
        loss_floor,
        floors,
        amplification,
        np.asarray(final_floor),
        (min(counts), max(counts)),
        affordable == steps and known == kept and not cut,
    )


def affordable_steps(problem: AnyProblem, optimiser: Optimiser, arithmetic: Arithmetic, draws: int = DRAWS) -> int:
    """How many steps the arithmetic's budget of calls allows."""
    calls = int(arithmetic.calls(problem) / (1 + arithmetic.calls_of_draws(problem, draws)))
    return calls if not isinstance(optimiser, LBFGS) else calls * 2 // 3


def unit_and_tiny(dtype: str) -> tuple[np.longdouble, np.longdouble]:
    """Unit roundoff and smallest positive number of a dtype."""
    info = np.finfo(dtype)
    return np.longdouble(info.eps) / 2, np.longdouble(info.smallest_subnormal)


def blocks(problem: AnyProblem) -> dict[str, slice]:
    """Where each parameter lies in the flat vector."""
    places, begin = {}, 0
    for name, shape in problem.spec.shapes.items():
        size = int(np.prod(shape, dtype=int))
        places[name] = slice(begin, begin + size)
        begin += size
    return places


def _perturbed_path(
    moved: AnyProblem, which: Optimiser, steps: int, draw: int, ends_s: float, exact: Callable[[Tree], Evaluated]
) -> Path:
    """The run on moved inputs, with a rounding of random sign in the parameters and the gradient of every step."""
    units = {name: unit_and_tiny(dtype)[0] for name, dtype in moved.spec.dtypes.items()}
    units[""] = unit_and_tiny(moved.spec.dtype)[0]  # of the loss
    roundings = {name: np.array([1 + unit, 1 - unit]) for name, unit in units.items()}
    rng = np.random.default_rng([moved.seed, 2, draw])

    def jitter(tree: Tree) -> Tree:
        # One draw for the whole tree: it takes 6 us however small it is, as long as several operations.
        up = rng.integers(0, 2, sum(p.size for p in tree.values()), np.int8)
        parts, begin = {}, 0
        for name, p in tree.items():
            parts[name] = p * roundings[name].take(up[begin : begin + p.size]).reshape(p.shape)
            begin += p.size
        return parts

    evaluate, seconds = _evaluator(moved.spec, exact, jitter), ends_s - time.monotonic()
    return follow(which, moved.spec, evaluate, _start(moved, which), steps, moved=jitter, seconds=seconds)


def _evaluator(
    spec: ParameterSpace, exact: Callable[[Tree], Evaluated], jitter: Callable[[Tree], Tree] | None = None
) -> ValueAndGradient:
    """Loss and gradient in extended precision, both off by ``jitter``, and for L-BFGS the point too.

    SciPy holds parameters in float64, so for L-BFGS results are rounded to the problem's dtype like a backend's.
    """

    def call(params: Tree) -> tuple[Any, Tree]:
        at = {name: np.asarray(p, np.longdouble) for name, p in params.items()}
        of_scipy = any(p.dtype != np.longdouble for p in params.values())
        value, gradient = exact(jitter(at) if jitter and of_scipy else at)
        if jitter:
            gradient = jitter({"": np.asarray(value), **gradient})
            value = gradient.pop("")
        if not of_scipy:
            return value, gradient
        return value.astype(spec.dtype), dict(spec.rounded(gradient))

    return call


def _start(problem: AnyProblem, which: Optimiser) -> Tree:
    if isinstance(which, LBFGS):
        return dict(problem.spec.rounded(problem.params))
    return {name: np.asarray(p, np.longdouble) for name, p in problem.params.items()}


def _at(run: Path, steps: Any) -> Extended:
    """Parameters of a run at some of the steps that it kept."""
    return np.asarray(run.params[np.searchsorted(run.steps, steps)], np.longdouble)


def _rms(values: Any, axis: int) -> Any:
    return np.sqrt(np.mean(values * values, axis=axis))


def _rms_of_runs(values: Any) -> Any:
    """Over the runs that are numbers there, if more than half are; else nan."""
    numbers = np.isfinite(values)
    squares = np.where(numbers, values * values, 0)
    counts = numbers.sum(0)
    return np.sqrt(np.where(2 * counts > len(values), squares.sum(0) / np.maximum(counts, 1), np.nan))


def _known_steps(loss_floor: Extended, floors: dict[str, Extended], steps: Any) -> int:
    """Steps up to the first at which a floor is no number: from there on nothing is known of a run."""
    unknown = [int(np.argmin(np.isfinite(loss_floor)))] if not np.isfinite(loss_floor).all() else []
    for floor in floors.values():
        unknown += [int(steps[np.argmin(np.isfinite(floor))])] if not np.isfinite(floor).all() else []
    return min(unknown, default=len(loss_floor))


def _grown(values: Any) -> Any:
    return np.maximum.accumulate(values)
