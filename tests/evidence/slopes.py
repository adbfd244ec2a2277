"""How the time of a step grows with each size: the slope of log time over log size, with its standard error.

    python -m tests.evidence.slopes [--backends numpy,jax] [--formulations as_written] [--json PATH]

``as_written`` costs ``S F L`` multiplications, the others ``S F + F L``. Where one term rules, time is a power of the
size: with the rows the slope is 1, and under ``as_written`` with the features and the projection too. Each of S, F and
L is varied alone, with the others so large that a call's fixed cost does not count; under the other formulations L is
varied where ``F L`` rules. Slopes under 1 are fixed cost, or vector units that fill better; above 1, caches left.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from gradparity.backends import BACKENDS, load, missing, place
from gradparity.benchmark.clock import Clock
from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.protocol import Call, calibrate, sample, warm_up
from tests.evidence.baseline_ratios import FORMULATIONS, last_line, problem_of

#: Base sizes (S, F, L), by the size that is varied from them.
BASES = {
    "as_written": {"S": (4000, 64, 32), "F": (4000, 64, 32), "L": (4000, 64, 32)},
    "other": {"S": (20_000, 64, 16), "F": (20_000, 64, 16), "L": (16, 512, 512)},
}
FACTORS = (1, 2, 4, 8)
BLOCKS = 5


@dataclass(frozen=True, kw_only=True)
class Slope:
    """``d log(time) / d log(size)`` and its standard error; None for fewer than three points."""

    slope: float
    standard_error: float | None


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How one backend's step grows with one size: the sizes, the median times there, and the fit."""

    backend: str
    formulation: str
    varied: str
    sizes: list[str]
    step_ns: list[float]
    fit: Slope


def log_log(sizes: Sequence[float], times: Sequence[float]) -> Slope:
    """Least squares through ``(log size, log time)``.

    Standard error ``sqrt(RSS / (n - 2) / sum (x - mean x)^2)``: Draper and Smith, Applied Regression Analysis,
    3rd ed., section 1.4.

    Raises:
        ValueError: fewer than two points, another number of times, all sizes equal, or one that is not positive.
    """
    n = len(sizes)
    if n < 2 or n != len(times) or len(set(sizes)) < 2 or min(*sizes, *times) <= 0:
        raise ValueError(f"points: got sizes {list(sizes)} and times {list(times)}, expected 2 or more, all positive")
    x, y = [math.log(size) for size in sizes], [math.log(time) for time in times]
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    spread = math.fsum((a - mean_x) ** 2 for a in x)
    slope = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    residuals = math.fsum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    return Slope(slope=slope, standard_error=math.sqrt(residuals / (n - 2) / spread) if n > 2 else None)


def sizes_of(formulation: str, varied: str) -> list[tuple[int, int, int]]:
    """The sizes (S, F, L) at which one of them is varied."""
    base = BASES.get(formulation, BASES["other"])[varied]
    axis = "SFL".index(varied)
    return [(*base[:axis], factor * base[axis], *base[axis + 1 :]) for factor in FACTORS]  # type: ignore[misc]


def step_ns(backend_name: str, formulation: str, size: str, clock: Clock) -> float:
    """Median time of a value-and-gradient call, in ns."""
    backend = load(BACKENDS[backend_name].target)
    backend.configure(1)
    problem = problem_of(size, formulation)
    program = backend.program(backend.loss(problem.spec))
    params, data = backend.put(problem.params), place(backend, program, problem.data)

    def step() -> object:
        return backend.wait(program.value_and_gradient(params, data))

    return median_ns(step, clock)


def median_ns(call: Call, clock: Clock) -> float:
    """Median over blocks of a warm call, in ns."""
    profile = PROFILES["brief"]
    warm_up(call, clock, profile)
    inner = calibrate(call, clock, profile.block_ns)
    return median(sample(call, inner, clock)[0].call_ns for _ in range(BLOCKS))


def growth(backend: str, formulation: str, varied: str) -> Growth:
    """Measured in one fresh process for each size, so that no compiled program is adapted to the one before.

    Raises:
        RuntimeError: a process failed; the message has what it said last.
    """
    points = sizes_of(formulation, varied)
    names = ["x".join(map(str, point)) for point in points]
    times = [float(last_line("tests.evidence.slopes", [backend, formulation, name])) for name in names]
    fit = log_log([point["SFL".index(varied)] for point in points], times)
    return Growth(backend=backend, formulation=formulation, varied=varied, sizes=names, step_ns=times, fit=fit)


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments, measure in other processes, print."""
    parser = argparse.ArgumentParser(prog="tests.evidence.slopes", description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--formulations", default=",".join(FORMULATIONS))
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.worker:
        backend, formulation, size = chosen.worker
        print(step_ns(backend, formulation, size, Clock()))
        return
    every: list[Growth] = []
    for backend in chosen.backends.split(","):
        if cure := missing(BACKENDS[backend]):
            print(f"{backend}: left out; {cure}")
            continue
        for formulation in chosen.formulations.split(","):
            for varied in "SFL":
                found = growth(backend, formulation, varied)
                every.append(found)
                times = ", ".join(f"{ns / 1e3:.0f}" for ns in found.step_ns)
                error = found.fit.standard_error or math.nan
                print(
                    f"{backend:14}{formulation:13}{varied}  slope {found.fit.slope:5.2f} +- {error:4.2f}"
                    f"  ({times} us at {', '.join(found.sizes)})",
                    flush=True,
                )
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) for one in every], indent=1) + "\n")


if __name__ == "__main__":
    main()
