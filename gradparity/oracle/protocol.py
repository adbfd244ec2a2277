"""Who knows the truth of a problem: the closed form for the built-in models, another process for the user's."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from gradparity.model_spec.problem import Problem

if TYPE_CHECKING:
    from gradparity.numerics.optimisers import Optimiser
    from gradparity.processes.deadline import Deadline
    from gradparity.truth.reference import Reference
    from gradparity.truth.trajectory import Trajectory


class NotCertified(Exception):
    """The truth of a model cannot be enclosed: why, with the line of the loss that stands in the way."""


class NoTimeForTruth(NotCertified):
    """The budget has no time for it, or the machine no memory."""


class Oracle(Protocol):
    """The truth of problems of one model; safe to ask from several threads."""

    def reference(self, problem: Any, seconds: float) -> Reference:
        """True values and noise floors of every block, as well as so many seconds allow.

        Raises:
            NotCertified: they are not known.
        """

    def at(self, problem: Any) -> Reference:
        """Loss and gradient with their floors, at a point along a path: as cheap as there is."""

    def points(self, problem: Any) -> int:
        """Number of points of one run at which `at` may be asked."""

    def trajectory(self, problem: Any, optimiser: Optimiser, steps: int, seconds: float) -> Trajectory:
        """The reference run of an optimiser, of fewer steps where it cannot afford all.

        Raises:
            NotCertified: it is not known.
        """

    def affordable_steps(self, problem: Any, optimiser: Optimiser, seconds: float) -> int:
        """Number of steps that a reference run of so many seconds can afford."""

    def limit(self, deadline: Deadline) -> None:
        """Wait for nothing beyond."""

    def rest(self) -> None:
        """Nothing is asked of it for now."""

    def abandon(self) -> None:
        """Give up: whoever still waits for an answer is told so."""


class BuiltInOracle:
    """The built-in models' truth, computed here; what it takes to compute it is imported when it is first asked."""

    def __init__(self) -> None:
        self._one_at_a_time = Lock()

    def reference(self, problem: Problem, seconds: float) -> Reference:
        """Certified values, and the noise floor of every block."""
        from gradparity.truth.logistic.truth import reference
        from gradparity.truth.reference import BUDGET_S

        with self._one_at_a_time:  # the working precision of balls is the process's
            return reference(problem, budget_s=min(BUDGET_S, seconds))

    def at(self, problem: Problem) -> Reference:
        """Loss and gradient by the closed form in extended precision."""
        from gradparity.truth.logistic.truth import extended_reference

        return extended_reference(problem).only("loss", "gradient")

    def points(self, problem: Problem) -> int:
        """Number of points that cost what a reference run does."""
        from gradparity.truth.logistic.floor import affordable_draws
        from gradparity.truth.logistic.path import OPERATIONS

        return OPERATIONS // ((1 + affordable_draws(problem)) * problem.cells)

    def trajectory(self, problem: Problem, optimiser: Optimiser, steps: int, seconds: float) -> Trajectory:
        """The reference run by the closed form in extended precision; a count of operations bounds it.

        Raises:
            NoTimeForTruth: one step of it alone takes longer.
        """
        from gradparity.truth.logistic.path import one_step_s, trajectory

        if (needed_s := one_step_s(problem)) > seconds:
            raise NoTimeForTruth(f"reference run of {optimiser.name}, of which one step takes about {needed_s:.0f} s")
        return trajectory(problem, optimiser, steps)

    def affordable_steps(self, problem: Problem, optimiser: Optimiser, seconds: float) -> int:  # noqa: ARG002
        """Number of steps that the budget of operations allows."""
        from gradparity.truth.logistic.path import CLOSED_FORM
        from gradparity.truth.trajectory import affordable_steps

        return affordable_steps(problem, optimiser, CLOSED_FORM)

    def limit(self, deadline: Deadline) -> None:
        """Ignore: what it may take is counted in operations."""

    def rest(self) -> None:
        """Ignore: it takes nothing while nothing is asked."""

    def abandon(self) -> None:
        """Ignore: it is computed in this process, and ends with it."""


BUILT_IN = BuiltInOracle()
