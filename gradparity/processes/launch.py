"""How a process is started, and how long it may take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from gradparity.processes.deadline import UNLIMITED, Deadline
from gradparity.processes.environment import CACHE, worker_environment
from gradparity.processes.limits import Allowance
from gradparity.worker.wire import Progress


class Launch(msgspec.Struct, frozen=True):
    """What processes of one run have in common, and the log of one of them.

    Attributes:
        log: file that gets everything the process prints, overwritten; its folder exists.
        threads: of every library that the process may import.
        compile_cache: folder for compiled code, in place of the user's own.
        scratch: folder for temporary files.
        deadline: no answer is waited for beyond it.
        allowance: limits of time and memory that the user sets.
        listener: is told, with the process's name, how far an answer of it is.
        variables: of the environment, which the user wants the model to have.
    """

    log: Path
    threads: int = 1
    compile_cache: Path | None = None
    scratch: Path | None = None
    deadline: Deadline = UNLIMITED
    allowance: Allowance = Allowance()
    listener: Callable[[str, Progress], None] | None = None
    variables: Mapping[str, str] = {}

    def environment(self, python: str) -> dict[str, str]:
        """Environment of the process, in an interpreter that may be another than this one."""
        found = {**self.variables, **worker_environment(self.threads)}
        if self.compile_cache is not None:
            found[CACHE] = str(self.compile_cache)
        elif self.scratch is not None:  # what a process compiled that had to be ended, its successor need not
            found["JAX_COMPILATION_CACHE_DIR"] = str(self.scratch / "jax")
        if self.scratch is not None:
            found["TMPDIR"] = str(self.scratch)
        if python != sys.executable:
            from gradparity.processes.interpreters import search_path

            found["PYTHONPATH"] = search_path(self.scratch)
        return found
