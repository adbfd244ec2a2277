"""The user's model as the parent sees it: a process that has drawn the problem and knows its truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.oracle import messages as mm
from gradparity.oracle.protocol import NotCertified
from gradparity.processes.limits import Allowance, Wait
from gradparity.processes.peer import UNRESTRICTED, Peer, WorkerFailed
from gradparity.worker import messages as m

if TYPE_CHECKING:
    from gradparity.numerics.optimisers import Optimiser
    from gradparity.truth.reference import Reference
    from gradparity.truth.trajectory import Trajectory

#: Seconds that a request may take, and what it is called in messages.
_LIMITS_S: Mapping[type[m.Request], float] = {
    mm.Draw: 300, mm.Hold: 120, mm.Refer: 600, mm.Follow: 600, mm.Afford: 300, m.Stop: 5,
}  # fmt: skip
_WAITS: Mapping[type[m.Request], Wait | None] = {mm.Draw: "import", m.Stop: None}
_STAGES: Mapping[type[m.Request], str] = {
    mm.Draw: "loading", mm.Hold: "loading", mm.Refer: "truth", mm.Follow: "reference run", mm.Afford: "reference run",
    m.Stop: "stop",
}  # fmt: skip

#: Seconds that judging one training run at its own points may take, and spot checks at most.
POINTS_SECONDS, MOST_POINTS = 10.0, 64

_Reply = TypeVar("_Reply", bound=m.Reply)


class ModelFault(InputError):
    """The user's model is at fault, or has ended its process."""


class _ModelPeer(Peer):
    def _failed(self, answer: m.Failure) -> Exception:
        return RuntimeError(f"the truth of the model: {answer.kind}: {answer.message}\n{answer.traceback}")


class ModelProcess:
    """A process with the model at ``path``; an `Oracle` of its problems. A context: on leaving, the process is gone.

    Args:
        path: file or folder of the model.
        log: gets what the model's code prints.
        allowance: limits of time; memory is limited in the backends' processes alone.
        scratch: folder for temporary files.
    """

    def __init__(
        self, path: str, log: Path, *, allowance: Allowance = UNRESTRICTED, scratch: Path | None = None
    ) -> None:
        self.path, self.log = path, log
        self._lock = RLock()
        self.uncertified: str | None = ""  #: why the truth is not known; ``""`` where there is no neutral loss at all
        self._held: UserProblem | None = None
        self._seconds: dict[int, float] = {}
        self._peer = _ModelPeer(
            "model", "gradparity.oracle.server", decode=mm.decode_reply, limits_s=_LIMITS_S, stages=_STAGES, threads=1,
            log=log, waits=_WAITS, allowance=allowance, scratch=scratch,
        )  # fmt: skip

    def draw(self, seed: int, dtype: str | None) -> mm.Drawn:
        """The problem, and which losses there are.

        Raises:
            InputError: the model is at fault.
        """
        drawn = self._ask(mm.Draw(self.path, Path(self.path).name or self.path, seed, dtype), mm.Drawn)
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
            reply = self._ask(mm.Refer(), mm.Referred)
        found = mm.reference_of(reply)
        self._seconds[id(problem.data)] = found.seconds
        return found

    def at(self, problem: UserProblem) -> Reference:
        """Loss and gradient with their floors at the problem's parameters."""
        with self._lock:
            if self._held is None or self._held.data is not problem.data:
                self._hold(problem)
            reply = self._ask(mm.Refer(m.pack(problem.params)), mm.Referred)
        return mm.reference_of(reply).only("loss", "gradient")

    def points(self, problem: UserProblem) -> int:
        """At how many points `at` may be asked, by the time that the truth took."""
        seconds = self._seconds.get(id(problem.data), POINTS_SECONDS)
        return min(MOST_POINTS, int(POINTS_SECONDS / max(seconds, 1e-3)))

    def trajectory(self, problem: UserProblem, optimiser: Optimiser, steps: int) -> Trajectory:
        """The reference run in extended precision."""
        with self._lock:
            self._hold(problem)
            return mm.trajectory_of(self._ask(mm.Follow(optimiser, steps), mm.Followed))

    def affordable_steps(self, problem: UserProblem, optimiser: Optimiser) -> int:
        """How many steps it may have."""
        with self._lock:
            self._hold(problem)
            return self._ask(mm.Afford(optimiser), mm.Afforded).steps

    def _hold(self, problem: UserProblem) -> None:
        """Send a problem, unless it is the last that was sent."""
        held = self._held
        if held is None or held.data is not problem.data or held.params is not problem.params:
            self._ask(mm.Hold(m.load_request(problem)), mm.Held)
            self._held = problem

    def _ask(self, request: m.Request, reply: type[_Reply]) -> _Reply:
        with self._lock:
            try:
                answer: Any = self._peer.ask(request, cast("type[_Reply]", m.Reply))
            except WorkerFailed as failure:
                raise ModelFault(
                    f"{self.path}, {failure.stage}", got=failure.reason, expected="functions that return"
                ) from None
        if isinstance(answer, mm.Refused):
            raise ModelFault(answer.rule, got=answer.got, expected=answer.expected, cure=answer.cure)
        assert isinstance(answer, reply)  # noqa: S101
        return answer

    def abandon(self) -> None:
        """End the process at once; whoever waits for its answer gets a `ModelFault`."""
        self._peer.kill()

    def close(self) -> None:
        """End the process."""
        self._peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
