"""The user's model as the parent sees it: a process that has drawn the problem and knows its truth."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import msgspec

from gradparity.model_spec.data.memory import available_bytes
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.oracle import messages as mm
from gradparity.oracle.protocol import NotCertified, NoTimeForTruth
from gradparity.processes.deadline import Deadline, waited_s
from gradparity.processes.launch import Launch
from gradparity.processes.limits import out_of_memory
from gradparity.processes.peer import OutOfTime, Peer, WorkerFailed
from gradparity.truth.reference import VERY_LARGE
from gradparity.worker.messages import Traced, load_request
from gradparity.worker.wire import Failed, ReplyT, Request

if TYPE_CHECKING:
    from gradparity.numerics.extended import Blocks
    from gradparity.numerics.optimisers import Optimiser
    from gradparity.truth.reference import Reference
    from gradparity.truth.trajectory import Trajectory

#: Seconds that judging one training run at its own points may take, each of them, and spot checks at most.
POINTS_SECONDS, POINT_SECONDS, MOST_POINTS = 10.0, 5.0, 64
#: Numbers in parameters and data from which one evaluation in extended precision takes seconds.
LARGE = 200_000
#: Share of its seconds that the process is told it has: what it always does it does beyond them.
TOLD = 0.7
#: The same of a very large model, whose truth is estimated before and looks at the clock all the way; the rest is for
#: the way of its numbers to here.
TOLD_OF_LARGE = 0.9
#: Share of the memory that is there when it starts, which the process of the truth may have.
MEMORY_SHARE = 0.75


class ModelFault(InputError):
    """The user's model is at fault, or has ended its process."""


class ProcessLost(ModelFault):
    """The process of the user's model has ended, or has no memory left."""


class ModelProcess(Peer):
    """A process with the model at ``path``; an `Oracle` of its problems. A context: on leaving, the process is gone.

    One that does not end in its time is killed, and another started for what is asked next.

    Args:
        path: file or folder of the model.
        name: what its problem is called.
        rests: whether the process ends when it is told to `rest`.
        launch: how the process is started; the user's limit of memory is of the backends' processes alone.
    """

    def __init__(self, path: str, launch: Launch, name: str = "", *, rests: bool = False) -> None:
        self.path, self.name, self.rests = path, name or Path(path).resolve().name, rests
        self._lock = RLock()
        self.uncertified: str | None = ""  #: why the truth is not known; ``""`` where there is no neutral loss at all
        self.ported: list[str] = []  #: backends that the model has a loss for
        self.has_batches = False  #: whether it gives batches for steps of training
        self._held: UserProblem | None = None
        self._known: tuple[UserProblem, Reference] | None = None  #: the last problem whose truth was asked for
        self._seconds: dict[int, float] = {}
        self._drawn_by: mm.Draw | None = None
        self._ended = self._abandoned = False
        self._untried = False
        self._untimely = ""  #: why one evaluation alone takes too long for any truth
        self._start(launch)

    def _start(self, launch: Launch) -> None:
        super().__init__("model", "gradparity.oracle.server", mm.decode_reply, launch)

    def limit(self, deadline: Deadline) -> None:
        """Wait for no answer beyond."""
        self.launch = msgspec.structs.replace(self.launch, deadline=deadline)

    def draw(self, seed: int, dtype: str | None, share_s: float | None = None) -> mm.Drawn:
        """The problem, and which losses there are.

        Args:
            seed: of what the model draws.
            dtype: of real arrays; ``None`` for what the model gives.
            share_s: seconds that this may take, where a budget limits it.

        Raises:
            InputError: the model is at fault, or takes longer.
        """
        memory = int(MEMORY_SHARE * available_bytes())
        self._drawn_by = mm.Draw(self.path, self.name, seed, dtype, memory)
        try:
            drawn = self.ask(self._drawn_by, share_s=share_s)
        except OutOfTime as failure:
            raise ModelFault(
                f"{self.path}, {failure.stage}",
                got=failure.reason,
                expected="parameters(rng) and data(rng) that return in it",
                cure="--budget SECONDS allows more.",
            ) from None
        self.ported, self.has_batches = drawn.written_for, drawn.batches
        self.uncertified = None if drawn.neutral else ""
        self._untried = drawn.neutral
        size = sum(value.size for tree in (drawn.problem.params, drawn.problem.data) for value in tree.values())
        if size <= LARGE:  # otherwise it takes long, and backends can start meanwhile
            self._try(share_s and share_s / 2)
        return drawn

    def batches(self, steps: int, most_bytes: int, seconds: float) -> mm.DrawnBatches:
        """The first batches that the model gives: one for each step, as long as so many bytes hold them; or none.

        Raises:
            InputError: the model is at fault, or takes longer.
        """
        if not self.has_batches:
            return mm.DrawnBatches([], "")
        with self._lock:
            if self._ended:
                self._revive()
            try:
                return self.ask(mm.DrawBatches(steps, most_bytes), share_s=seconds)
            except OutOfTime as failure:
                self._ended = True
                raise ModelFault(
                    f"{self.path}, {failure.stage}",
                    got=failure.reason,
                    expected=f"batches(rng) that gives {steps:,} of them in it",
                    cure="--steps N takes fewer, --budget SECONDS allows more.",
                ) from None

    def _try(self, share_s: float | None) -> None:
        """Find out whether the loss of the problem that was drawn has a certified form, unless that is known."""
        if not self._untried:
            return
        self._untried = False
        try:
            with self._in_time("first evaluation", first=True):
                self.uncertified = self.ask(mm.Try(), share_s=share_s).uncertifiable or None
        except NoTimeForTruth as error:
            self._untimely = str(error)

    def reference(self, problem: UserProblem, seconds: float) -> Reference:
        """Certified truth and floor, as well as so many seconds allow.

        Raises:
            NotCertified: there is no loss that could be certified, or no time or memory for it.
        """
        began_s = time.monotonic()
        self._try(seconds / 2)
        seconds -= time.monotonic() - began_s
        if self.uncertified is not None:
            raise NotCertified(self.uncertified)
        if self._untimely:
            raise NoTimeForTruth(self._untimely)
        with self._lock, self._in_time("truth"):
            self._hold(problem)
            size = sum(value.size for value in problem.params.values())
            told_s = seconds * (TOLD if size < VERY_LARGE else TOLD_OF_LARGE)
            found = self.ask(mm.Certify(told_s), share_s=waited_s(seconds)).reference
        self._seconds[id(problem.data)] = found.seconds
        self._known = problem, found
        return found

    def floors(self, problem: UserProblem, precisions: Sequence[str], seconds: float) -> dict[str, Blocks]:
        """The noise floors of every block in other precisions, as well as so many seconds allow.

        Raises:
            NotCertified: the loss cannot be evaluated, or there is no time or memory for it.
        """
        with self._lock, self._in_time("noise floors of other precisions"):
            self._hold(problem)
            told_s = TOLD / 10 * seconds
            return self.ask(mm.Floor(list(precisions), told_s), share_s=waited_s(seconds)).floors

    def at(self, problem: UserProblem) -> Reference:
        """Loss and gradient with their floors at the problem's parameters.

        Raises:
            NotCertified: the loss cannot be evaluated there, or there is no time or memory for it.
        """
        if self._known is not None and _is_at(problem, self._known[0]):
            return self._known[1].only("loss", "gradient")
        seconds = min(POINT_SECONDS, max(0.0, self.launch.deadline.left_s()))
        with self._lock, self._in_time("truth along a path"):
            if self._ended or self._held is None or self._held.data is not problem.data:
                self._hold(problem)
            request = mm.Certify(seconds, dict(problem.params))
            return self.ask(request, share_s=waited_s(seconds)).reference.only("loss", "gradient")

    def points(self, problem: UserProblem) -> int:
        """Number of points at which `at` may be asked, by the time that the truth took."""
        each_s = min(POINT_SECONDS, self._seconds.get(id(problem.data), POINT_SECONDS))
        return min(MOST_POINTS, int(min(POINTS_SECONDS, self.launch.deadline.left_s()) / max(each_s, 1e-3)))

    def trajectory(self, problem: UserProblem, optimiser: Optimiser, steps: int, seconds: float) -> Trajectory:
        """The reference run in extended precision.

        Raises:
            NotCertified: the loss cannot be evaluated there, or there is no time or memory for it.
        """
        with self._lock, self._in_time("reference run"):
            self._hold(problem)
            return self.ask(mm.Follow(optimiser, steps, seconds), share_s=waited_s(seconds)).trajectory

    def affordable_steps(self, problem: UserProblem, optimiser: Optimiser, seconds: float) -> int:
        """Number of steps that the reference run can afford.

        Raises:
            NotCertified: there is no time or memory for one.
        """
        with self._lock, self._in_time("reference run"):
            self._hold(problem)
            return self.ask(mm.Afford(optimiser, seconds), share_s=waited_s(seconds)).steps

    def trace(self, problem: UserProblem, seed: int, seconds: float) -> Traced:
        """Every result on the way to the neutral loss, in extended precision; why not, where there is none.

        Raises:
            NotCertified: the loss cannot be evaluated there, or there is no time or memory for it.
        """
        if self.uncertified is not None:
            return Traced(notes=[self.uncertified or "the model has no neutral loss"])
        with self._lock, self._in_time("recording of operations"):
            self._hold(problem)
            return self.ask(mm.Trace(seed, TOLD * seconds), share_s=waited_s(seconds))

    @contextmanager
    def _in_time(self, what: str, *, first: bool = False) -> Iterator[None]:
        """What is asked for within is not known where there is no time or no memory for it; then the process is gone.

        Nor is it where the loss ends its process, unless it is the ``first`` evaluation that does.

        Raises:
            NotCertified: so it is.
        """
        try:
            yield
        except OutOfTime as failure:
            self._ended = True
            raise NoTimeForTruth(f"{what}, {failure.reason}") from None
        except ModelFault as fault:
            if out_of_memory(str(fault)):
                self._ended = True
                raise NoTimeForTruth(f"{what}, {fault.got}") from None
            if first or self._abandoned or not isinstance(fault, ProcessLost):
                raise
            self._ended = True
            raise NotCertified(f"{what}, the process of the model ended: {fault.got}") from None

    def _revive(self) -> None:
        """Start the process again, after one that had to be killed."""
        assert self._drawn_by is not None  # noqa: S101
        if self._abandoned:
            raise ProcessLost(self.path, got="a run that is ending", expected="to be asked before")
        self._ended, self._held = False, None
        self.close()
        self._start(self.launch)
        self.ask(self._drawn_by)

    def _hold(self, problem: UserProblem) -> None:
        """Send a problem, unless it is the last that was sent."""
        if self._ended:
            self._revive()
        held = self._held
        if held is None or held.data is not problem.data or held.params is not problem.params:
            self.ask(mm.Hold(load_request(problem)))
            self._held = problem

    def ask(self, request: Request[ReplyT], *, timeout_s: float | None = None, share_s: float | None = None) -> ReplyT:
        """Send a request and wait for its reply, one thread at a time.

        Raises:
            ModelFault: the model is at fault, or has ended its process (`ProcessLost`).
            NotCertified: the loss has no value where the truth took it.
            OutOfTime: there was no answer within the share of the budget, or the budget is over.
        """
        with self._lock:
            try:
                return super().ask(request, timeout_s=timeout_s, share_s=share_s)
            except OutOfTime:
                raise
            except WorkerFailed as failure:
                raise ProcessLost(
                    f"{self.path}, {failure.stage}", got=failure.reason, expected="functions that return"
                ) from None

    def _failed(self, answer: Failed) -> Exception:
        if isinstance(answer, mm.Uncertified):
            return NotCertified(answer.message)
        if isinstance(answer, mm.Refused):
            return ModelFault(answer.rule, got=answer.got, expected=answer.expected, cure=answer.cure)
        if answer.kind == "OutOfTimeError":
            late = OutOfTime(self.backend, self._stage)
            late.reason = answer.message or late.reason
            return late
        if answer.kind == "MemoryError":
            got = ": ".join(filter(None, ("out of memory", answer.message)))
            cure = "Give it less data, or a machine or a limit with more memory."
            return ProcessLost(f"{self.path}, {self._stage}", got=got, expected="data and a truth that fit", cure=cure)
        return RuntimeError(f"the truth of the model: {answer.kind}: {answer.message}\n{answer.traceback}")

    def rest(self) -> None:
        """Nothing is asked for now: the process ends, if it is one that rests, until something is."""
        if self.rests and not self._ended:
            with self._lock:
                self._ended = True
                self.kill()

    def abandon(self) -> None:
        """End the process at once; whoever waits for its answer gets a `ProcessLost`."""
        self._abandoned = True
        self.kill()


def _is_at(problem: UserProblem, other: UserProblem) -> bool:
    """Whether both have the same data, and the same parameters in every bit."""
    return problem.data is other.data and all(
        value.dtype == other.params[name].dtype and value.tobytes() == other.params[name].tobytes()
        for name, value in problem.params.items()
    )
