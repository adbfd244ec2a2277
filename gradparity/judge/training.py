"""Training runs and their reference in, verdicts and reasons out. Pure: only the reference's formula is evaluated.

A run agrees while its losses and parameters are within ``PATH_FLOORS`` noise floors of the extended-precision run of
the same optimiser, where the floor has grown along the trajectory. Where it leaves them, the reason is found at the
run's own parameters: its loss and gradient there are judged like any others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from gradparity.judge.figures import finite, in_floors
from gradparity.judge.known import SHARES
from gradparity.judge.on_the_way import first_wrong, has_convention, in_words, kink_before, steps_to_judge
from gradparity.judge.symmetric import CONVENTION
from gradparity.model_spec.problem import AnyProblem
from gradparity.numerics.extended import Extended
from gradparity.numerics.optimisers import LBFGS, Array, Path
from gradparity.oracle.protocol import BUILT_IN, Oracle
from gradparity.results import UNRESOLVED, Finding, Training, Verdict
from gradparity.truth.reference import PROJECTION
from gradparity.truth.trajectory import Trajectory, blocks

#: Noise floors that a run may be wrong by. Right runs were seen at 0.9 (median) and 3 (99 in 100), and 3 of 1,440 just
#: over 8: a path adds up the errors of its steps. What gradients on it are held to is in `on_the_way`.
PATH_FLOORS = 32.0

#: The same where every gradient on the way is right at the run's own parameters: another formula than the neutral one,
#: right to a few floors at each step, adds them up. Seen: 39, of differences of log-gamma functions in 97 steps.
ADDS_UP_FLOORS = 128.0

#: The floor over the rounding of the parameters from which on runs diverge by the dynamics. Stable runs of 100
#: steps were seen at 5 to 80; it is their square root of the number of steps that rounding alone would give.
AMPLIFIED = 1e3

AMPLIFIES = "rounding that the dynamics amplify"
GRADIENT_WRONG = "a gradient that is wrong"
LOSS_WRONG = "a loss that is wrong"
NOT_FINITE = "a number that is not finite"
POOR = "a formula that loses digits, as it does at the start"
LOOP_WRONG = "a loop that is wrong: the same gradient, stepped by our optimiser, does not diverge"
KINK = "a kink on the path, where whatever is between the one-sided derivatives is right: from there on paths diverge"
FLOOR_TOO_WIDE = "the noise floor is too wide to tell"
PARTS = f"every gradient is right, {CONVENTION}: paths part by it"
ADDS_UP = "rounding that adds up: every loss and gradient is right to rounding"


def own_loop(losses: Array, params: Array) -> Path:
    """The path of a backend's own descent: every loss, and the flat parameters of the last step only."""
    last = len(losses) - 1
    return Path(losses, np.array([last]), params[None], np.empty((0, len(params)), params.dtype), last + 1)


def judge_training(
    backend: str,
    ran: Path,
    known: Trajectory,
    problem: AnyProblem,
    loop_s: float,
    *,
    shared: Training | None = None,
    oracle: Oracle = BUILT_IN,
) -> Training:
    """One run against the reference.

    Args:
        backend: its name.
        ran: what it went through.
        known: the reference run of the same optimiser.
        problem: what was trained.
        loop_s: seconds that the whole run took.
        shared: for a run in the backend's own loop, which keeps no gradients: the same steps by our optimiser.
        oracle: knows the truth of the problem.

    Returns:
        The verdict, the first step beyond the floor, and why two runs diverge or the floor grew.
    """
    start = known.path.losses[0] if len(known.loss_floor) and len(ran.losses) else np.inf
    if not abs(start) <= np.finfo(problem.spec.dtype).max:
        why = "is no number" if np.isnan(start) else f"is beyond the range of {problem.spec.dtype}"
        return _without_reference(backend, ran, known, f"the loss at the start {why}", loop_s)
    floors, steps = _errors_in_floors(ran, known, problem)
    beyond = {name: _first_beyond(found, steps[name]) for name, found in floors.items()}
    # At one and the same step, a loss follows from its parameters.
    left = sorted((step, "loss" in name, name) for name, step in beyond.items() if step is not None)
    step, diverged = (left[0][0], left[0][2]) if left else (None, "")
    end = int(steps["loss"][-1])
    verdict, reason, detail = _explain(backend, ran, known, problem, end, step, shared, oracle)
    if step == 0 and reason == ADDS_UP:  # nothing has added up there: its loss is right by the floor of its own
        left = [each for each in left if each[0] > 0]
        step, diverged = (left[0][0], left[0][2]) if left else (None, "")
        verdict, reason, detail = _explain(backend, ran, known, problem, end, step, shared, oracle)
    amplification = _finite_max(known.amplification)
    largest = max((most for found in floors.values() if (most := _finite_max(found)) is not None), default=None)
    adds_up = reason == ADDS_UP or (reason == LOOP_WRONG and shared is not None and shared.reason == ADDS_UP)
    if adds_up and largest is not None and largest <= ADDS_UP_FLOORS:
        verdict, reason, detail = "agrees", ADDS_UP, ""
    if verdict == "agrees" and not reason and (wide := _too_wide(known, problem)):
        verdict, reason, detail = UNRESOLVED, FLOOR_TOO_WIDE, wide
    if not reason and amplification is not None and amplification >= AMPLIFIED:
        reason = AMPLIFIES
        detail = _amplified_detail(known)
    whole = known.complete and len(ran.losses) == len(known.path.losses)
    return Training(
        backend=backend,
        verdict=verdict,
        optimiser=known.optimiser.name,
        own_loop=not len(ran.gradients),
        steps=len(ran.losses) - 1,
        checked_steps=len(floors["loss"]) - 1,
        initial_loss=finite(ran.losses[0]),
        final_loss=finite(ran.losses[-1]),
        reference_loss=finite(known.path.losses[-1]) if known.complete else None,
        floors=largest,
        first_divergence=step,
        diverged=diverged,
        reason=reason,
        detail=detail,
        amplification=amplification,
        loop_s=loop_s,
        losses=[finite(loss) for loss in ran.losses],
        recorded_steps=[int(k) for k in ran.steps],
        loss_floors=[finite(value) for value in floors["loss"]],
        parameter_floors={
            name: [finite(value) for value in found] for name, found in floors.items() if name in known.floors
        },
        evaluations=ran.evaluations,
        reference_evaluations=known.evaluations,
        stopped=ran.stopped or ("" if whole else known.path.stopped),
    )


def as_at_the_start(ran: Training, findings: Sequence[Finding]) -> Training:
    """A run of a backend whose formula is poor where it starts is unstable, and no more wrong than its blocks are.

    Nor does rounding add up where the gradient is wrong beneath one of its larger entries (`gradparity.judge.steady`).
    """
    verdicts = {found.verdict for found in findings if found.backend == ran.backend}
    poor = "unstable" in verdicts and "wrong" not in verdicts
    if poor and ran.verdict == "wrong" and ran.reason in (GRADIENT_WRONG, LOSS_WRONG):
        return msgspec.structs.replace(ran, verdict="unstable", reason=POOR)
    of_gradient = (f for f in findings if f.backend == ran.backend and f.quantity == "gradient")
    if ran.reason == ADDS_UP and any(found.verdict == "wrong" for found in of_gradient):
        return msgspec.structs.replace(ran, verdict="wrong", reason=GRADIENT_WRONG)
    return ran


def _without_reference(backend: str, ran: Path, known: Trajectory, why: str, loop_s: float) -> Training:
    """A run of which nothing can be said from its first loss on, and why."""
    return Training(
        backend=backend,
        verdict=UNRESOLVED,
        optimiser=known.optimiser.name,
        own_loop=not len(ran.gradients),
        steps=max(0, len(ran.losses) - 1),
        checked_steps=0,
        initial_loss=finite(ran.losses[0]) if len(ran.losses) else None,
        final_loss=finite(ran.losses[-1]) if len(ran.losses) else None,
        reference_loss=None,
        floors=None,
        first_divergence=None,
        reason=why,
        loop_s=loop_s,
        losses=[finite(loss) for loss in ran.losses],
        stopped=ran.stopped or known.path.stopped,
    )


def _too_wide(known: Trajectory, problem: AnyProblem) -> str:
    """Whether an error that is seen would pass from the first step on, before any dynamics can amplify it."""
    floor, loss = float(known.loss_floor[0]), float(known.path.losses[0])
    if not (math.isfinite(floor) and math.isfinite(loss)):
        return "the loss at the start, or its floor, is not a finite number"
    largest = max(abs(loss), _finite_max(np.abs(known.path.losses)) or 0.0)
    if largest <= PATH_FLOORS * floor <= float(np.finfo(problem.spec.dtype).eps):
        return ""  # it starts at a minimum of 0, and stays
    if PATH_FLOORS * floor <= max(SHARES[problem.spec.dtype] * largest, float(np.finfo(problem.spec.dtype).tiny)):
        return ""
    return f"an error of {PATH_FLOORS * floor:.2g} in a loss of {largest:.3g} would pass"


def _errors_in_floors(ran: Path, known: Trajectory, problem: AnyProblem) -> tuple[dict[str, Extended], dict[str, Any]]:
    """Errors of the losses, of each parameter's root mean square and of the last loss, with their step numbers.

    Compared up to where the shorter ends, or where the reference nears the end of the dtype's range: its square is
    formed on the way to a loss.
    """
    limit = np.sqrt(np.longdouble(np.finfo(problem.spec.dtype).max))
    with np.errstate(all="ignore"):
        inside = np.abs(known.path.params).max(axis=1) < limit
        last = known.path.steps[-1] if inside.all() else known.path.steps[np.argmin(inside)] - 1
        losses_inside = np.abs(known.path.losses) < limit
        resolved = np.isfinite(known.loss_floor)  # from where a floor is no number, nothing is known
        ends = [last, len(known.loss_floor) - 1, len(ran.losses) - 1]
        ends += [] if resolved.all() else [int(np.argmin(resolved)) - 1]
        ends += [] if losses_inside.all() else [int(np.argmin(losses_inside)) - 1]
        end = max(0, min(ends))

        error = np.abs(ran.losses[: end + 1].astype(np.longdouble) - known.path.losses[: end + 1])
        floors = {"loss": in_floors(error, known.loss_floor[: end + 1])}
        steps: dict[str, Any] = {"loss": np.arange(end + 1)}
        common, ours, theirs = np.intersect1d(ran.steps, known.path.steps[known.path.steps <= end], return_indices=True)
        for name, block in blocks(problem).items():
            off = ran.params[ours][:, block].astype(np.longdouble) - known.path.params[theirs][:, block]
            floors[name] = in_floors(np.sqrt(np.mean(off * off, axis=1)), known.floors[name][theirs])
            steps[name] = common
        if known.complete and inside.all() and losses_inside.all():
            # Runs of L-BFGS end where they will: the last losses are compared, whatever their number.
            off = np.abs(ran.losses[-1:].astype(np.longdouble) - known.path.losses[-1])
            floors["final loss"] = in_floors(off, known.final_floor)
            steps["final loss"] = np.array([len(ran.losses) - 1])
    return floors, steps


def _explain(
    backend: str,
    ran: Path,
    known: Trajectory,
    problem: AnyProblem,
    end: int,
    step: int | None,
    shared: Training | None,
    oracle: Oracle,
) -> tuple[Verdict, str, str]:
    """Verdict, reason and its figures, for a run compared to ``end`` that leaves its floor at ``step``, if at all."""
    if not len(ran.gradients):
        return _explain_own_loop(ran, known, step, shared) if step is not None else ("agrees", "", "")
    found = first_wrong(backend, ran, problem, steps_to_judge(ran, oracle.points(problem), end, step), oracle)
    if found is not None:
        at, finding = found
        kind = GRADIENT_WRONG if finding.quantity in ("gradient", PROJECTION) else LOSS_WRONG
        return (
            finding.verdict,
            NOT_FINITE if finding.verdict == "nonfinite" else kind,
            f"at step {at}, {in_words(finding)}",
        )
    if step is None:
        return "agrees", "", ""
    # The optimiser is our own code: with every gradient right there is nothing left but rounding.
    if isinstance(known.optimiser, LBFGS) and ran.evaluations != known.path.evaluations:
        counts = f"{ran.evaluations} evaluations against {' to '.join(map(str, sorted(set(known.evaluations))))}"
        return "agrees", AMPLIFIES, f"its line searches turn on one rounding of the loss: {counts}"
    if _amplification_at(known, step) >= AMPLIFIED:
        return "agrees", AMPLIFIES, _amplified_detail(known)
    if met := kink_before(ran, problem, oracle, step):
        return "kink", KINK, f"diverges at step {step}: {met}"
    if has_convention(backend, ran, problem, oracle):
        return "agrees", PARTS, f"from step {max(step, 1)} on"
    return "unstable", ADDS_UP, ""


def _explain_own_loop(ran: Path, known: Trajectory, step: int, shared: Training | None) -> tuple[Verdict, str, str]:
    """The loop keeps no gradients: what our optimiser found with the same ones decides."""
    if shared is not None and (shared.verdict != "agrees" or shared.reason in (KINK, PARTS)):
        return shared.verdict, shared.reason, shared.detail
    if not np.isfinite(ran.losses[step]):
        return "nonfinite", NOT_FINITE, f"loss {ran.losses[step]} at step {step}"
    if _amplification_at(known, step) >= AMPLIFIED:
        return "agrees", AMPLIFIES, _amplified_detail(known)
    return "wrong", LOOP_WRONG if shared is not None else "", ""


def _amplified_detail(known: Trajectory) -> str:
    over = np.flatnonzero(known.amplification >= AMPLIFIED)
    largest = _finite_max(known.amplification)
    if not over.size or largest is None:
        return ""
    return (
        f"from step {int(known.path.steps[over[0]])} on, runs that differ by one rounding are over {AMPLIFIED:,.0f} "
        f"roundings apart; {largest:.2g} at most"
    )


def _amplification_at(known: Trajectory, step: int) -> float:
    """At the last step that was kept before ``step``, or at the end."""
    index = min(int(np.searchsorted(known.path.steps, step)), len(known.amplification) - 1)
    value = float(known.amplification[index])
    return value if not math.isnan(value) else math.inf


def _first_beyond(floors: Extended, steps: Any) -> int | None:
    beyond = np.flatnonzero(~(floors <= PATH_FLOORS))  # a NaN is beyond
    return int(steps[beyond[0]]) if beyond.size else None


def _finite_max(values: Extended) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else None
