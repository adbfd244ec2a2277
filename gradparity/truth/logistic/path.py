"""A built-in model along a path of training: value and gradient by the closed form in extended precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from gradparity.model_spec.problem import Problem
from gradparity.numerics.optimisers import Optimiser, Tree
from gradparity.truth.logistic.extended import perturbed, value_and_gradient
from gradparity.truth.trajectory import DRAWS, Evaluated, Trajectory, reference_run

#: Entries of X read, over all steps and draws, that a reference may cost: some 6 s at 30 ns each.
OPERATIONS = 2 * 10**8
#: Seconds that one step takes for an entry of X, and each draw as long again: measured.
STEP_SECONDS_PER_CELL = 1e-7


class ClosedFormArithmetic:
    """What `gradparity.truth.trajectory` asks of a problem, by the closed form."""

    seconds = math.inf
    at_once = 1  # since each is in extended precision, twice as large as the data

    def perturbed(self, problem: Problem, draws: int) -> Iterator[Problem]:
        """Features, parameters and tangents are off; labels are exact."""
        return perturbed(problem, draws)

    def bind(self, problem: Problem) -> Callable[[Tree], Evaluated]:
        """Loss and gradient, with the data converted once."""
        X, y = (np.asarray(problem.data[name], np.longdouble) for name in ("X", "y"))
        return lambda params: value_and_gradient(problem.spec, params, X, y)

    def bind_draws(self, problems: Sequence[Problem]) -> Callable[[Mapping[int, Tree]], Mapping[int, Evaluated]]:
        """The same of each, one after the other: its sums are as accurate as their inputs."""
        each = [self.bind(problem) for problem in problems]
        return lambda asked: {draw: each[draw](params) for draw, params in asked.items()}

    def calls(self, problem: Problem) -> int:
        """As many as read `OPERATIONS` entries of X."""
        return OPERATIONS // problem.cells

    def calls_of_draws(self, _problem: Problem, draws: int) -> float:
        """One each."""
        return draws


CLOSED_FORM = ClosedFormArithmetic()


def one_step_s(problem: Problem) -> float:
    """About how long the shortest reference run takes, in seconds: one step of it, and of its perturbed runs."""
    return (1 + DRAWS) * STEP_SECONDS_PER_CELL * problem.cells


def trajectory(problem: Problem, optimiser: Optimiser, steps: int) -> Trajectory:
    """The reference run of an optimiser on a built-in model, shorter where it would pass `OPERATIONS`."""
    return reference_run(problem, optimiser, steps, CLOSED_FORM)
