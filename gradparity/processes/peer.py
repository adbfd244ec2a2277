"""Worker processes: environment, start, questions with a time limit, and a certain end.

Each worker gets one end of a socket pair and an allow-listed environment, in a session of its own: Ctrl-C reaches
the parent alone, which then ends its workers and whatever they started (compilers).
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from gradparity.formatting import printable, shortened
from gradparity.processes.launch import Launch
from gradparity.processes.limits import out_of_memory
from gradparity.worker.wire import Failed, Progress, ReplyT, Request, Stop, encode

#: Characters of a traceback that are kept: its end, where the error is.
MOST_DETAIL = 20_000

#: Failures whose message says all: their kind is not shown.
PLAIN_FAILURES = frozenset({"InputError", "NothingToRun"})


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


class Peer:
    """A process that answers requests, started at once; it imports while the caller does something else.

    Args:
        name: for messages.
        module: what is run, with descriptors as its arguments.
        decode: of its replies.
        launch: how it is started, and how long it may take.
        python: interpreter.
    """

    def __init__(
        self, name: str, module: str, decode: Callable[[bytes], Any], launch: Launch, *, python: str = sys.executable
    ) -> None:
        self.backend, self.launch, self._decode = name, launch, decode
        self._pipe, theirs = Pipe()
        watched, self._lifeline = os.pipe()  # nothing is ever written: it closes when this process ends
        try:
            with theirs, launch.log.open("wb") as output:
                self._process = subprocess.Popen(
                    [python, "-P", "-m", module, str(theirs.fileno()), str(watched)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=launch.environment(python),
                    pass_fds=[theirs.fileno(), watched],
                    start_new_session=True,
                )
        except BaseException:
            self._pipe.close()
            os.close(self._lifeline)
            raise
        finally:
            os.close(watched)
        self._pending: type[Request[Any]] | None = None
        self._gone: WorkerFailed | None = None  #: why the process was ended, if it was for a failure

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, request: Request[Any]) -> None:
        """Send a request; its reply is for `receive`.

        Raises:
            WorkerFailed: the process is gone, or was closed; one that was cut off is `OutOfTime` as it was then.
        """
        self._pending = type(request)
        try:
            self._pipe.send_bytes(encode(request))
        except OSError:  # also of a pipe that is closed
            raise self._lost() from None

    def receive(self, *, timeout_s: float | None = None, share_s: float | None = None) -> Any:
        """Wait for the reply to the last request, for ``timeout_s`` in place of the request's own limit.

        ``share_s``: seconds that the budget has for it, where they are less.

        Raises:
            WorkerFailed: the worker raised (and lives), or died, or did not answer in time (and is killed).
        """
        request = self._pending
        assert request is not None, "receive() without a request"  # noqa: S101
        default_s = request.timeout_s if timeout_s is None else timeout_s
        limit_s, overdue = self.launch.allowance.wait_s(request.wait, default_s)
        try:
            left_s, share_s = self.launch.deadline.left_s(), math.inf if share_s is None else share_s
            ends_s = time.monotonic() + min(limit_s, left_s, share_s)
            answer: Any = None
            while answer is None or isinstance(answer, Progress):
                if not self._pipe.poll(max(0.0, ends_s - time.monotonic())):
                    self.kill()
                    self._gone = WorkerFailed(self.backend, self._stage, overdue)
                    if left_s < limit_s:
                        self._gone = OutOfTime(self.backend, self._stage)
                    if share_s < min(limit_s, left_s):
                        self._gone = OutOfTime(self.backend, self._stage, share_s)
                    raise self._gone
                answer = self._decode(self._pipe.recv_bytes())
                if isinstance(answer, Progress) and self.launch.listener is not None:
                    self.launch.listener(self.backend, answer)
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            raise self._lost() from None
        except msgspec.MsgspecError as error:
            self.kill()
            self._gone = WorkerFailed(self.backend, self._stage, f"answered what is no message: {error}; killed")
            raise self._gone from None
        if isinstance(answer, Failed):
            raise self._failed(answer)
        if not isinstance(answer, request.reply()):
            self.kill()
            said_kind = f"answered with {type(answer).__name__} where {request.reply().__name__} was asked for; killed"
            self._gone = WorkerFailed(self.backend, self._stage, said_kind)
            raise self._gone
        self._pending = None
        return answer

    def ask(self, request: Request[ReplyT], *, timeout_s: float | None = None, share_s: float | None = None) -> ReplyT:
        """Send a request and wait for its reply; raises as `send` and `receive` do."""
        self.send(request)
        answer: ReplyT = self.receive(timeout_s=timeout_s, share_s=share_s)
        return answer

    def _failed(self, answer: Failed) -> Exception:
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
        return self._pending.stage if self._pending else "start"

    def _lost(self) -> WorkerFailed:
        """The failure of a process that closed its pipe: how it ended, and the last line that it printed.

        Of one that was ended here it is the failure for which it was.
        """
        stage = self._stage
        if self._gone is not None:
            return self._gone
        if self._pipe.closed:
            return WorkerFailed(self.backend, stage, "its process had been ended")
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
        tail = last_line(self.launch.log)
        if out_of_memory(tail):
            reason = f"out of memory{self._of_limit}, {reason}"
        return WorkerFailed(self.backend, stage, f"{reason}; it last said: {tail}" if tail else reason)


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
