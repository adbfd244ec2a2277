"""Two workers of one backend against each other, many times over: how often is one called faster than the other?

``python -m tests.evidence.same_backend [--runs N] [--backends NAMES] [--size SxFxL] [--profile NAME]``. Each run
starts three processes of the backend: the reference, the twin that gives the floor, and another that is judged with
that floor as any other backend is. A difference that is called is an error of the clock. gradparity is imported inside
functions only: this folder is below it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.rounds import pair_values
from gradparity.benchmark.schedule import twin
from gradparity.benchmark.stats import Comparison, compare, control, verdict

AGAIN = "again"


@dataclass(frozen=True)
class SameBackend:
    """One run: what was said of a worker beside another of the same backend, and the floor it was said with."""

    verdict: str
    comparison: Comparison
    floor: float


def same_backend(backend: str, size: str, profile: str, seed: int) -> SameBackend:
    """Start three processes of a backend, time them in turns, and judge one of them.

    Raises:
        WorkerFailed: one of them did not answer.
    """
    from contextlib import ExitStack

    from gradparity.backends import lookup
    from gradparity.processes.backend import WorkerProcess
    from gradparity.processes.launch import Launch
    from gradparity.results import Timed
    from gradparity.runner.data import dataset_of, problem_on
    from gradparity.runner.settings import settings_from
    from gradparity.runner.turns import Timer
    from gradparity.worker import messages as m

    settings = settings_from("bench", {"backends": backend, "sizes": size, "profile": profile, "out": ""})
    (cell,) = settings.cells()
    load = m.load_request(problem_on(cell, dataset_of(cell), workers=3))
    names = (backend, twin(backend), AGAIN)

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {}
        for name in names:
            log = Path(folder) / f"{name}.log"
            workers[name] = stack.enter_context(WorkerProcess(name, lookup(backend), Launch(log)))
            workers[name].configured()
            workers[name].ask(load)
        seen: dict[str, Timed] = defaultdict(Timed)
        Timer(PROFILES[profile], seed=seed).measure(workers, backend, seen.__getitem__)
    aa = control(pair_values(seen[twin(backend)].rounds))
    found = compare(pair_values(seen[AGAIN].rounds), PROFILES[profile], aa)
    return SameBackend(verdict(found, aa.floor), found, aa.floor)


def main() -> None:
    """Print a line a run, and the verdicts of each backend counted."""
    from gradparity.backends import available

    parser = argparse.ArgumentParser(prog="python -m tests.evidence.same_backend", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--backends", default=",".join(available()))
    parser.add_argument("--size", default="1000x20x10")
    parser.add_argument("--profile", default="quick", choices=list(PROFILES))
    asked = parser.parse_args()
    for backend in asked.backends.split(","):
        counts: Counter[str] = Counter()
        for run in range(asked.runs):
            found = same_backend(backend, asked.size, asked.profile, seed=run)
            counts[found.verdict] += 1
            shown = found.comparison
            interval = "" if shown.low is None or shown.high is None else f" [{shown.low:.3f}, {shown.high:.3f}]"
            line = f"{backend} {run + 1}: {found.verdict}, {shown.ratio or 0:.3f}{interval}, floor {found.floor:.3f}"
            sys.stdout.write(line + "\n")
        words = ", ".join(f"{count} {word}" for word, count in counts.most_common())
        sys.stdout.write(f"{backend}: {words}\n")


if __name__ == "__main__":
    main()
