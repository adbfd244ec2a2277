"""The clock that measuring reads: injected, so that every rule is tested on a simulated one."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_PROC_STAT = Path("/proc/stat")

#: Position of "steal" after the name in a cpu line of /proc/stat: user nice system idle iowait irq softirq steal.
_STEAL_FIELD = 8


@dataclass(frozen=True)
class Counters:
    """Running totals since some fixed start; only differences mean anything.

    ``stolen_ns`` is time the hypervisor gave to others, averaged over the CPUs this process may use; None where
    the system does not tell.
    """

    minor_faults: int
    context_switches: int
    stolen_ns: int | None


class Clock:
    """The machine's own clocks: ``perf_counter_ns``, ``process_time_ns``, ``getrusage`` and ``/proc/stat``."""

    def __init__(self) -> None:
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
        return Counters(minor_faults=faults, context_switches=switches, stolen_ns=self._stolen_ns())

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
