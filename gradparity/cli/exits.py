"""What a command ends with."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradparity.results import RunResult


class ExitCode(IntEnum):
    """What the process ends with."""

    AGREES = 0
    DISAGREES = 1
    INPUT = 2
    BACKEND = 3
    FAULT = 4
    INTERRUPTED = 130


def exit_code(result: RunResult) -> ExitCode:
    """What a run ends with; a wrong derivative outranks a lost backend, what is known is neither, and nothing no 0."""
    from gradparity.judge.changes import PROCESS

    if result.ok:
        return ExitCode.AGREES
    listed = result.baseline
    if listed is not None:
        lost = not listed.mended and all(found.block == PROCESS for found in listed.new)
        return ExitCode.BACKEND if lost else ExitCode.DISAGREES
    return ExitCode.DISAGREES if result.disagreements or result.differs_as_written else ExitCode.BACKEND
