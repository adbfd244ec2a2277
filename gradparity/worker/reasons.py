"""What a worker is asked once something disagrees: what it computes on the way, and what would make it agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gradparity.backends.protocol import Backend, Loss, Program
from gradparity.model_spec.problem import AnyProblem, UserProblem
from gradparity.worker import messages as m


class Worker(Protocol):
    """What of a worker's state these need."""

    @property
    def backend(self) -> Backend:
        """The framework."""

    @property
    def names(self) -> Sequence[str]:
        """What a model calls it, its own name first."""

    @property
    def problem(self) -> AnyProblem:
        """What is loaded."""

    @property
    def loss(self) -> Loss:
        """Its loss."""

    def build(self, spec: Any) -> tuple[Loss, Program]:
        """Build the loss and the program of a spec, once."""


def record(worker: Worker, request: m.Record) -> m.Recorded:
    """What passes the taps."""
    from gradparity.worker.recording import record

    return record(worker.backend, worker.loss, worker.problem.params, worker.problem.data, seed=request.seed)


def trace(worker: Worker, request: m.Trace) -> m.Traced:
    """Every result on the way to the loss."""
    from gradparity.model_spec.user.model import find_model
    from gradparity.worker.tracing import trace

    problem = worker.problem
    assert isinstance(problem, UserProblem)  # noqa: S101  # of the built-in models the code is ours
    root = find_model(problem.spec.path)[0].parent
    return trace(worker.backend, worker.loss, problem.params, problem.data, root, seed=request.seed)


def points(worker: Worker, request: m.Points) -> m.Pointed:
    """Loss and gradient at other points, in float64."""
    from gradparity.worker.evaluation import Asked, evaluations_at

    wide = worker.problem.cast("float64")
    loss, program = worker.build(wide.spec)
    asked = Asked.of(loss, program, wide, second_order=False)
    inputs = ((params, data, dict(wide.tangents)) for params, data in request.points)
    return m.Pointed(evaluations_at(worker.backend, program, inputs, asked))


def redraw(worker: Worker, request: m.Redraw) -> m.Redrawn:
    """The problem of another seed."""
    from gradparity.model_spec.user.drawing import draw_problem
    from gradparity.model_spec.user.model import load_model

    problem = worker.problem
    assert isinstance(problem, UserProblem)  # noqa: S101  # the built-in models are not asked about
    drawn = draw_problem(load_model(problem.spec.path), problem.name, request.seed).cast("float64")
    return m.Redrawn(dict(drawn.params), dict(drawn.data))


def cure(worker: Worker, request: m.Cure) -> m.Cured:
    """A change of the source that makes it agree, tried in float64: roundings of less would pass for faults."""
    from gradparity.worker.cures.search import cured
    from gradparity.worker.tracing import changed_since

    if any(changed_since(file) for file, _, _ in request.places):
        return m.Cured([], 0, notes="the source has changed since it was loaded")
    return cured(worker.backend, worker.names, worker.problem.cast("float64"), request)
