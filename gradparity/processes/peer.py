"""Worker processes: environment, start, questions with a time limit, and a certain end.

Each worker gets one end of a socket pair and an allow-listed environment, in a session of its own: Ctrl-C reaches
the parent alone, which then ends its workers and whatever they started (compilers).
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from threading import Lock
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self

import msgspec
import psutil

from gradparity.formatting import first_line
from gradparity.processes.launch import Launch
from gradparity.processes.limits import out_of_memory, refused
from gradparity.processes.log import Log, said, signal_name
from gradparity.worker.channel import Channel, Garbled
from gradparity.worker.wire import Arrays, Failed, Part, Progress, ReplyT, Request, Stop, encode

#: Characters of a traceback that are kept: its end, where the error is.
MOST_DETAIL = 20_000

#: Seconds that a process may take to end that has closed its channel, or was killed.
_DIES_S = 5.0

#: Failures whose message says all: their kind is not shown.
PLAIN_FAILURES = frozenset({"InputError", "NothingToRun", "ProgramFailed", "ProgramLost"})
#: That of a process which lives, and has lost the program that it asks.
_LOST = "ProgramLost"


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
    """The time budget ended while a worker was busy, or the stage's share of it: not its fault. It was killed."""

    def __init__(self, backend: str, stage: str, share_s: float | None = None) -> None:
        ended = "the time budget ended"
        super().__init__(
            backend, stage, ended if share_s is None else f"no answer in its share of the budget, {share_s:.3g} s"
        )
        self.share_s = share_s  #: what it had, where there is more for others


class _Limit(NamedTuple):
    """Seconds that an answer may take: by its own limit, by what is left of the budget, and by its share of that."""

    seconds: float
    left_s: float
    share_s: float
    overdue: str


class Peer:
    """A process that answers requests, started at once; it imports while the caller does something else. One that could
    not be started has failed when it is first asked.

    Args:
        name: for messages.
        module: what is run, with descriptors as its arguments.
        decode: of its replies.
        launch: how it is started, and how long it may take.
        python: interpreter.
    """

    #: What may be the matter where no answer comes in time.
    hint = ""
    #: What it has sent ahead of its answers: quantities by name, until whoever asks forgets them.
    given: Mapping[str, Arrays] = MappingProxyType({})
    _begun = ""

    def __init__(
        self, name: str, module: str, decode: Callable[[bytes], Any], launch: Launch, *, python: str = sys.executable
    ) -> None:
        self.backend, self.launch, self._decode = name, launch, decode
        self._pending: type[Request[Any]] | None = None
        self._sending_s = 0.0
        self._gone: WorkerFailed | None = None  #: why the process was ended, if it was for a failure
        self._process: subprocess.Popen[bytes] | None = None
        self._killing, self._closed = Lock(), False
        with contextlib.ExitStack() as undo:
            try:
                self._log = Log(launch.log)
                undo.callback(self._log.close)
                ours, theirs = socket.socketpair()
                undo.callback(ours.close)
                watched, lifeline = os.pipe()  # nothing is ever written: it closes when this process ends
                undo.callback(os.close, lifeline)
                with theirs, os.fdopen(watched, "rb") as watching:
                    self._process = subprocess.Popen(
                        [python, "-P", "-m", module, str(theirs.fileno()), str(watching.fileno())],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        bufsize=0,
                        env=launch.environment(python),
                        pass_fds=[theirs.fileno(), watching.fileno()],
                        start_new_session=True,
                    )
                assert self._process.stdout is not None  # noqa: S101
                self._log.of(self._process.stdout)
            except (OSError, RuntimeError) as error:  # no descriptors, no threads, no memory; its log is no file
                if not refused(error):
                    raise
                self.kill()
                if self._process is not None and self._process.stdout is not None:
                    self._process.stdout.close()
                self._process = None  # whoever asks it is told
                what = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
                why = getattr(error, "strerror", None) or error
                self._gone = WorkerFailed(name, "start", f"it could not be started: {why}{what}")
                return
            undo.pop_all()
        self._life = _life_of(self._process.pid)
        ended = None if self._life is not None else self._has_ended
        self._channel, self._lifeline = Channel(ours, self._life, ended), lifeline

    @property
    def pid(self) -> int:
        """Process id; 0 where there is none."""
        return self._process.pid if self._process is not None else 0

    def send(self, request: Request[Any]) -> None:
        """Send a request; its reply is for `receive`.

        Raises:
            WorkerFailed: the process is gone, or was closed; one that was cut off is `OutOfTime` as it was then.
        """
        self._pending, self._begun = type(request), ""
        if self._process is None:
            raise self._lost()
        began_s = time.monotonic()
        limit = self._limit(type(request))
        try:
            self._channel.send(encode(request), began_s + min(limit.seconds, limit.left_s))
        except TimeoutError:
            raise self._overdue(limit) from None
        except (EOFError, OSError):  # also of a channel that is closed
            raise self._lost() from None
        self._sending_s = time.monotonic() - began_s

    def receive(self, *, timeout_s: float | None = None, share_s: float | None = None) -> Any:
        """Wait for the reply to the last request, for ``timeout_s`` in place of the request's own limit.

        What sending it took counts: the limit is that of both. ``share_s``: seconds that the budget has for it, where
        they are less.

        Raises:
            WorkerFailed: the worker raised (and lives), or died, or did not answer in time (and is killed).
        """
        request = self._pending
        assert request is not None, "receive() without a request"  # noqa: S101
        if self._process is None:
            raise self._lost()
        limit = self._limit(request, timeout_s, share_s)
        ends_s = time.monotonic() + min(limit.seconds - self._sending_s, limit.left_s, limit.share_s)
        try:
            answer: Any = None
            while answer is None or isinstance(answer, Progress | Part):
                if answer is not None and time.monotonic() > ends_s:
                    raise TimeoutError
                answer = self._decode(self._channel.receive(ends_s))
                self._ahead(answer)
        except TimeoutError:
            raise self._overdue(limit) from None
        except Garbled:
            raise self._end("it wrote to gradparity's channel; killed") from None
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            raise self._lost() from None
        except msgspec.MsgspecError as error:
            raise self._end(f"answered what is no message: {error}; killed") from None
        if isinstance(answer, Failed):
            raise self._failed(answer)
        if not isinstance(answer, request.reply()):
            named, asked = type(answer).__name__, request.reply().__name__
            raise self._end(f"answered with {named} where {asked} was asked for; killed")
        self._pending = None
        return answer

    def _ahead(self, answer: Any) -> None:
        """Take what is sent ahead of an answer."""
        if isinstance(answer, Part):
            self.given, self._begun = {**self.given, **answer.quantities}, answer.begun
        elif isinstance(answer, Progress) and self.launch.listener is not None:
            self.launch.listener(self.backend, answer)

    def ask(self, request: Request[ReplyT], *, timeout_s: float | None = None, share_s: float | None = None) -> ReplyT:
        """Send a request and wait for its reply; raises as `send` and `receive` do."""
        self.send(request)
        answer: ReplyT = self.receive(timeout_s=timeout_s, share_s=share_s)
        return answer

    def _limit(
        self, request: type[Request[Any]], timeout_s: float | None = None, share_s: float | None = None
    ) -> _Limit:
        default_s = request.timeout_s if timeout_s is None else timeout_s
        seconds, overdue = self.launch.allowance.wait_s(request.wait, default_s)
        return _Limit(seconds, self.launch.deadline.left_s(), math.inf if share_s is None else share_s, overdue)

    def _overdue(self, limit: _Limit) -> WorkerFailed:
        """End the process for its silence: a fault of its own, or of the budget, or of its share."""
        self.kill()
        self._gone = WorkerFailed(self.backend, self._stage, limit.overdue + self.hint)
        if limit.left_s < limit.seconds:
            self._gone = OutOfTime(self.backend, self._stage)
        if limit.share_s < min(limit.seconds, limit.left_s):
            self._gone = OutOfTime(self.backend, self._stage, limit.share_s)
        return self._gone

    def _end(self, reason: str) -> WorkerFailed:
        """End the process for a fault of its own."""
        self.kill()
        self._gone = WorkerFailed(self.backend, self._stage, reason)
        return self._gone

    def _failed(self, answer: Failed) -> Exception:
        """What a failure that the process has reported is to its caller."""
        line = first_line(answer.message)
        # An error of input has a rule of its own, and needs no name.
        reason = said(line if answer.kind in PLAIN_FAILURES else f"{answer.kind}: {line}")
        if out_of_memory(f"{answer.kind}: {answer.message}"):
            reason = f"out of memory{self._of_limit}: {reason}"
        detail = answer.traceback[-MOST_DETAIL:]
        return WorkerFailed(
            self.backend, self._stage, reason, detail=detail, alive=answer.kind != _LOST, kind=answer.kind
        )

    @property
    def _of_limit(self) -> str:
        limit = self.launch.allowance.memory_gib
        return "" if limit is None else f" (--memory-limit {limit:g})"

    def stop(self) -> None:
        """End the process in good order, or kill it."""
        try:
            with contextlib.suppress(WorkerFailed):
                self.ask(Stop())
        finally:
            self.close()

    def kill(self) -> None:
        """End the worker and everything that it started, now. Whoever waits for its answer, in any thread, is told."""
        with self._killing:
            if self._process is None or self._process.returncode is not None:
                return  # whose number may be another process's by now, once its end has been taken notice of
            family: list[psutil.Process] = []
            with contextlib.suppress(psutil.Error):  # those in sessions of their own, too
                family = psutil.Process(self._process.pid).children(recursive=True)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            for process in family:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # it waits for a disk that does not answer
                self._process.wait(_DIES_S)

    def close(self) -> None:
        """Kill the worker unless it has ended already, and let go of its channel: once, whatever threads ask for it."""
        self.kill()
        with self._killing:  # closed again, a descriptor may be another's by now
            closed, self._closed = self._closed, True
        if self._process is not None and not closed:
            self._channel.close()
            os.close(self._lifeline)
            if self._life is not None:
                os.close(self._life)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _stage(self) -> str:
        stage = self._pending.stage if self._pending else "start"
        return f"{stage} of {self._begun}" if self._begun else stage

    def _has_ended(self) -> bool:
        """Whether the process has, of which no notice is taken: until then no other can have its number."""
        if self._process is None or self._process.returncode is not None:
            return True
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(self._process.pid).status() == psutil.STATUS_ZOMBIE)
        return True

    def _lost(self) -> WorkerFailed:
        """The failure of a process that closed its channel: how it ended, and which log has its last words.

        Of one that was ended here it is the failure for which it was.
        """
        stage = self._stage
        if self._gone is not None:
            return self._gone
        if self._process is None or self._channel.closed:
            return WorkerFailed(self.backend, stage, "its process had been ended")
        ends_s = time.monotonic() + _DIES_S
        while not (ended := self._has_ended()) and time.monotonic() < ends_s:
            time.sleep(0.01)
        self.kill()
        code = self._process.returncode if ended else None
        if code is not None and code < 0:
            reason = f"killed by {signal_name(-code)}"
            if -code == signal.SIGKILL:
                reason += ", by hand or by the system for want of memory"
        else:
            reason = f"exited with code {code}" if code is not None else "closed its channel"
        tail = self._log.last_line()
        if out_of_memory(tail):
            reason = f"out of memory{self._of_limit}, {reason}"
        words = f"; its last words are in logs/{self.launch.log.name}" if tail else ""
        return WorkerFailed(self.backend, stage, f"{reason}{words}")


def _life_of(pid: int) -> int | None:
    """A descriptor that can be read once a process has ended, where the system has such.

    Reference: pidfd_open(2), of Linux.
    """
    with contextlib.suppress(AttributeError, OSError):
        return os.pidfd_open(pid)
    return None
