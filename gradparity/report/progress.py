"""What is running, while it runs: a live line on a terminal, plain lines elsewhere. Always on standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gradparity.results import ProblemResult


class Watch:
    """The observer of a run started from the command line.

    Args:
        out: console that gets each problem's tables as it is done, or ``None`` to print none.
        err: console for the progress.
        brief: of training print only what does not agree.
    """

    def __init__(self, out: Console | None, err: Console, *, brief: bool = False) -> None:
        self._out, self._err, self._brief = out, err, brief
        self._started = time.perf_counter()
        self._said = ""
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._task = self._progress.add_task("starting", total=None)

    def begin(self, problem: str, stage: str, backend: str) -> None:
        """Show a stage; on a plain stream each one once, and timing, which goes round and round, as one."""
        line = f"{problem}: {stage} {backend}".rstrip()
        if self._err.is_terminal:
            self._progress.update(self._task, description=line)
            return
        line = f"{problem}: timing in turns" if stage == "timing" else line
        if line != self._said:
            self._said = line
            elapsed_s = time.perf_counter() - self._started
            self._err.print(f"[{elapsed_s:5.1f} s] {line}", soft_wrap=True)

    def finished(self, result: ProblemResult) -> None:
        """Print a problem's tables; the live line makes room for them."""
        from gradparity.report.terminal import print_problem  # which the workers need not wait for

        if self._out is not None:
            self._progress.stop()
            print_problem(self._out, result, brief=self._brief)
            self._progress.start()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
