"""The clock that measuring reads: injected, so that every rule is tested on a simulated one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC_STAT = Path("/proc/stat")

#: Position of "steal" after the name in a cpu line of /proc/stat: user nice system idle iowait irq softirq steal.
_STEAL_FIELD = 8

#: Linux's clock of a process's CPU time is its inverted id with this in the lower three bits: clock_getcpuclockid(3).
_CPU_CLOCK = 2


@dataclass(frozen=True)
class Counters:
    """Running totals since some fixed start; only differences mean anything.

    ``stolen_ns`` is time the hypervisor gave to others, averaged over the CPUs this process may use; None where
    the system does not tell.

    Where the work is another program's, ``program_cpu_ns`` is CPU time of its processes, and ``waited_ns`` how long
    they and this process were ready while no processor ran them, over all threads; both ``None`` where the system does
    not tell.
    """

    minor_faults: int
    context_switches: int
    stolen_ns: int | None
    program_cpu_ns: int | None = 0
    waited_ns: int | None = None


class Clock:
    """The machine's own clocks: ``perf_counter_ns``, ``process_time_ns``, ``getrusage`` and ``/proc``.

    Args:
        program: process id of a program that does the work while this process waits for it, if there is one.
    """

    def __init__(self, program: int | None = None) -> None:
        self._program = program
        self._usable = _usable_cpus()
        self._tick_ns = _tick_ns()

    def wall_ns(self) -> int:
        """Monotonic wall-clock time, in nanoseconds."""
        return time.perf_counter_ns()

    def cpu_ns(self) -> int:
        """CPU time of this process over all its threads, in nanoseconds."""
        return time.process_time_ns()

    def counters(self) -> Counters:
        """Totals of this process so far; zero faults and switches where the system has no ``getrusage``."""
        faults, switches = _usage()
        stolen_ns = self._stolen_ns()
        if self._program is None:
            return Counters(minor_faults=faults, context_switches=switches, stolen_ns=stolen_ns)
        cpu_ns, waited_ns = _of_program(self._program) or (None, None)
        return Counters(faults, switches, stolen_ns, cpu_ns, waited_ns)

    def _stolen_ns(self) -> int | None:
        try:
            text = _PROC_STAT.read_text(encoding="ascii")
        except OSError:
            return None
        ticks = parse_stolen_ticks(text, self._usable)
        return None if ticks is None else round(ticks * self._tick_ns)


def parse_stolen_ticks(proc_stat: str, cpus: frozenset[int]) -> float | None:
    """Stolen ticks per CPU, averaged over the given CPUs; None where no line of theirs has the field.

    Reference: proc_stat(5), the eighth figure of a ``cpuN`` line.
    """
    stolen = []
    for line in proc_stat.splitlines():
        if not line.startswith("cpu"):
            break
        name, *figures = line.split()
        if name != "cpu" and int(name[3:]) in cpus and len(figures) >= _STEAL_FIELD:
            stolen.append(int(figures[_STEAL_FIELD - 1]))
    return sum(stolen) / len(stolen) if stolen else None


def _of_program(pid: int) -> tuple[int, int] | None:
    """CPU time of a program's processes, and how long they and this one waited for a processor; None where unknown.

    The CPU time is that of whole processes: /proc/PID/schedstat has the first thread's alone.
    """
    try:
        family = [pid, *_started_by(pid)]
        cpu_ns = sum(time.clock_gettime_ns(~each << 3 | _CPU_CLOCK) for each in family)
        return cpu_ns, sum(map(_waited_ns, [os.getpid(), *family]))
    except (AttributeError, OSError, ValueError, IndexError):  # no such clock, no such file, or a process that ended
        return None


def _started_by(pid: int) -> Iterator[int]:
    """The processes that one has started, and those that they have: the program behind a script, or a pool of it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = task / "children"
        for child in map(int, children.read_text(encoding="ascii").split() if children.exists() else ()):
            yield child
            yield from _started_by(child)


def _waited_ns(pid: int) -> int:
    """Time that the threads of a process were ready and not run, of those that there are now.

    Reference: Linux, Documentation/scheduler/sched-stats.rst, the second figure of ``schedstat``.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[1]) for task in tasks)


def _usage() -> tuple[int, int]:
    """Minor page faults, and context switches of both kinds, of this process."""
    try:
        import resource
    except ImportError:  # Windows
        return 0, 0
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt, usage.ru_nvcsw + usage.ru_nivcsw


def _usable_cpus() -> frozenset[int]:
    """The CPUs this process may run on: stolen time on the others is not ours."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _tick_ns() -> float:
    """Length of a /proc/stat tick in nanoseconds: 10 ms nearly everywhere."""
    try:
        return 1e9 / os.sysconf("SC_CLK_TCK")
    except (AttributeError, ValueError, OSError):
        return 1e7
