"""Worker processes: environment, start, questions with a time limit, and a certain end.

Each worker gets one end of a socket pair and an allow-listed environment, in a session of its own: Ctrl-C reaches
the parent alone, which then ends its workers and whatever they started (compilers).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from gradparity.backends import Registration
from gradparity.formatting import printable, shortened
from gradparity.processes.deadline import UNLIMITED, Deadline
from gradparity.processes.environment import worker_environment
from gradparity.processes.limits import Allowance, Wait, out_of_memory
from gradparity.worker import messages as m

#: Seconds that each kind of request may take before its worker is given up. Import and compilation are the long ones.
TIMEOUTS_S: Mapping[type[m.Request], float] = {
    m.Configure: 120,
    m.Load: 600,
    m.Evaluate: 600,
    m.Perturb: 600,
    m.OwnDerivatives: 600,
    m.RecordTaps: 600,
    m.Descend: 600,
    m.Train: 600,
    m.Footprint: 120,
    m.ThreadsUsed: 120,
    m.MeasureLimits: 120,
    m.Warm: 600,
    m.Sample: 120,
    m.Stop: 5,
}

#: What a request is called in messages to the user.
STAGES: Mapping[type[m.Request], str] = {
    m.Configure: "import",
    m.Load: "build and first call",
    m.Evaluate: "evaluation",
    m.Perturb: "evaluation at moved inputs",
    m.OwnDerivatives: "derivative of its own loss",
    m.RecordTaps: "recording of taps",
    m.Descend: "training",
    m.Train: "training",
    m.Footprint: "memory",
    m.ThreadsUsed: "counting threads",
    m.MeasureLimits: "bandwidth and GEMM rate",
    m.Warm: "warm-up",
    m.Sample: "timing",
    m.Stop: "stop",
}

#: What is waited for, where it is not a step or the end.
WAITS: Mapping[type[m.Request], Wait | None] = {m.Configure: "import", m.Load: "compile", m.Stop: None}

#: Characters of a traceback that are kept: its end, where the error is.
MOST_DETAIL = 20_000

#: Failures whose message says all: their kind is not shown.
PLAIN_FAILURES = frozenset({"InputError", "NothingToRun"})

#: Without limits of the user's.
UNRESTRICTED = Allowance()

_Reply = TypeVar("_Reply", bound=m.Reply)


class WorkerFailed(Exception):
    """A worker raised, crashed, hung or was lost. The rest of the run goes on."""

    def __init__(
        self, backend: str, stage: str, reason: str, *, detail: str = "", alive: bool = False, kind: str = ""
    ) -> None:
        super().__init__(f"{backend} failed in {stage}: {reason}")
        self.backend = backend
        self.stage = stage
        self.reason = reason
        self.detail = detail
        self.alive = alive
        self.kind = kind  #: name of the exception that the worker met, if it said so


class OutOfTime(WorkerFailed):
    """The time budget ended while a worker was busy: not its fault. It was killed."""

    def __init__(self, backend: str, stage: str) -> None:
        super().__init__(backend, stage, "the time budget ended")


class Peer:
    """A process that answers requests, started at once; it imports while the caller does something else.

    Args:
        name: for messages.
        module: what is run, with a descriptor as its argument.
        decode: of its replies.
        limits_s: seconds that each kind of request may take, unless ``allowance`` says otherwise.
        stages: what a request is called in messages to the user.
        threads: of every library that it may import.
        log: file that gets everything the process prints, overwritten; its folder exists.
        python: interpreter, this one by default.
        compile_cache: folder for compiled code, in place of the user's own.
        deadline: no answer is waited for beyond it.
        allowance: limits of time and memory.
        scratch: folder for temporary files.
        waits: which limit of time counts for which request; that of a step for the others.
    """

    def __init__(
        self,
        name: str,
        module: str,
        *,
        decode: Callable[[bytes], Any],
        limits_s: Mapping[type[m.Request], float],
        stages: Mapping[type[m.Request], str],
        threads: int,
        log: Path,
        python: str = sys.executable,
        compile_cache: Path | None = None,
        deadline: Deadline = UNLIMITED,
        allowance: Allowance = UNRESTRICTED,
        scratch: Path | None = None,
        waits: Mapping[type[m.Request], Wait | None] = WAITS,
    ) -> None:
        self.backend = name
        self.log = log
        self._deadline, self._decode, self._limits_s, self._stages = deadline, decode, limits_s, stages
        self._allowance, self._waits = allowance, waits
        environment = worker_environment(threads)
        if compile_cache is not None:
            environment["TORCHINDUCTOR_CACHE_DIR"] = str(compile_cache)
        if scratch is not None:
            environment["TMPDIR"] = str(scratch)
        if python != sys.executable:
            from gradparity.processes.interpreters import search_path

            environment["PYTHONPATH"] = search_path(scratch)
        self._pipe, theirs = Pipe()
        watched, self._lifeline = os.pipe()  # nothing is ever written: it closes when this process ends
        try:
            with theirs, log.open("wb") as output:
                self._process = subprocess.Popen(
                    [python, "-P", "-m", module, str(theirs.fileno()), str(watched)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    pass_fds=[theirs.fileno(), watched],
                    start_new_session=True,
                )
        except BaseException:
            self._pipe.close()
            os.close(self._lifeline)
            raise
        finally:
            os.close(watched)
        self._pending: type[m.Request] | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, request: m.Request) -> None:
        """Send a request; its reply is for `receive`.

        Raises:
            WorkerFailed: the process is gone.
        """
        self._pending = type(request)
        try:
            self._pipe.send_bytes(m.encode(request))
        except (BrokenPipeError, ConnectionResetError):
            raise self._lost() from None

    def receive(self, reply: type[_Reply], *, timeout_s: float | None = None) -> _Reply:
        """Wait for the reply to the last request.

        Raises:
            WorkerFailed: the worker raised (and lives), or died, or did not answer in time (and is killed).
        """
        assert self._pending is not None, "receive() without a request"  # noqa: S101
        default_s = self._limits_s[self._pending] if timeout_s is None else timeout_s
        limit_s, overdue = self._allowance.wait_s(self._waits.get(self._pending, "step"), default_s)
        try:
            allowed_s = min(limit_s, self._deadline.left_s())
            if not self._pipe.poll(max(0.0, allowed_s)):
                self.kill()
                if allowed_s < limit_s:
                    raise OutOfTime(self.backend, self._stage)
                raise WorkerFailed(self.backend, self._stage, overdue)
            answer = self._decode(self._pipe.recv_bytes())
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            raise self._lost() from None
        except msgspec.MsgspecError as error:
            self.kill()
            raise WorkerFailed(self.backend, self._stage, f"answered what is no message: {error}; killed") from None
        if isinstance(answer, m.Failure):
            raise self._failed(answer)
        if not isinstance(answer, reply):
            self.kill()
            said_kind = f"answered with {type(answer).__name__} where {reply.__name__} was asked for; killed"
            raise WorkerFailed(self.backend, self._stage, said_kind)
        self._pending = None
        return answer

    def _failed(self, answer: m.Failure) -> Exception:
        """What a failure that the process has reported is to its caller."""
        line = (answer.message.strip().splitlines() or [""])[0]
        # An error of input has a rule of its own, and needs no name.
        reason = said(line if answer.kind in PLAIN_FAILURES else f"{answer.kind}: {line}")
        if out_of_memory(f"{answer.kind}: {answer.message}"):
            reason = f"out of memory{self._of_limit}: {reason}"
        detail = answer.traceback[-MOST_DETAIL:]
        return WorkerFailed(self.backend, self._stage, reason, detail=detail, alive=True, kind=answer.kind)

    @property
    def _of_limit(self) -> str:
        limit = self._allowance.memory_gib
        return "" if limit is None else f" (--memory-limit {limit:g})"

    def ask(self, request: m.Request, reply: type[_Reply], *, timeout_s: float | None = None) -> _Reply:
        """Send a request and wait for its reply; raises as `send` and `receive` do."""
        self.send(request)
        return self.receive(reply, timeout_s=timeout_s)

    def stop(self) -> m.Stopped | None:
        """End the worker in good order, or kill it; what it used, if it still said so."""
        try:
            return self.ask(m.Stop(), m.Stopped)
        except WorkerFailed:
            return None
        finally:
            self.close()

    def kill(self) -> None:
        """End the worker and everything in its session, now. Whoever waits for its answer, in any thread, is told."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Kill the worker unless it has ended already, and let go of its pipe."""
        if not self._pipe.closed:
            self.kill()
            self._pipe.close()
            os.close(self._lifeline)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _stage(self) -> str:
        return self._stages[self._pending] if self._pending else "start"

    def _lost(self) -> WorkerFailed:
        """The failure of a process that closed its pipe: how it ended, and the last line that it printed."""
        stage = self._stage
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        if code is not None and code < 0:
            reason = f"killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                reason += ", by hand or by the system for want of memory"
        else:
            reason = f"exited with code {code}" if code is not None else "closed its pipe"
        tail = last_line(self.log)
        if out_of_memory(tail):
            reason = f"out of memory{self._of_limit}, {reason}"
        return WorkerFailed(self.backend, stage, f"{reason}; it last said: {tail}" if tail else reason)


class WorkerProcess(Peer):
    """One backend's process; `Peer` has the other arguments.

    Args:
        backend: name for messages.
        registration: where the backend lives.
        one_core: tie the process to one core before it imports anything.
    """

    def __init__(
        self,
        backend: str,
        registration: Registration,
        *,
        threads: int,
        log: Path,
        python: str = "",
        one_core: bool = False,
        compile_cache: Path | None = None,
        deadline: Deadline = UNLIMITED,
        allowance: Allowance = UNRESTRICTED,
        scratch: Path | None = None,
    ) -> None:
        super().__init__(
            backend,
            "gradparity.worker.backend",
            decode=m.decode_reply,
            limits_s=TIMEOUTS_S,
            stages=STAGES,
            threads=threads,
            log=log,
            python=python or registration.python or sys.executable,
            compile_cache=compile_cache,
            deadline=deadline,
            allowance=allowance,
            scratch=scratch,
        )
        names = [each for each in (backend.partition("~")[0], registration.family) if each]
        with contextlib.suppress(WorkerFailed):  # `receive` says so, where the caller expects it
            self.send(
                m.Configure(registration.target, threads, one_core, names=names, memory_bytes=allowance.memory_bytes)
            )


def last_line(log: Path, limit: int = 4096) -> str:
    """The last line that a worker printed, without reading megabytes of log; ``""`` where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:  # somebody has taken it away
        return ""
    return said(lines[-1]) if lines else ""


def said(line: str) -> str:
    """A line of a worker's own words, fit for a table: no control sequences, and not too long."""
    return shortened(printable(line), 300)
