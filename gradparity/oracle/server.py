"""The process that has the user's model and its truth: it draws the problem, checks it, and certifies it.

``python -P -m gradparity.oracle.server FD LIFELINE``. The parent never runs the user's code; every worker gets its
arrays from here, so that all have the same bytes. Whatever the user's code does wrong comes back as one `InputError`.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user.drawing import draw_batches, draw_problem
from gradparity.model_spec.user.model import (
    LOSS,
    UserModel,
    blaming,
    display_path,
    load_model,
    place_of,
    place_of_function,
    words_of,
)
from gradparity.model_spec.user.variables import missed
from gradparity.numerics.perturbation import perturbed
from gradparity.oracle import messages as mm
from gradparity.oracle.purity import MOST_CALLS, ImpureError, Purity
from gradparity.truth.model.floor import Tape, floors
from gradparity.truth.model.path import NeutralArithmetic
from gradparity.truth.model.trace import record
from gradparity.truth.model.truth import neutral_reference
from gradparity.truth.numbers.context import NotCertifiableError, OutOfTimeError
from gradparity.truth.trajectory import affordable_steps, reference_run
from gradparity.worker.memory import limit_memory
from gradparity.worker.messages import GivenBatch, Traced, load_request, problem_of
from gradparity.worker.serve import serve
from gradparity.worker.tracing import DRAWS, Ledger, Tree, traced
from gradparity.worker.wire import Reply, Request, encode, failure

#: Seconds of an evaluation up to which a second one is worth its time before anything else.
QUICK_S = 1.0
#: And up to which several more are.
INSTANT_S = 0.1
#: Seconds that a number in extended precision takes, at most, where there are so many that it matters.
EXTENDED_S = 2e-8

Loss = Callable[[Any, Any, Any], Any]


class ModelWorker:
    """The model, and the problem that is held."""

    def __init__(self) -> None:
        self.model: UserModel
        self.loss: Loss | None = None
        self.drawn: UserProblem
        self.drawn_by: mm.Draw
        self.problem: UserProblem
        self.arithmetic: NeutralArithmetic
        self.purity: Purity | None = None
        self.instant = False

    def answer(self, request: Request[Any]) -> bytes:
        """The reply to one request as a frame, the user's faults and ours included."""
        try:
            return encode(ANSWERS[type(request)](self, request))
        except _ElsewhereError as error:
            return encode(mm.Uncertified(type(error).__name__, str(error), ""))
        except InputError as error:
            return encode(mm.Refused("InputError", str(error), "", error.rule, error.got, error.expected, error.cure))
        except BaseException as error:  # whatever a model raises is an answer: no signal of a terminal comes here
            return encode(failure(error, words_of(error)))

    def _hold(self, request: mm.Hold) -> mm.Held:
        problem = problem_of(request.problem)
        assert isinstance(problem, UserProblem)  # noqa: S101
        self.problem = problem
        return mm.Held()

    def _follow(self, request: mm.Follow) -> mm.Followed:
        self.arithmetic.seconds = request.seconds
        with self._elsewhere():
            return mm.Followed(
                reference_run(self.problem, request.optimiser, request.steps, arithmetic=self.arithmetic)
            )

    def _afford(self, request: mm.Afford) -> mm.Afforded:
        self.arithmetic.seconds = request.seconds
        with self._elsewhere():
            return mm.Afforded(affordable_steps(self.problem, request.optimiser, arithmetic=self.arithmetic))

    def _draw(self, request: mm.Draw) -> mm.Drawn:
        limit_memory(request.memory_bytes)
        self.model = load_model(request.path)
        self.drawn = draw_problem(self.model, request.name, request.seed, request.dtype)  # type: ignore[arg-type]
        self.loss = self.model.loss
        if self.loss is not None:
            self.arithmetic = NeutralArithmetic(self.loss)
        self.drawn_by = request
        usual = self.model.loss_name == LOSS
        ported = self.model.written_for()
        gradient = "numpy" in ported or self.model.own_gradient("numpy") is not None
        batches = usual and self.model.function("batches", "rng") is not None
        return mm.Drawn(load_request(self.drawn), self.loss is not None, gradient, ported, batches, missed)

    def _draw_batches(self, request: mm.DrawBatches) -> mm.DrawnBatches:
        drawn_by = self.drawn_by
        dtype: Any = drawn_by.dtype
        batches, ended = draw_batches(self.model, drawn_by.seed, dtype, request.steps, request.most_bytes)
        return mm.DrawnBatches([GivenBatch(each.form, each.arrays) for each in batches], ended)

    def _try(self, _request: mm.Try) -> mm.Tried:
        """Evaluate the neutral loss, and twice if that is quick: why it has no certified form, if it has none.

        Raises:
            InputError: it raises, is no scalar, or another the second time.
        """
        assert self.loss is not None  # noqa: S101
        problem, loss = self.drawn, self.drawn.spec.nested(self.loss)
        try:
            with self._own():
                began_s = time.monotonic()
                self.purity = Purity(loss, dict(problem.params), dict(problem.data))
                first_s = time.monotonic() - began_s
                if first_s < QUICK_S:  # otherwise after the truth, which asks it once more
                    self.purity.require()
                    self.instant = time.monotonic() - began_s - first_s < INSTANT_S  # the first one imports, too
        except NotCertifiableError as error:
            return mm.Tried(self._uncertifiable(error))
        return mm.Tried()

    def _uncertifiable(self, error: NotCertifiableError) -> str:
        """What has no certified form, and the line of the model that has it."""
        file, line = place_of(error, self.model.file, self.model.root)
        place = f" ({display_path(file)}, line {line})" if line else ""
        return f"{error.what} has no certified form{place}. {error.cure}"

    def _certify(self, request: mm.Certify) -> mm.Certified:
        problem = self.problem
        if request.params is not None:
            problem = replace(problem, params=request.params)
        assert self.loss is not None  # noqa: S101  # the parent asks only where there is one
        loss = problem.spec.nested(self.loss)
        params, data, tangents = dict(problem.params), dict(problem.data), dict(problem.tangents)
        with self._elsewhere():
            found = neutral_reference(
                loss, params, data, tangents, seed=problem.seed, budget_s=request.seconds,
                second_order=request.params is None, rounding=problem.spec.rounding_apart,
            )  # fmt: skip
            if request.params is None and self.purity is not None:
                # Derivations that disagree, and numbers that are none, may come of an impure loss; and all draws of a
                # small one are a single evaluation, so that it has not been called often.
                many = found.unknown or self.instant
                self.purity.require(MOST_CALLS if many else 1)
        return mm.Certified(found)

    def _floor(self, request: mm.Floor) -> mm.Floored:
        assert self.loss is not None  # noqa: S101  # the parent asks only where there is one
        problem = self.problem
        params, data, tangents = dict(problem.params), dict(problem.data), dict(problem.tangents)
        with self._elsewhere():
            tape = Tape(problem.spec.nested(self.loss), params, data, tangents)
            found = floors(tape, request.precisions, seed=problem.seed, seconds=request.seconds)
        return mm.Floored(found)

    def _trace(self, request: mm.Trace) -> Traced:
        assert self.loss is not None  # noqa: S101  # the parent asks only where there is one
        problem, deadline = self.problem, time.monotonic() + request.seconds
        loss = problem.spec.nested(self.loss)

        def evaluated(params: Tree, data: Tree, number: type[np.floating[Any]]) -> tuple[Ledger, int]:
            ledger = Ledger(self.model.root)
            return ledger, record(loss, params, data, ledger, number=number, deadline=deadline)

        def moved() -> Iterator[Ledger]:
            with suppress(OutOfTimeError):
                for params, data, _ in perturbed(problem.params, problem.data, {}, seed=request.seed, draws=DRAWS):
                    yield evaluated(params, data, np.float64)[0]

        try:
            with self._elsewhere():
                exact, cells = evaluated(problem.params, problem.data, np.float64)
                extended = cells * EXTENDED_S < request.seconds / 2
                if extended:
                    exact, _ = evaluated(problem.params, problem.data, np.longdouble)
                found = traced(exact, moved())
        except _ElsewhereError as error:
            return Traced(notes=[str(error)])
        except OutOfTimeError:
            return Traced(notes=[f"recording the neutral loss takes longer than {request.seconds:.0f} s"])
        notes = [] if extended else ["the neutral loss is recorded in float64: extended precision takes too long"]
        return msgspec.structs.replace(found, notes=[*found.notes, *notes])

    @contextmanager
    def _own(self) -> Iterator[None]:
        """The user's loss runs inside: what it raises is said with its line, what it lacks with what to do."""
        model, purity = self.model, self.purity
        try:
            with (
                purity.watched() if purity is not None else nullcontext(),
                blaming(model.file, model.root, "a loss that can be evaluated", NotCertifiableError),
            ):
                yield
        except InputError as error:
            if error.rule == "loss":
                assert self.loss is not None  # noqa: S101
                raise InputError(
                    place_of_function(self.loss), got=error.got, expected=error.expected, cure=error.cure
                ) from error
            raise

    @contextmanager
    def _elsewhere(self) -> Iterator[None]:
        """The loss, which was tried, runs inside where it was not: at moved or trained parameters, beside a tie.

        What it cannot do there is no fault of the model at its own parameters; it has no truth there.

        Raises:
            ImpureError: it is no function of its arguments.
            _ElsewhereError: it raises, has no certified form, or is no scalar there.
        """
        try:
            with self._own():
                yield
        except NotCertifiableError as error:
            raise _ElsewhereError(self._uncertifiable(error)) from error
        except ImpureError:
            raise
        except InputError as error:
            if isinstance(error.__cause__, MemoryError):
                raise
            said = f"the loss has no value beside its parameters or further on, where a truth is sought ({error.rule})"
            raise _ElsewhereError(f"{said}: {error.got}") from error


class _ElsewhereError(Exception):
    """A loss that has a value at its own parameters has none where the truth takes it."""


#: What answers each kind of request.
ANSWERS: dict[type[Request[Any]], Callable[[ModelWorker, Any], Reply]] = {
    mm.Draw: ModelWorker._draw,
    mm.DrawBatches: ModelWorker._draw_batches,
    mm.Try: ModelWorker._try,
    mm.Hold: ModelWorker._hold,
    mm.Certify: ModelWorker._certify,
    mm.Floor: ModelWorker._floor,
    mm.Follow: ModelWorker._follow,
    mm.Afford: ModelWorker._afford,
    mm.Trace: ModelWorker._trace,
}


if __name__ == "__main__":
    gc.set_threshold(100_000)  # a truth makes hardly any garbage, and many objects that are looked through for it
    serve(int(sys.argv[1]), int(sys.argv[2]), mm.decode_request, ModelWorker().answer)
