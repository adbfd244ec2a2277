"""The truth of a problem, computed once and shared by all backends: certified values and the noise floor around them.

Values are midpoints of rigorous enclosures (`closed_form`), tight to 2^-70, and the closed form itself is held against
the series engine (`certify`), which differentiates the model as written, in random directions. Above a
time budget a seeded subsample of the rows is certified, and the closed form in extended precision (`extended`), which
has to agree there, is the truth of all rows. The floor (`floor`) needs two digits only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import flint
import numpy as np

from gradparity.model_spec.problem import Problem
from gradparity.numerics.extended import Blocks
from gradparity.truth.derivatives.series import certify
from gradparity.truth.logistic import closed_form, extended
from gradparity.truth.logistic.floor import floor as noise_floor
from gradparity.truth.logistic.neutral import neutral_loss
from gradparity.truth.numbers.balls import exact
from gradparity.truth.numbers.enclosure import Enclosure, Enclosures
from gradparity.truth.reference import BUDGET_S, Reference, TruthError

#: Directions in which the closed form is held against the series engine.
SERIES_DIRECTIONS = 2
#: Seconds that certification takes for a row and for an entry of X, all quantities and both directions: measured.
SECONDS_PER_ROW, SECONDS_PER_CELL = 1e-4, 1e-5
#: Seconds that the closed form in extended precision and its floor take for an entry of X: measured.
FULL_SECONDS_PER_CELL = 2e-7
#: Share of the budget that certification always gets.
CERTIFIED_SHARE = 0.1


def reference(problem: Problem, *, draws: int | None = None, budget_s: float = BUDGET_S) -> Reference:
    """Truth and floor of a problem at its parameters.

    All rows are certified if that fits in ``budget_s`` seconds. Otherwise a seeded subsample of the rows is, and the
    extended-precision closed form, which must agree there to its own precision, is the truth of all rows.

    Raises:
        TruthError: the closed form and the series engine, or extended precision and balls, contradict each other.
    """
    began = time.monotonic()
    rows = certified_rows(problem, budget_s)
    every = len(rows) == problem.rows
    sample = problem
    if not every or problem.on_disk:
        sample = replace(problem, data={name: values[rows] for name, values in problem.data.items()})
    enclosed = closed_form.enclose(sample.spec, sample.params, sample.data, sample.tangents)
    truth = {key: each.as_longdouble() for key, each in enclosed.blocks.items()}
    directions = _require_series_agreement(sample)
    floor = noise_floor(sample, truth, draws)
    _require_extended_agreement(truth, extended.evaluate(sample), floor)
    method = f"certified in ball arithmetic at {enclosed.bits} bits"
    method += "" if directions else ", the series engine out of time"
    if not every:
        truth = extended.evaluate(problem)
        floor = noise_floor(problem, truth, draws)
        method = (
            f"closed form in extended precision, itself certified in ball arithmetic on {len(rows)} of "
            f"{problem.rows} rows"
        )
    return Reference(truth, floor, method, time.monotonic() - began, directions)


def extended_reference(problem: Problem, *, draws: int | None = None) -> Reference:
    """Truth and floor in extended precision alone, a tenth of the time: for points along a path, not for verdicts."""
    truth = extended.evaluate(problem)
    return Reference(truth, noise_floor(problem, truth, draws), "closed form in extended precision")


def certified_rows(problem: Problem, budget_s: float) -> np.ndarray:
    """Indices of the rows to certify: all of them, or as many as the time allows, drawn without replacement, sorted."""
    X = problem.data["X"]
    seconds = max(CERTIFIED_SHARE * budget_s, budget_s - FULL_SECONDS_PER_CELL * X.size)
    affordable = max(1, int(seconds / (SECONDS_PER_ROW + SECONDS_PER_CELL * X.shape[1])))
    if affordable >= problem.rows:
        return np.arange(problem.rows)
    return np.sort(np.random.default_rng([problem.seed, 2]).choice(problem.rows, affordable, replace=False))


def _require_series_agreement(problem: Problem) -> int:
    """The closed form against the model as written, differentiated by the series engine in random directions.

    Returns:
        How many directions confirmed it; those that the engine could not settle in its time are not counted.
    """
    confirmed = 0
    rng = np.random.default_rng([problem.seed, 3])
    loss = neutral_loss(problem.spec)
    for _ in range(SERIES_DIRECTIONS):
        direction = {name: rng.standard_normal(shape) for name, shape in problem.spec.shapes.items()}
        ours = closed_form.enclose(problem.spec, problem.params, problem.data, direction)
        series = certify(loss, problem.params, problem.data, direction, seconds=BUDGET_S)
        for name, found, expected in (
            ("loss", ours.value, series.value),
            ("g.v", ours.along, series.first),
            ("v^T H v", _dot(ours.product, direction, ours.bits), series.second),
        ):
            if not found.ball.overlaps(expected.ball):
                raise TruthError(f"{name}: the closed form gives {found!r}, the series engine {expected!r}")
        confirmed += series.settled
    return confirmed


def _dot(product: Mapping[str, Enclosures], direction: Mapping[str, np.ndarray], bits: int) -> Enclosure:
    """``v^T H v``, from ``H v``."""
    with flint.ctx.workprec(bits):
        return Enclosure(sum((product[name].balls * exact(move)).sum() for name, move in direction.items()))


def _require_extended_agreement(enclosed: Blocks, values: Blocks, floor: Blocks) -> None:
    """Extended precision against balls: within the noise floor, which it must be well below to measure one."""
    for key, value in values.items():
        if (np.abs(value - enclosed[key]) > floor[key]).any():
            raise TruthError(f"{' '.join(key)}: extended precision is off by more than the noise floor of the dtype")
