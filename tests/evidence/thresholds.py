"""What the thresholds of the measuring protocol do on this machine: evidence for ``docs/explanation/measurement.md``.

``python -m tests.evidence.thresholds rounds RESULTS...`` looks at the raw blocks of finished runs: how many rounds
each limit on stolen time and on CPU over wall-clock time discards, how much the A/A rounds scatter that are kept and
that are not, and how far a call was from its steady state when warming up ended.

``python -m tests.evidence.thresholds switch`` times the calls that follow another process's turn: how much longer the
first is than the rest, for calls from microseconds to a tenth of a second. gradparity is imported inside functions
only: this folder is below it.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median

from gradparity.benchmark.rounds import CPU_LIMIT, STEAL_LIMIT, STEAL_TICK_NS, Round

CPU_LIMITS = (0.95, 0.9, 0.85, 0.8, 0.7)
STEAL_LIMITS = (0.01, 0.02, 0.05, 0.1)
SIZES = ("4x3x3", "1000x20x10", "20000x50x20", "200000x100x10")
SWITCHES, CALLS = 12, 5


def disturbed(measured: Round, cpu_limit: float, steal_limit: float, tick_ns: int) -> bool:
    """`Round.disturbed` with other limits."""
    blocks = measured.reference + measured.challenger
    wall_ns, stolen_ns = sum(b.wall_ns for b in blocks), sum(b.stolen_ns or 0 for b in blocks)
    return stolen_ns > steal_limit * wall_ns + tick_ns or any(
        b.wall_ns - b.away_ns < cpu_limit * b.wall_ns for b in blocks
    )


def scatter(rounds: Iterable[Round]) -> float | None:
    """Root mean square of the log ratios, whose true value is 0 between identical workers; ``None`` without any."""
    values = [measured.log_ratio for measured in rounds]
    return math.sqrt(fmean(value**2 for value in values)) if values else None


def discarding(rounds: Sequence[Round]) -> list[str]:
    """A line for each limit: share discarded, scatter of what is kept and of what is not."""
    lines = [f"{len(rounds)} A/A rounds; in use: cpu/wall {CPU_LIMIT}, stolen {STEAL_LIMIT:.0%} beyond a tick"]
    cases = [(f"cpu/wall under {limit}", limit, math.inf, 0) for limit in CPU_LIMITS]
    cases += [(f"stolen over {limit:.0%}", 0.0, limit, 0) for limit in STEAL_LIMITS]
    cases += [(f"stolen over {limit:.0%} beyond a tick", 0.0, limit, STEAL_TICK_NS) for limit in STEAL_LIMITS]
    for name, cpu_limit, steal_limit, tick_ns in cases:
        gone = [each for each in rounds if disturbed(each, cpu_limit, steal_limit, tick_ns)]
        kept = [each for each in rounds if each not in gone]
        share = len(gone) / len(rounds) if rounds else 0.0
        lines.append(f"{name:32} discards {share:6.1%}; kept {_percent(scatter(kept))}, not {_percent(scatter(gone))}")
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def look_at(files: Sequence[str]) -> list[str]:
    """What the raw blocks of finished runs say."""
    from gradparity.results.store import read

    rounds: list[Round] = []
    settled: list[float] = []
    for problem in (problem for file in files for problem in read(file).problems):
        timings = [*problem.timings, *([problem.twin] if problem.twin else [])]
        timed = [found for timing in timings for found in (timing.step, timing.loop) if found and found.step_ns]
        for found in timed:
            settled += [
                math.log(found.step_ns.median / (1e9 * warm.call_s / found.steps))
                for warm in found.warm_ups
                if found.step_ns and warm.converged
            ]
        if problem.twin:
            rounds += [each for found in (problem.twin.step, problem.twin.loop) if found for each in found.rounds]
    lines = discarding(rounds)
    if settled:
        off = sorted(map(abs, settled))
        lines.append(
            f"{len(settled)} settled warm-ups: the last window was off the steady median by {_percent(median(off))} "
            f"(median) and {_percent(off[int(0.9 * (len(off) - 1))])} (9 in 10)"
        )
    return lines


def switching(backend: str, size: str) -> tuple[float, list[float]]:
    """Median seconds of a call long after a switch, and of the first calls after one, as multiples of it."""
    from contextlib import ExitStack

    from gradparity.backends import lookup
    from gradparity.processes.backend import WorkerProcess
    from gradparity.processes.launch import Launch
    from gradparity.runner.data import dataset_of, problem_on
    from gradparity.runner.settings import settings_from
    from gradparity.worker import messages as m

    settings = settings_from("bench", {"backends": backend, "sizes": size, "formulations": "blocked", "out": ""})
    (cell,) = settings.cells()
    load = m.load_request(problem_on(cell, dataset_of(cell), workers=2))
    seen: list[list[int]] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = []
        for name in ("one", "other"):
            log = Path(folder) / f"{name}.log"
            worker = stack.enter_context(WorkerProcess(name, lookup(backend), Launch(log)))
            worker.configured()
            worker.ask(load)
            worker.ask(m.Warm("quick", 20_000_000))
            workers.append(worker)
        for turn in range(2 * SWITCHES):
            worker = workers[turn % 2]
            seen.append([worker.ask(m.Sample(1, 0)).block.wall_ns for _ in range(CALLS)])
    steady = median(wall_ns for walls in seen for wall_ns in walls[2:])
    return steady / 1e9, [median(walls[place] for walls in seen) / steady for place in range(CALLS)]


def main() -> None:
    """Print the evidence."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.thresholds", description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("rounds").add_argument("results", nargs="+")
    switch = kinds.add_parser("switch")
    switch.add_argument("--backends", default="numpy,jax,torch")
    switch.add_argument("--sizes", default=",".join(SIZES))
    asked = parser.parse_args()
    if asked.kind == "rounds":
        sys.stdout.write("\n".join(look_at(asked.results)) + "\n")
        return
    for backend in asked.backends.split(","):
        for size in asked.sizes.split(","):
            steady_s, calls = switching(backend, size)
            shown = ", ".join(f"{each:.2f}" for each in calls)
            sys.stdout.write(f"{backend:8} {size:16} {1e6 * steady_s:10.1f} us a call; after a switch: {shown}\n")


if __name__ == "__main__":
    main()
