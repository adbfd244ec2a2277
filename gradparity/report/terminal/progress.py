"""What is running, while it runs: a live line on a terminal, plain lines elsewhere. Always on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from gradparity.results import ProblemResult

#: How often the live line is drawn: what is timed meanwhile runs on another core, and is to be left in peace.
_PER_S = 2


class Remaining:
    """About how long a run still takes: what is expected of this problem, and of the others as much as of those done.

    Nothing is said before there is something to go by.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._problems, self._took_s = 0, list[float]()
        self._ready_s: float | None = None

    def planned(self, problems: int) -> None:
        """So many problems there are to do."""
        self._problems, self._began_s = problems, self._clock()

    def expect(self, seconds: float) -> None:
        """The problem that is under way will take so long from now on."""
        self._ready_s = self._clock() + seconds

    def finished(self) -> None:
        """One more is done."""
        now_s = self._clock()
        self._took_s.append(now_s - self._began_s)
        self._began_s, self._ready_s = now_s, None

    def left_s(self) -> float | None:
        """Seconds, or ``None`` where nobody knows."""
        left = self._problems - len(self._took_s)
        if left <= 0 or (self._ready_s is None and not self._took_s):
            return None
        now_s = self._clock()
        own_s = self._ready_s - self._began_s if self._ready_s is not None else None
        each_s = sum(self._took_s) / len(self._took_s) if self._took_s else own_s or 0.0
        ready_s = self._began_s + each_s if self._ready_s is None else self._ready_s
        return max(0.0, ready_s - now_s) + (left - 1) * each_s


class _Left(ProgressColumn):
    """``about 12 s left``, where it is known."""

    def __init__(self, remaining: Remaining) -> None:
        super().__init__()
        self._remaining = remaining

    def render(self, task: Task) -> Text:  # noqa: ARG002  # Rich's signature
        left_s = self._remaining.left_s()
        return Text("" if left_s is None else f"about {max(1, round(left_s))} s left", style="dim")


class Watch:
    """The observer of a run started from the command line.

    Args:
        out: console that gets each problem's tables as it is done, or ``None`` to print none.
        err: console for the progress, or ``None`` for silence.
        brief: of training print only what does not agree.
    """

    def __init__(self, out: Console | None, err: Console | None, *, brief: bool = False) -> None:
        self._out, self._err, self._brief = out, err, brief
        self._started = time.perf_counter()
        self._said = ""
        self._remaining = Remaining()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            _Left(self._remaining),
        )
        live = err is not None and err.is_terminal
        self._progress = Progress(*columns, console=err, transient=True, disable=not live, refresh_per_second=_PER_S)
        self._task = self._progress.add_task("starting", total=None)

    def remark(self, text: str) -> None:
        """Say something of the whole run, if it is anything."""
        if self._err is None or not text:
            return
        if self._err.is_terminal:
            self._err.print(text, style="dim", soft_wrap=True)
        else:
            self._line(text)

    def planned(self, problems: int) -> None:
        """So many problems there are to do."""
        self._remaining.planned(problems)

    def expect(self, seconds: float) -> None:
        """What is under way will take about so long."""
        self._remaining.expect(seconds)

    def begin(self, problem: str, stage: str, backend: str) -> None:
        """Show a stage; on a plain stream each one once, and timing, which goes round and round, as one."""
        if self._err is None:
            return
        line = f"{problem}: {stage} {backend}".rstrip()
        if self._err.is_terminal:
            self._progress.update(self._task, description=line)
            return
        line = f"{problem}: timing in turns" if stage == "timing" else line
        if line != self._said:
            self._said = line
            self._line(line)

    def _line(self, text: str) -> None:
        assert self._err is not None  # noqa: S101
        elapsed_s, left_s = time.perf_counter() - self._started, self._remaining.left_s()
        left = "" if left_s is None else f", about {max(1, round(left_s))} s left"
        self._err.print(f"[{elapsed_s:5.1f} s{left}] {text}", soft_wrap=True)

    def finished(self, result: ProblemResult) -> None:
        """Print a problem's tables; the live line makes room for them."""
        self._remaining.finished()
        if self._out is not None:
            from gradparity.report.terminal.tables import print_problem  # which the workers need not wait for

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
