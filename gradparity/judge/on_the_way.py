"""A training run at its own parameters: which steps are judged, by what, and where the loss has a kink. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gradparity.judge.other_precision import PRECISION_RATIO
from gradparity.judge.symmetric import CONVENTION
from gradparity.judge.verdicts import AGREES_FLOORS, judge
from gradparity.model_spec.problem import AnyProblem
from gradparity.model_spec.symmetry import is_symmetric
from gradparity.numerics.optimisers import Array, Path
from gradparity.oracle.protocol import BUILT_IN, Oracle
from gradparity.results import GOOD, UNRESOLVED, Finding, worst
from gradparity.truth.reference import Reference
from gradparity.truth.trajectory import unit_and_tiny

#: Roundings of a block's largest value that a loss or gradient on the way may be wrong by: of fewer, only a second
#: precision tells a formula that cancels there (differences of log-gamma functions of large numbers, for one) from a
#: wrong rule, and there is one alone.
ON_THE_WAY = PRECISION_RATIO

#: Steps at which a run that left its floor is judged at its own parameters, at most; and one that did not, since an
#: optimiser can hide what is wrong: Adam divides a common factor of the gradient out again.
STEPS_JUDGED, STEPS_SPOT_CHECKED = 64, 3


def has_convention(backend: str, ran: Path, problem: AnyProblem, oracle: Oracle) -> bool:
    """Whether the gradient at the start has the other form of a symmetric argument's."""
    places = np.flatnonzero(ran.steps == 0)
    if not places.size or not any(is_symmetric(value) for value in problem.params.values()):
        return False
    here = replace(problem, params=_rounded(problem, ran.params[places[0]]))
    gradient = _rounded(problem, ran.gradients[places[0]])
    found = judge(backend, {"gradient": gradient}, oracle.at(here).only("gradient"), here)
    return any(CONVENTION in each.rule for each in found)


def kink_before(ran: Path, problem: AnyProblem, oracle: Oracle, step: int) -> str:
    """The entry at which the loss has no derivative where the run was just before a step, and what it took there."""
    place = max(0, int(np.searchsorted(ran.steps, step)) - 1)
    met = oracle.at(replace(problem, params=_rounded(problem, ran.params[place]))).kinks
    kinks = {key: sides for key, sides in met.items() if key[0] == "gradient"}
    widest = max(kinks, key=lambda key: kinks[key][1] - kinks[key][0], default=None)
    if widest is None:
        return ""
    _, path, index = widest
    taken, (low, high) = float(problem.spec.unpack(ran.gradients[place])[path][index]), kinks[widest]
    where = f"{path}[{', '.join(map(str, index))}]" if index else path
    return f"kink at {where}, where it takes {taken:.6g} and anything from {low:.6g} to {high:.6g} is right"


def steps_to_judge(ran: Path, affordable: int, end: int, step: int | None) -> npt.NDArray[np.int64]:
    """Places in ``ran.steps``: just before ``step`` and spread over the rest, or a few where nothing left the floor."""
    kept = np.flatnonzero(ran.steps <= (end if step is None else step))
    if step is None:
        return _spread(kept, STEPS_SPOT_CHECKED if affordable >= STEPS_SPOT_CHECKED else 0)
    half = max(1, min(STEPS_JUDGED, affordable) // 2)
    return np.concatenate([_spread(kept[:-half], half), kept[-half:]])


def _spread(places: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """At most ``count`` of them, evenly, first and last included."""
    chosen = np.linspace(0, len(places) - 1, min(len(places), count)).round().astype(np.int64)
    return places[chosen] if len(chosen) else places[:0]


def first_wrong(
    backend: str, ran: Path, problem: AnyProblem, places: npt.NDArray[np.int64], oracle: Oracle = BUILT_IN
) -> tuple[int, Finding] | None:
    """The first step of those at ``places`` whose loss or gradient is wrong at the run's own parameters, and how."""
    for place in places:
        step = int(ran.steps[place])
        if not np.isfinite(ran.params[place]).all():
            return None  # the step before it has the cause, or the run left the range of its dtype
        with np.errstate(all="ignore"):
            here = replace(problem, params=_rounded(problem, ran.params[place]))
            truth = oracle.at(here)
        quantities = {
            "loss": {"": np.asarray(ran.losses[step])},
            "gradient": _rounded(problem, ran.gradients[place]),
        }
        found = [f for f in judge(backend, quantities, truth, here) if _beyond(f)]
        if found and step:
            with np.errstate(all="ignore"):
                truth = _as_coarse(truth, oracle.at(problem), problem)
            found = [f for f in judge(backend, quantities, truth, here) if _beyond(f)]
        if found:
            return step, worst(found)
    return None


def _as_coarse(truth: Reference, start: Reference, problem: AnyProblem) -> Reference:
    """The truth on a path, with floors nowhere below the largest of the block at the start, nor below `ON_THE_WAY`.

    A gradient shrinks on its way to an optimum, and the roundings of what it is formed from do not.
    """
    floor = {}
    for key, value in truth.floor.items():
        unit = unit_and_tiny(problem.spec.dtypes.get(key[1], problem.spec.dtype))[0]
        sizes = np.abs(truth.truth[key])
        least = ON_THE_WAY / AGREES_FLOORS * unit * sizes[np.isfinite(sizes)].max(initial=0)
        at_start = start.floor[key].max(initial=0) if key in start.floor else 0
        floor[key] = np.asarray(np.maximum(value, max(least, at_start)))
    return replace(truth, floor=floor)


def _rounded(problem: AnyProblem, vector: Array) -> dict[str, Array]:
    """Named arrays in their own dtypes; a run in extended precision keeps its own."""
    tree = problem.spec.unpack(vector)
    return dict(tree if vector.dtype == np.longdouble else problem.spec.rounded(tree))


def _beyond(finding: Finding) -> bool:
    """Whether a finding is beyond its floor: a gradient that has shrunk to rounding may well come out as zero."""
    return finding.verdict not in {*GOOD, UNRESOLVED} and not (
        finding.floors is not None and finding.floors <= AGREES_FLOORS
    )


def in_words(finding: Finding) -> str:
    """By how much a block is wrong: ``gradient w is wrong by 12 floors, a relative 3e-15``."""
    if finding.floors is None:
        return f"{finding.block}: {finding.rule}"
    relative = "" if finding.relative_error is None else f", a relative {finding.relative_error:.2g}"
    return f"{finding.block} is wrong by {finding.floors:.3g} floors{relative}"
