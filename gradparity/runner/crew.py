"""The processes of the backends on one problem, or on several that share them: started, loaded, lost and ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Literal, Self

import msgspec

from gradparity.backends import Registration, available, missing, registered
from gradparity.benchmark.roofline import Limits
from gradparity.benchmark.schedule import is_twin, twin
from gradparity.model_spec.problem import AnyProblem
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import Deadline
from gradparity.processes.group import started
from gradparity.processes.interpreters import require_usable, variants
from gradparity.processes.launch import Launch
from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.results import BackendInfo, Start, Trouble
from gradparity.runner.cases import Cell
from gradparity.runner.plan import plan_of
from gradparity.runner.record import Recorder
from gradparity.runner.settings import Settings
from gradparity.worker import messages as m
from gradparity.worker.wire import ReplyT, Request

#: Every ratio is against this backend, where it takes part: it starts in a tenth of a second, its twin too.
REFERENCE = "numpy"
#: What is not compiled either where the compilation of a function is given up: it is part of them, or they are larger.
WITHOUT = {
    "value_and_gradient": ("value_and_gradient", "jvp", "hvp", "descend"),
    "jvp": ("jvp", "hvp"),
    "hvp": ("hvp",),
    "descend": ("descend",),
}
#: A disk so slow that reading from one is still waited for, and how often loading and evaluating read the file.
DISK_BYTES_PER_S, PASSES = 10**8, {m.Load: 1, m.Evaluate: 8}
#: Calls after which a process that has only loaded is as large as stepping makes it; one over a file has many chunks.
FOOTPRINT_CALLS, FOOTPRINT_CALLS_ON_DISK = 3, 0


def patience_s(problem: AnyProblem, request: m.Load | m.Evaluate) -> float | None:
    """Seconds to wait for an answer that reads a file through; ``None`` for the request's own limit."""
    if not problem.on_disk:
        return None
    file = problem.data["X"].file
    return request.timeout_s + PASSES[type(request)] * int(file.rows * file.row_bytes) / DISK_BYTES_PER_S


@dataclass
class Member:
    """A process, and what it has shown so far. ``took_s`` is how long starting and checking took.

    ``eager`` has the functions whose compilation was given up: they are evaluated operation by operation.
    """

    name: str
    worker: WorkerProcess
    again: Callable[[], WorkerProcess] | None = None
    configured: m.Configured | None = None
    loaded: m.Loaded | None = None
    ended: bool = False
    took_s: float = 0.0
    eager: tuple[str, ...] = ()

    def load(self, cell: Cell, recorder: Recorder, share_s: float | None = None, *, early: bool = False) -> None:
        """Wait for the import, the first time, then build the cell's program and make the first call.

        Past ``share_s``, if given, the program is not compiled. ``early``: what that gives is kept, whatever follows.

        Raises:
            WorkerFailed: it failed in one of them.
        """
        if self.configured is None:
            recorder.begin("import", self.name)
            self.configured = self.worker.configured()
            recorder.record.imported(self.name, self.configured.versions)
        recorder.begin("first call, not compiled," if self.eager else "first call", self.name)
        request = msgspec.structs.replace(cell.load, eager=self.eager, early=early)
        self.worker.given = {}
        self.loaded = self.ask_compiled("value_and_gradient", request, cell, recorder, share_s)

    def compile(self, cell: Cell, recorder: Recorder, share_s: float) -> None:
        """Make the first calls of JVP and HVP, where they may take long, so that one that does can be given up."""
        assert self.configured is not None  # noqa: S101
        order: tuple[Literal["jvp", "hvp"], ...] = ("jvp", "hvp")
        for what in order if self.configured.uncompiled and not cell.problem.on_disk else ():
            if what not in self.eager:
                recorder.begin(f"{what.upper()} compilation", self.name)
                self.ask_compiled(what, m.Compile(what), cell, recorder, share_s)

    def ask_compiled(
        self, what: str, request: Request[ReplyT], cell: Cell, recorder: Recorder, share_s: float | None
    ) -> ReplyT:
        """The answer to a request that compiles a function first.

        Where there is none within ``share_s`` and the backend can do without compiling, it is that of another process,
        which evaluates the function operation by operation; and what was not compared is written down.

        Raises:
            WorkerFailed: there is none.
        """
        timeout_s = patience_s(cell.problem, request) if isinstance(request, m.Load) else None
        try:
            return self.worker.ask(request, timeout_s=timeout_s, share_s=share_s)
        except OutOfTime as failure:
            known = self.configured is not None and self.configured.uncompiled
            if failure.share_s is None or not known or self.again is None or what in self.eager:
                raise
            self.worker.close()
            self.eager = tuple(dict.fromkeys([*self.eager, *WITHOUT[what]]))
            self.worker = self.again()
            recorder.begin("import, to go on without compiling,", self.name)
            try:
                self.worker.configured()
                self.load(cell, recorder, share_s, early=getattr(request, "early", False))
            except OutOfTime as again:
                both = f"{failure.stage}, which compiles, and without compiling in {again.stage}"
                raise OutOfTime(self.name, both, again.share_s) from None
            assert self.loaded is not None  # noqa: S101
            recorder.uncompiled(self.name, what, failure.share_s, self.loaded.operations)
            return self.loaded if isinstance(request, m.Load) else self.worker.ask(request)  # type: ignore[return-value]

    def peak_bytes(self, problem: AnyProblem) -> tuple[int, WorkerFailed | None]:
        """The peak memory of a process that has called its step; of one that raised then 0, and how.

        Raises:
            WorkerFailed: it has ended, and can be asked nothing more.
        """
        try:
            calls = FOOTPRINT_CALLS_ON_DISK if problem.on_disk else FOOTPRINT_CALLS
            return self.worker.ask(m.MeasureMemory(calls)).peak_bytes, None
        except WorkerFailed as failure:
            if not failure.alive:
                raise
            return 0, failure

    def start(self, pair: int | None, *, beside: bool) -> Start:
        """What it took until it could step: timed in that process pair or in none, ``beside`` others or alone."""
        assert self.configured is not None and self.loaded is not None  # noqa: S101, PT018
        return Start(
            pair=pair,
            beside_others=beside,
            import_s=self.configured.import_cpu_s if beside else self.configured.import_s,
            build_s=self.loaded.build_s,
            first_call_s=self.loaded.first_call_s,
            compile_cache=self.loaded.compile_cache,
            resident_bytes=self.configured.resident_bytes,
        )

    def stop(self) -> None:
        """End it in good order."""
        self.ended = True
        self.worker.stop()


class Crew:
    """The processes of some backends. A context: on leaving, none is left.

    Args:
        settings: in which interpreter each backend lives.
        label: what their logs are named after.
        names: the backends.
        launch: how each is started, with the folder of logs in place of one.
        shared: whether they go on to other problems, so that one that only raised is kept.
    """

    def __init__(
        self, settings: Settings, label: str, names: Sequence[str], launch: Launch, *, shared: bool = False
    ) -> None:
        self.settings, self.label, self.names = settings, label, names
        self.launch, self.shared = launch, shared
        self.reference = REFERENCE if REFERENCE in names else (names[0] if names else "")
        self.members: dict[str, Member] = {}
        #: Who takes no further part, and why.
        self.gone: dict[str, str] = {}
        self._spawned: list[WorkerProcess] = []
        self._ending = False
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in reversed(self._spawned):
            worker.close()

    @property
    def deadline(self) -> Deadline:
        """When the time budget ends."""
        return self.launch.deadline

    @property
    def control(self) -> str:
        """Name of the reference's second process, which the A/A comparison is with."""
        return twin(self.reference)

    def stand_in(self, timed: Collection[str]) -> str:
        """Make the first of those that were timed the reference, if there is one, in place of one that was not.

        Returns:
            The twin of the one before, which is none of this one.
        """
        before = self.control
        self.reference = next((name for name in self.names if name in timed), self.reference)
        return before

    @property
    def present(self) -> list[str]:
        """Backends that still take part."""
        return [name for name in self.names if name not in self.gone]

    @property
    def workers(self) -> Mapping[str, WorkerProcess]:
        """Processes that have loaded and can be asked."""
        return {
            name: member.worker
            for name, member in self.members.items()
            if member.loaded is not None and not member.ended
        }

    @property
    def whole(self) -> Mapping[str, WorkerProcess]:
        """The same without sharded backends: what these compute on the way is of each rank's rows."""
        sharded = self.sharded(self.workers)
        return {name: worker for name, worker in self.workers.items() if name not in sharded}

    def sharded(self, names: Iterable[str]) -> list[str]:
        """Those of some backends that are several processes."""
        return [name for name in names if self.registration(name).sharded]

    def piped(self, name: str) -> bool:
        """Whether a backend is a program of any language, to which its numbers go through a pipe."""
        return bool(self.registration(name).command)

    def plain(self, name: str) -> bool:
        """Whether a backend is called as it is, with neither a compiler nor a pipe before it."""
        return not (self.registration(name).compiler or self.piped(name))

    def communicating(self, names: Iterable[str]) -> list[str]:
        """Those of which it is told how much of a step is communication: in a benchmark, and always of a program."""
        closely = plan_of(self.settings).closely
        return [name for name in names if self.piped(name) or (closely and self.registration(name).sharded)]

    def compiled(self, recorder: Recorder) -> dict[str, Member]:
        """Processes that can be asked and are compiled as they should be; the others are left out."""
        for name in self.workers:
            if self.members[name].eager:
                recorder.leave_out(f"{name}: what is not compiled is not timed")
        return {name: self.members[name] for name in self.workers if not self.members[name].eager}

    def registration(self, name: str) -> Registration:
        """Where a backend lives, or the one of which it is the twin."""
        return self.settings.registration(self.reference if is_twin(name) else name)

    def compilers_first(self, names: Iterable[str]) -> list[str]:
        """The same names: those that compile take longest."""
        return sorted(names, key=lambda name: not (is_twin(name) or self.registration(name).compiler))

    def limits(self, request: m.MeasureLimits) -> Limits:
        """What this machine could do at best, by NumPy in a process of its own, whichever backends take part."""
        with self.spawn("numpy", role="limits").worker as worker:
            worker.configured()
            return worker.ask(request).limits

    def spawn(self, name: str, role: str = "", *, one_core: bool = False) -> Member:
        """A process of that backend, started; ``role`` tells its log from others'.

        Raises:
            WorkerFailed: the run is ending.
        """
        log = self.launch.log / _file_name(self.label, name, role)
        launch = msgspec.structs.replace(self.launch, log=log, deadline=self.deadline.hard())

        def process() -> WorkerProcess:
            with self._lock:
                if self._ending:
                    raise WorkerFailed(name, "start", "the run is ending")
                worker = started(name, self.registration(name), launch, self.settings.ranks, one_core=one_core)
                self._spawned.append(worker)
            return worker

        return Member(name, process(), process)

    def member(self, name: str) -> Member:
        """The backend's process to be checked; started now, if it is not there.

        Raises:
            WorkerFailed: the run is ending.
        """
        if name not in self.members or self.members[name].ended:
            self.members[name] = self.spawn(name)
        return self.members[name]

    def lose(self, name: str, failure: WorkerFailed) -> None:
        """Do without a backend from now on, unless it only raised and there are other problems for it."""
        member = self.members.get(name)
        if self._ending:
            return
        if self.shared and failure.alive and member is not None and member.configured is not None:
            return
        self.gone[name] = failure.reason
        if member is not None:
            member.ended = True
            member.worker.close()

    def kill(self) -> None:
        """End all processes now, so that threads that wait for their answers get none; and start no more."""
        with self._lock:
            self._ending = True
        for worker in self._spawned:
            worker.kill()


def _file_name(*parts: str) -> str:
    """The name of a log, made of what the process is for."""
    return ".".join(re.sub(r"[^A-Za-z0-9._~-]+", "-", word)[-100:] for word in parts if word) + ".log"


def chosen_backends(settings: Settings) -> tuple[list[str], list[BackendInfo], list[Trouble]]:
    """Names to run, every backend's state, and the requested ones that are missing.

    Raises:
        InputError: another interpreter lacks what its backend needs.
    """
    others = variants(settings.interpreters)
    wanted = [*(settings.backends or available()), *others]
    for name, registration in others.items():
        require_usable(name, registration)
    known = {name: each for name, each in registered().items() if name in wanted or not each.sharded}
    cures = {name: missing(each) for name, each in known.items()} | dict.fromkeys(others)
    infos = [BackendInfo(name=name, cure=cure or "") for name, cure in cures.items()]
    absent = [
        Trouble(backend=name, stage="import", reason=f"not available: {cures[name]}") for name in wanted if cures[name]
    ]
    return [name for name in dict.fromkeys(wanted) if not cures[name]], infos, absent
