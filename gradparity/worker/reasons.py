"""What a worker is asked beside derivatives: what it computes on the way, what would make it agree, its own steps."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gradparity.backends.protocol import Backend, Loss, Program
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import AnyProblem, UserProblem
from gradparity.worker import messages as m

if TYPE_CHECKING:
    from gradparity.worker.evaluation import Asked


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

    @property
    def program(self) -> Program:
        """Its program."""

    @property
    def asked(self) -> Asked:
        """What its answers are made of."""

    @property
    def placed(self) -> tuple[Any, ...]:
        """Parameters and data, where the framework has its arrays."""

    def build(self, spec: Any) -> tuple[Loss, Program]:
        """Build the loss and the program of a spec, once."""


def prepare(request: m.Configure) -> None:
    """Tie the process to one core, if asked to; have a rank of several write its stack at `signal.SIGUSR1`, anywhere.

    Of several ranks on one core each has another.
    """
    if request.one_core and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[request.rank % len(cores)]})
    if request.ranks and hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=False)


def record(worker: Worker, request: m.Record) -> m.Recorded:
    """What passes the taps."""
    from gradparity.worker.recording import record

    return record(worker.backend, worker.loss, worker.problem.params, worker.problem.data, seed=request.seed)


def scatter(worker: Worker, request: m.Scatter) -> m.Scattered:
    """Values along lines of tiny steps, by which a lower precision shows."""
    from gradparity.numerics.perturbation import along_line
    from gradparity.worker.evaluation import Asked, evaluations_at

    problem = worker.problem
    inputs = problem.params, problem.data, problem.tangents
    lines = [along_line(*inputs, seed=problem.seed, spacing=spacing) for spacing in request.spacings]
    # What it was asked last may have been the other precision, in which it gives less.
    asked = Asked.of(worker.loss, worker.program, problem, second_order=worker.asked.second_order)
    scattered = [evaluations_at(worker.backend, worker.program, line, asked) for line in lines]
    return m.Scattered(scattered, _dtypes(worker))


def _dtypes(worker: Worker) -> list[str] | None:
    """The dtypes of values on the way to the loss, as far as the backend shows them."""
    look = getattr(worker.backend, "dtypes", None)
    try:
        return sorted(look(worker.loss, *worker.placed)) if look is not None else None
    except Exception:  # to look on is ours, and nobody asked for it
        return None


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


def as_written(worker: Worker) -> tuple[bool, bool]:
    """Whether the user's port trains by itself, and whether it initialises."""
    if not isinstance(worker.problem, UserProblem) or hasattr(worker.program, "own"):  # a sharded port's are not run
        return False, False
    from gradparity.model_spec.user.model import load_model
    from gradparity.worker.own_functions import own_steps

    path = worker.problem.spec.path
    try:
        initialises = load_model(path).own("initialise", "seed", worker.names) is not None
    except InputError:  # which is said when it is asked for its draws, and costs nothing else
        initialises = True
    return own_steps(path, worker.names) is not None, initialises


def take_steps(worker: Worker, request: m.TakeSteps) -> m.StepsTaken:
    """A training run as the user wrote it."""
    from gradparity.worker.own_steps import taken

    assert isinstance(worker.problem, UserProblem)  # noqa: S101  # no built-in model has steps of its own
    return taken(worker.backend, worker.problem, worker.names, request)


def draw_starts(worker: Worker, request: m.DrawStarts) -> m.StartsDrawn:
    """What the user's initialiser gives over seeds."""
    from gradparity.worker.initialisers import drawn

    assert isinstance(worker.problem, UserProblem)  # noqa: S101  # no built-in model has an initialiser of its own
    return drawn(worker.problem, worker.names, request)


def give_gradients(worker: Worker, request: m.GiveGradients) -> m.GradientsGiven:
    """Gradients of the loss where a training run has been."""
    from gradparity.worker.own_gradients import given

    assert isinstance(worker.problem, UserProblem)  # noqa: S101  # no built-in model has steps of its own
    return given(worker.backend, worker.problem, worker.build, request)


def differentiate(worker: Worker, request: m.Differentiate) -> m.Differentiated:
    """A function and its derivatives at many points."""
    from gradparity.worker.pointwise import differentiated

    return differentiated(worker.backend, request)
