"""What is running, while it runs: a live line on a terminal, plain lines elsewhere. Always on standard error."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Event, RLock
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from gradparity.progress import EXPECTED, Tally
from gradparity.report.terminal.so_far import SoFar
from gradparity.report.terminal.tally import Count
from gradparity.results import Finding, ProblemResult, Training
from gradparity.threads import Thread

#: How often the live line is drawn: what is timed meanwhile runs on another core, and is to be left in peace.
_PER_S = 2
#: Seconds after which a plain stream is told how far all is, and of how many stages at most.
SILENT_S, _MOST = 4.0, 3
#: Problems from which on what is found on each is not said before its end.
MANY = 12
#: What is said where work goes on that is no stage of any problem's.
NAMELESS = "at work"


class Remaining:
    """About how long a run still takes: what is expected of this problem, and of the others as much as of those done.

    Nothing is said before there is something to go by.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._problems, self._took_s = 0, list[float]()
        self._ready_s: float | None = None

    @property
    def many(self) -> bool:
        """Whether there are more problems than anybody follows one by one."""
        return self._problems > MANY

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


@dataclass
class _Stage:
    """What is under way, since when, and how far it is: so many of what it counts."""

    line: str
    began_s: float
    what: str = ""
    done: int = 0
    of: int = 0
    expected_s: int = 0
    heard_s: float = math.nan  #: when it came so far

    def counted(self, what: str, done: int, of: int, now_s: float) -> None:
        """Take how far it is."""
        if (what, done) != (self.what, self.done):
            self.heard_s = now_s
        self.what, self.done, self.of = what, done, of

    def said(self, now_s: float) -> str:
        """In words, with what is left at the rate so far."""
        took_s = now_s - self.began_s
        if self.expected_s:
            more = took_s > self.expected_s
            of = f"s, about {self.expected_s} s were expected" if more else f"of about {self.expected_s} s"
            return f"{self.line} ({took_s:.0f} {of})"
        if not self.what:
            return f"{self.line} ({took_s:.0f} s)" if took_s >= 1 else self.line
        if self.of <= 0:
            what = self.what.removesuffix("s") if self.done == 1 else self.what
            return f"{self.line}: {self.done:,} {what} ({took_s:.0f} s)"
        said, still_s = f"{self.line}: {self.done:,} of {self.of:,} {self.what}", now_s - self.heard_s
        if not self.done:
            return said
        each_s = (self.heard_s - self.began_s) / self.done
        if still_s > max(2 * SILENT_S, 3 * each_s):  # its rate is not the rate any more: what is left is not known
            return f"{said}, none more for {still_s:.0f} s"
        return f"{said}, about {max(1, round(each_s * (self.of - self.done) - still_s))} s left"


class _Progress(Progress):
    """The live line, and above it how far a campaign is, or what is found so far."""

    count: Count | None = None
    so_far: SoFar | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn."""
        if self.count is not None and self.count.known:
            yield self.count.table()
        if self.so_far is not None and self.so_far.known:
            yield self.so_far.table()
        yield from super().get_renderables()


class Watch:
    """The observer of a run started from the command line. On a plain stream nothing is silent for `SILENT_S` seconds.

    Args:
        out: console that gets each problem's tables as it is done, or ``None`` to print none.
        err: console for the progress, or ``None`` for silence.
        brief: of training print only what does not agree.
        at_first: what is said of the whole run, once its input has been found good.
        clock: a monotonic one, in seconds.
    """

    def __init__(
        self,
        out: Console | None,
        err: Console | None,
        *,
        brief: bool = False,
        at_first: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out, self._err, self._brief, self._clock = out, err, brief, clock
        self._started = self._spoke_s = clock()
        self._said, self._at_first = "", at_first
        self._remaining = Remaining(clock)
        #: By problem and backend; those that began last are last.
        self._stages: dict[tuple[str, str], _Stage] = {}
        self._lock = RLock()
        self._over = Event()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            _Left(self._remaining),
        )
        live = err is not None and err.is_terminal
        self._progress = _Progress(*columns, console=err, transient=True, disable=not live, refresh_per_second=_PER_S)
        self._task = self._progress.add_task("starting", total=None)
        self._count = self._progress.count = Count(clock)
        self._so_far = self._progress.so_far = SoFar()
        self._heart = Thread(target=self._beat, daemon=True)

    def remark(self, text: str) -> None:
        """Say something of the whole run, if it is anything."""
        if self._err is None or not text:
            return
        if self._err.is_terminal:
            self._err.print(text, style="dim", soft_wrap=True)
        else:
            self._line(text)

    def tally(self, tally: Tally) -> None:
        """Keep how far a campaign is."""
        with self._lock:
            self._count.take(tally)

    def planned(self, problems: int) -> None:
        """So many problems there are to do."""
        self.remark(self._at_first)
        self._remaining.planned(problems)

    def expect(self, seconds: float) -> None:
        """What is under way will take about so long."""
        self._remaining.expect(seconds)

    def begin(self, problem: str, stage: str, backend: str) -> None:
        """Show a stage; on a plain stream each one once, and timing, which goes round and round, as one."""
        if self._err is None:
            return
        line = f"{problem}: {stage} {backend}".rstrip()
        with self._lock:
            self._stages.pop((problem, backend), None)
            self._stages[problem, backend] = _Stage(line, self._clock())
            if self._err.is_terminal:
                self._progress.update(self._task, description=line)
                return
            line = f"{problem}: timing in turns" if stage == "timing" else line
            if line != self._said:
                self._said = line
                self._line(line)

    def advance(self, backend: str, what: str, done: int, of: int) -> None:
        """Keep how far the stage is that a backend is in, or what the model's own process does."""
        with self._lock:
            own = [each for (_, name), each in self._stages.items() if name == backend]
            own = own or [each for (_, name), each in self._stages.items() if not name]
            if not own:
                return
            if done != EXPECTED:
                own[-1].counted(what, done, of, self._clock())
            elif of >= SILENT_S and self._err is not None:
                own[-1].expected_s, own[-1].began_s = of, self._clock()
                self.remark(f"{own[-1].line}, {what}: about {of} s")

    def end(self, problem: str, backend: str) -> None:
        """Forget a stage."""
        with self._lock:
            self._stages.pop((problem, backend), None)

    def judged(self, problem: str, findings: Sequence[Finding], training: Sequence[Training]) -> None:
        """Show what is found on a backend; of a suite's many problems the end says it."""
        with self._lock:
            if self._err is None or self._remaining.many:
                return
            said = self._so_far.take(problem, findings, training)
            if not self._err.is_terminal:
                self._line(said)

    def finished(self, result: ProblemResult) -> None:
        """Print a problem's tables; the live line makes room for them."""
        if not self._count.known:  # it knows better how many are left, and what they take
            self._remaining.finished()
        with self._lock:
            self._so_far.forget(result.label)
            for key in [key for key in self._stages if key[0] == result.label]:
                del self._stages[key]
        if self._out is not None:
            from gradparity.report.terminal.tables import print_problem  # which the workers need not wait for

            self._progress.stop()
            print_problem(self._out, result, brief=self._brief)
            self._progress.start()

    def _line(self, text: str) -> None:
        assert self._err is not None  # noqa: S101
        self._spoke_s = self._clock()
        elapsed_s, left_s = self._spoke_s - self._started, self._remaining.left_s()
        left = "" if left_s is None else f", about {max(1, round(left_s))} s left"
        self._err.print(f"[{elapsed_s:5.1f} s{left}] {text}", soft_wrap=True)

    def pulse(self) -> None:
        """Say how far all is that is under way; on a plain stream only after a silence."""
        with self._lock:
            now_s = self._clock()
            said = "; ".join(each.said(now_s) for each in [*self._stages.values()][-_MOST:])
            if self._err is None:
                return
            if self._count.known:
                said = "on the cluster" if self._err.is_terminal else self._count.line()
            if self._err.is_terminal:
                if said:
                    self._progress.update(self._task, description=said)
            elif now_s - self._spoke_s >= SILENT_S:
                self._said = ""
                self._line(said or NAMELESS)

    def _beat(self) -> None:
        while not self._over.wait(1.0):
            self.pulse()

    def __enter__(self) -> Self:
        self._progress.start()
        if self._err is not None:
            self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._progress.stop()
