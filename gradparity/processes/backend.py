"""The process of one backend, as its parent sees it."""

from __future__ import annotations

import contextlib
import sys

import msgspec

from gradparity.backends import Registration
from gradparity.processes.environment import compile_cache, is_private
from gradparity.processes.launch import Launch
from gradparity.processes.peer import Peer, WorkerFailed
from gradparity.worker import messages as m


class WorkerProcess(Peer):
    """One backend's process. It begins to import the framework at once: `configured` waits for that.

    Args:
        backend: name for messages.
        registration: where the backend lives, and in which interpreter.
        launch: how its process is started.
        one_core: tie the process to one core before it imports anything.
        rank: which it is of several, of so many ``ranks``.
    """

    def __init__(
        self,
        backend: str,
        registration: Registration,
        launch: Launch,
        *,
        one_core: bool = False,
        rank: int = 0,
        ranks: int = 0,
    ) -> None:
        shared = launch.compile_cache is None and not is_private(compile_cache(), make=registration.compiler)
        if shared and launch.scratch is not None:
            launch = msgspec.structs.replace(launch, compile_cache=launch.scratch / "inductor")
        super().__init__(
            backend, "gradparity.worker.backend", m.decode_reply, launch, python=registration.python or sys.executable
        )
        if registration.command:
            self.hint = ". A program has to flush its output after each answer"
        names = tuple(filter(None, (backend.partition("~")[0], registration.family)))
        limit = launch.allowance.memory_bytes
        with contextlib.suppress(WorkerFailed):  # `configured` says so, where the caller expects it
            self.send(
                m.Configure(
                    *(registration.target, launch.threads, one_core),
                    names=names,
                    command=registration.command,
                    memory_bytes=limit,
                    rank=rank,
                    ranks=ranks,
                )
            )

    def configured(self) -> m.Configured:
        """Wait until the framework is imported; raises as `ask` does."""
        answer: m.Configured = self.receive()
        return answer
