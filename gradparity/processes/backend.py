"""The process of one backend, as its parent sees it."""

from __future__ import annotations

import contextlib
import sys

from gradparity.backends import Registration
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
    """

    def __init__(self, backend: str, registration: Registration, launch: Launch, *, one_core: bool = False) -> None:
        super().__init__(
            backend, "gradparity.worker.backend", m.decode_reply, launch, python=registration.python or sys.executable
        )
        names = tuple(filter(None, (backend.partition("~")[0], registration.family)))
        limit = launch.allowance.memory_bytes
        with contextlib.suppress(WorkerFailed):  # `configured` says so, where the caller expects it
            self.send(m.Configure(registration.target, launch.threads, one_core, names=names, memory_bytes=limit))

    def configured(self) -> m.Configured:
        """Wait until the framework is imported; raises as `ask` does."""
        answer: m.Configured = self.receive()
        return answer
