"""The user's model as the parent sees it: a process that has drawn the problem and knows its truth."""

from __future__ import annotations

from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.oracle import messages as mm
from gradparity.oracle.protocol import NotCertified
from gradparity.processes.launch import Launch
from gradparity.processes.peer import Peer, WorkerFailed
from gradparity.worker.messages import load_request
from gradparity.worker.wire import Failed, ReplyT, Request

if TYPE_CHECKING:
    from gradparity.numerics.optimisers import Optimiser
    from gradparity.truth.reference import Reference
    from gradparity.truth.trajectory import Trajectory

#: Seconds that judging one training run at its own points may take, and spot checks at most.
POINTS_SECONDS, MOST_POINTS = 10.0, 64


class ModelFault(InputError):
    """The user's model is at fault, or has ended its process."""


class ModelProcess(Peer):
    """A process with the model at ``path``; an `Oracle` of its problems. A context: on leaving, the process is gone.

    Args:
        path: file or folder of the model.
        launch: how the process is started; memory is limited in the backends' processes alone.
    """

    def __init__(self, path: str, launch: Launch) -> None:
        self.path = path
        self._lock = RLock()
        self.uncertified: str | None = ""  #: why the truth is not known; ``""`` where there is no neutral loss at all
        self.ported: list[str] = []  #: backends that the model has a loss for
        self._held: UserProblem | None = None
        self._seconds: dict[int, float] = {}
        super().__init__("model", "gradparity.oracle.server", mm.decode_reply, launch)

    def draw(self, seed: int, dtype: str | None) -> mm.Drawn:
        """The problem, and which losses there are.

        Raises:
            InputError: the model is at fault.
        """
        drawn = self.ask(mm.Draw(self.path, Path(self.path).resolve().name, seed, dtype))
        self.ported = drawn.written_for
        self.uncertified = (drawn.uncertifiable or None) if drawn.neutral else ""
        return drawn

    def reference(self, problem: UserProblem) -> Reference:
        """Certified truth and floor.

        Raises:
            NotCertified: there is no loss that could be certified.
        """
        if self.uncertified is not None:
            raise NotCertified(self.uncertified)
        with self._lock:
            self._hold(problem)
            found = self.ask(mm.Certify()).reference
        self._seconds[id(problem.data)] = found.seconds
        return found

    def at(self, problem: UserProblem) -> Reference:
        """Loss and gradient with their floors at the problem's parameters."""
        with self._lock:
            if self._held is None or self._held.data is not problem.data:
                self._hold(problem)
            return self.ask(mm.Certify(dict(problem.params))).reference.only("loss", "gradient")

    def points(self, problem: UserProblem) -> int:
        """Number of points at which `at` may be asked, by the time that the truth took."""
        seconds = self._seconds.get(id(problem.data), POINTS_SECONDS)
        return min(MOST_POINTS, int(POINTS_SECONDS / max(seconds, 1e-3)))

    def trajectory(self, problem: UserProblem, optimiser: Optimiser, steps: int) -> Trajectory:
        """The reference run in extended precision."""
        with self._lock:
            self._hold(problem)
            return self.ask(mm.Follow(optimiser, steps)).trajectory

    def affordable_steps(self, problem: UserProblem, optimiser: Optimiser) -> int:
        """Number of steps that the reference run can afford."""
        with self._lock:
            self._hold(problem)
            return self.ask(mm.Afford(optimiser)).steps

    def _hold(self, problem: UserProblem) -> None:
        """Send a problem, unless it is the last that was sent."""
        held = self._held
        if held is None or held.data is not problem.data or held.params is not problem.params:
            self.ask(mm.Hold(load_request(problem)))
            self._held = problem

    def ask(self, request: Request[ReplyT], *, timeout_s: float | None = None) -> ReplyT:
        """Send a request and wait for its reply, one thread at a time.

        Raises:
            ModelFault: the model is at fault, or has ended its process.
        """
        with self._lock:
            try:
                return super().ask(request, timeout_s=timeout_s)
            except WorkerFailed as failure:
                raise ModelFault(
                    f"{self.path}, {failure.stage}", got=failure.reason, expected="functions that return"
                ) from None

    def _failed(self, answer: Failed) -> Exception:
        if isinstance(answer, mm.Refused):
            return ModelFault(answer.rule, got=answer.got, expected=answer.expected, cure=answer.cure)
        return RuntimeError(f"the truth of the model: {answer.kind}: {answer.message}\n{answer.traceback}")

    def abandon(self) -> None:
        """End the process at once; whoever waits for its answer gets a `ModelFault`."""
        self.kill()
