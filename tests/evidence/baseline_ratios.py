"""Our backends against what experts of each framework write without a harness (bench/baselines).

    python -m tests.evidence.baseline_ratios [--sizes 4x3x3,1000x20x10] [--formulations blocked] [--backends jax]
    [--json PATH]

One process for each backend, size and formulation, one thread; in it the two take turns (A B B A), so that the
machine's drift cancels. Before anything is timed, both must give the same loss, gradient and descent. The ratio is our
time over the baseline's: under 1 is ours in front. scikit-learn is held against a whole fit: SciPy's L-BFGS over our
numpy backend.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from gradparity.backends import BACKENDS, load, missing, place
from gradparity.benchmark.baselines import MODULES, Baseline, baselines
from gradparity.benchmark.clock import Clock
from gradparity.benchmark.profiles import PROFILES, Profile
from gradparity.benchmark.protocol import Block, calibrate, rewarm, sample, warm_up
from gradparity.benchmark.rounds import Round, pair_values
from gradparity.benchmark.stats import FLOOR, compare, verdict
from gradparity.model_spec.data.datasets import load as load_data
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic

SIZES = ("4x3x3", "1000x20x10", "200000x100x50")
FORMULATIONS = ("as_written", "reassociated", "blocked")
#: Steps of a timed descent: few where one takes long.
STEPS, STEPS_OF_LARGE, LARGE = 100, 3, 10_000_000
#: Too small to leave the region where the loss falls, at any size here: the mean loss's Hessian is about 1.
RATE_PER_ROW = 0.1
#: Relative difference of two right answers: ten digits, which no wrong formula shares and every rounding does.
SAME = 1e-10
#: Of a descent, whose steps amplify the rounding of those before; and of two solvers that stop at a tolerance.
SAME_AFTER_STEPS, SAME_OPTIMUM = 1e-8, 1e-6
#: Penalty and tolerance of the whole fit: an optimum exists whatever the data.
FIT_L2, FIT_TOLERANCE = 1.0, 1e-6

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC"), "1"
) | {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "TORCHINDUCTOR_COMPILE_THREADS": "1", "THP_MEM_ALLOC_ENABLE": "1"}

Call = Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Our time over the baseline's with its 95% interval, and the median time of each, in ns (a step's, for loops)."""

    backend: str
    size: str
    formulation: str
    what: str
    baseline: str
    ours_ns: float
    baseline_ns: float
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str


class DifferentAnswers(Exception):
    """Ours and a baseline disagree: there is nothing to time."""


def problem_of(size: str, formulation: Any) -> Problem:
    """The built-in model on synthetic data of ``SxFxL``, float64, summed over rows."""
    rows, features, projection = map(int, size.split("x"))
    data = load_data(f"synthetic:{rows}x{features}")
    spec = ProjectedLogistic(features=features, projection=projection, formulation=formulation)
    return make_problem(data.name, spec, data.X, data.y)


def steps_of(problem: Problem) -> int:
    """Steps of a timed descent."""
    return STEPS_OF_LARGE if problem.data["X"].size >= LARGE else STEPS


def measure(backend_name: str, size: str, formulation: str, profile: Profile) -> Iterator[Measured]:
    """Step and loop of one backend against every baseline of it.

    Raises:
        DifferentAnswers: a baseline gives another loss, gradient or descent.
    """
    backend = load(BACKENDS[backend_name].target)
    backend.configure(1)
    problem = problem_of(size, formulation)
    program = backend.program(backend.loss(problem.spec))
    params, data = backend.put(problem.params), backend.put(problem.data)
    steps, rate = steps_of(problem), RATE_PER_ROW / problem.rows
    arranged = place(backend, program, problem.data)

    def step() -> Any:
        return backend.wait(program.value_and_gradient(params, arranged))

    def loop() -> Any:
        return backend.wait(program.descend(params, arranged, steps, rate))

    def flat(answer: Any) -> Any:
        return np.concatenate([np.ravel(a) for a in backend.get({"": answer[0], **answer[1]}).values()])

    for baseline in baselines(backend_name, formulation, params, data, problem.spec.block_rows):
        for what, ours, theirs, count, limit in pairs_of(baseline, step, loop, steps, rate):
            require_same(f"{backend_name} {size} {formulation}, {what} of {baseline.name}", ours, theirs, flat, limit)
            yield timed(ours, theirs, profile, count, (backend_name, size, formulation, what, baseline.name), Clock())


def pairs_of(
    baseline: Baseline, step: Call, loop: Call, steps: int, rate: float
) -> Iterator[tuple[str, Call, Call, int, float]]:
    """What is compared: its name, ours, theirs, steps in a call, and how far apart right answers may be."""
    if baseline.step is not None:
        yield "step", step, baseline.step, 1, SAME
    if baseline.loop is not None:
        descent = baseline.loop
        yield "loop", loop, lambda: descent(steps, rate), steps, SAME_AFTER_STEPS


def measure_fit(size: str, profile: Profile) -> Measured:
    """The whole fit of plain logistic regression: SciPy's L-BFGS over our numpy backend, against scikit-learn."""
    from scipy.optimize import minimize

    from gradparity.benchmark.baselines.sklearn_baseline import fit

    rows, features, _ = map(int, size.split("x"))
    data = load_data(f"synthetic:{rows}x{features}")
    spec = Logistic(features=features, l2=FIT_L2)
    problem = make_problem(data.name, spec, data.X, data.y, start="zeros")
    backend = load(BACKENDS["numpy"].target)
    program = backend.program(backend.loss(spec))
    X, y = problem.data["X"], problem.data["y"]

    def value_and_gradient(w: Any) -> tuple[Any, Any]:
        value, gradient = program.value_and_gradient({"w": w}, {"X": X, "y": y})
        return value / rows, gradient["w"] / rows

    def ours() -> Any:
        start = np.zeros(features)
        options = {"gtol": FIT_TOLERANCE, "ftol": 64 * np.finfo(float).eps, "maxiter": 10_000}
        return minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options).x

    def theirs() -> Any:
        return fit(X, y, l2=FIT_L2, tolerance=FIT_TOLERANCE)

    def loss_at(w: Any) -> Any:
        return np.atleast_1d(value_and_gradient(w)[0])

    require_same(f"numpy {size}, fit of scikit-learn", ours, theirs, loss_at, SAME_OPTIMUM)
    return timed(ours, theirs, profile, 1, ("numpy", size, "plain", "fit", "scikit-learn"), Clock())


def require_same(name: str, ours: Call, theirs: Call, flat: Callable[[Any], Any], limit: float) -> None:
    """Raise `DifferentAnswers` where two answers differ by more than ``limit`` of their norm."""
    a, b = flat(ours()), flat(theirs())
    if a.shape != b.shape or not np.linalg.norm(a - b) <= limit * np.linalg.norm(a):  # also where either is NaN
        raise DifferentAnswers(f"{name}: got another answer than ours, expected the same to {limit:g}")


def timed(
    ours: Call, theirs: Call, profile: Profile, steps: int, labels: tuple[str, str, str, str, str], clock: Clock
) -> Measured:
    """ABBA rounds of the two calls in this process, each of ``steps`` steps."""
    call_s = [warm_up(call, clock, profile).call_s for call in (ours, theirs)]
    inner = [calibrate(call, clock, profile.block_ns) for call in (ours, theirs)]
    rounds = []
    for index in range(profile.rounds(sum(call_s) / 2)):
        order = (0, 1, 1, 0) if index % 2 == 0 else (1, 0, 0, 1)
        blocks: tuple[list[Block], list[Block]] = ([], [])
        for which in order:
            call = (ours, theirs)[which]
            rewarm(call, clock, calls=profile.rewarm_calls)
            blocks[which].append(sample(call, inner[which], clock)[0])
        # The baseline is the reference, so that the verdict is on ours.
        rounds.append(Round(0, index, (blocks[1][0], blocks[1][1]), (blocks[0][0], blocks[0][1])))
    found = compare(pair_values(rounds), profile)
    backend, size, formulation, what, baseline = labels
    return Measured(
        backend=backend,
        size=size,
        formulation=formulation,
        what=what,
        baseline=baseline,
        ours_ns=median(block.call_ns for r in rounds for block in r.challenger) / steps,
        baseline_ns=median(block.call_ns for r in rounds for block in r.reference) / steps,
        ratio=_inverse(found.ratio),
        low=_inverse(found.high),
        high=_inverse(found.low),
        verdict=verdict(found, FLOOR),
    )


def _inverse(ratio: float | None) -> float | None:
    return None if ratio is None else 1 / ratio


def row(found: Measured) -> str:
    """One line of the table."""
    within = "none" if found.ratio is None else f"{found.ratio:6.3f}"
    if found.low is not None and found.high is not None:
        within += f" [{found.low:.3f}, {found.high:.3f}]"
    return (
        f"{found.backend:14}{found.size:15}{found.formulation:13}{found.what:5}{found.baseline:17}"
        f"{found.ours_ns / 1e3:12.2f}{found.baseline_ns / 1e3:12.2f}  {within:24}{found.verdict}"
    )


HEADER = f"{'backend':14}{'size':15}{'formulation':13}{'':5}{'baseline':17}{'ours us':>12}{'its us':>12}  ours / its"


def in_process(arguments: list[str]) -> list[Measured]:
    """What a fresh interpreter with one thread measures."""
    return [Measured(**fields) for fields in json.loads(last_line("tests.evidence.baseline_ratios", arguments))]


def last_line(module: str, arguments: list[str]) -> str:
    """What a module's worker prints last, in a fresh interpreter with one thread.

    Raises:
        RuntimeError: it failed; the message has what it said last.
    """
    command = [sys.executable, "-m", module, "--worker", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **ONE_THREAD})
    if ran.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {(ran.stderr.strip().splitlines() or ['no message'])[-1]}")
    return ran.stdout.splitlines()[-1]


def work(backend: str, size: str, formulation: str, profile: str) -> None:
    """A worker's whole life: measure, and print what was found as one line of JSON."""
    if formulation == "plain":
        found = [measure_fit(size, PROFILES[profile])]
    else:
        found = list(measure(backend, size, formulation, PROFILES[profile]))
    print(json.dumps([asdict(one) for one in found]))


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments, measure in other processes, print."""
    parser = argparse.ArgumentParser(prog="tests.evidence.baseline_ratios", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=",".join(SIZES), help="SxFxL, comma-separated")
    parser.add_argument("--formulations", default=",".join((*FORMULATIONS, "plain")), help="plain: the whole fit")
    parser.add_argument("--backends", default=",".join(MODULES))
    parser.add_argument("--profile", default="quick", choices=list(PROFILES))
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.worker:
        work(*chosen.worker)
        return
    print(HEADER)
    every: list[Measured] = []
    for backend in chosen.backends.split(","):
        if cure := missing(BACKENDS[backend]):
            print(f"{backend}: left out; {cure}")
            continue
        for size in chosen.sizes.split(","):
            for formulation in chosen.formulations.split(","):
                if formulation == "plain" and backend != "numpy":
                    continue
                found = in_process([backend, size, formulation, chosen.profile])
                every += found
                print(*map(row, found), sep="\n", flush=True)
                if chosen.json:
                    chosen.json.write_text(json.dumps([asdict(one) for one in every], indent=1) + "\n")


if __name__ == "__main__":
    main()
