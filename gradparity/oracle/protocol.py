"""Who knows the truth of a problem: the closed form for the built-in models, another process for the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gradparity.model_spec.problem import Problem

if TYPE_CHECKING:
    from gradparity.numerics.optimisers import Optimiser
    from gradparity.truth.reference import Reference
    from gradparity.truth.trajectory import Trajectory


class NotCertified(Exception):
    """The truth of a model cannot be enclosed: why, with the line of the loss that stands in the way."""


class Oracle(Protocol):
    """The truth of problems of one model; safe to ask from several threads."""

    def reference(self, problem: Any) -> Reference:
        """True values and noise floors of every block."""

    def at(self, problem: Any) -> Reference:
        """Loss and gradient with their floors, at a point along a path: as cheap as there is."""

    def points(self, problem: Any) -> int:
        """At how many points of one run `at` may be asked."""

    def trajectory(self, problem: Any, optimiser: Optimiser, steps: int) -> Trajectory:
        """The reference run of an optimiser, of fewer steps where it cannot afford all."""

    def affordable_steps(self, problem: Any, optimiser: Optimiser) -> int:
        """How many steps it can."""

    def abandon(self) -> None:
        """Nobody waits for an answer any more: whoever still does is told so."""


class ClosedForm:
    """The built-in models' truth, computed here; what it takes to compute it is imported when it is first asked."""

    def reference(self, problem: Problem) -> Reference:
        """Certified, and the noise floor."""
        from gradparity.truth.logistic.truth import reference

        return reference(problem)

    def at(self, problem: Problem) -> Reference:
        """By the closed form in extended precision."""
        from gradparity.truth.logistic.truth import extended_reference

        return extended_reference(problem).only("loss", "gradient")

    def points(self, problem: Problem) -> int:
        """As many as cost what a reference run does."""
        from gradparity.truth.logistic.floor import affordable_draws
        from gradparity.truth.logistic.path import OPERATIONS

        return OPERATIONS // ((1 + affordable_draws(problem)) * problem.cells)

    def trajectory(self, problem: Problem, optimiser: Optimiser, steps: int) -> Trajectory:
        """By the closed form in extended precision."""
        from gradparity.truth.logistic.path import trajectory

        return trajectory(problem, optimiser, steps)

    def affordable_steps(self, problem: Problem, optimiser: Optimiser) -> int:
        """As many as its budget of operations allows."""
        from gradparity.truth.logistic.path import CLOSED_FORM
        from gradparity.truth.trajectory import affordable_steps

        return affordable_steps(problem, optimiser, CLOSED_FORM)

    def abandon(self) -> None:
        """It is computed in this process, and ends with it."""


CLOSED_FORM = ClosedForm()
