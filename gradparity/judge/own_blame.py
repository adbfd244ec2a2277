"""What of a step is to blame where two runs first diverge: the gradient it takes, or what it does with it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from gradparity.formatting import large
from gradparity.judge.own_training import LOSS, OWN_ROUNDINGS
from gradparity.judge.training import PATH_FLOORS
from gradparity.numerics.update_rules import Identified, compare
from gradparity.results.own_training import Blame, OwnDivergence
from gradparity.worker.step_messages import GradientsGiven, StepsTaken
from gradparity.worker.wire import Host

_THERE = "at the parameters before that step"


def blamed(one: GradientsGiven, other: GradientsGiven, what: str, dtype: str) -> tuple[Blame, str]:
    """What is to blame, and how that is known.

    Args:
        one: losses and gradients of ``loss(params, batch)`` at the last parameters at which both runs agree.
        other: those of the other backend, at the same parameters.
        what: diverges first.
        dtype: the precision of the problem.

    Returns:
        ``"gradient"`` or ``"loss"`` where they differ by more than their floors; otherwise ``"update"``, or
        ``"returned loss"`` where it is only that which differs, ``"state"`` where no parameter does; ``""`` where it
        cannot be told, with the reason.
    """
    missing = one.missing or other.missing
    if missing:
        return "", f"whether the gradient or the update is to blame is not known: {missing}"
    unit = float(np.finfo(dtype).eps) / 2
    blocks = dict(_apart(one, other, unit))
    loss_floors, loss_relative = blocks.pop(LOSS)
    worst = max(blocks, key=lambda name: blocks[name][0])
    floors, relative = blocks[worst]
    if what == LOSS and loss_floors > PATH_FLOORS:
        return "loss", f"the loss is to blame: {_THERE} loss(params, batch) {_differs(loss_relative)}"
    if floors > PATH_FLOORS:
        by = f"differ in {worst} by {relative:.2g} of it, {large(floors)} floors"
        by = by if np.isfinite(relative) else f"are finite numbers in one of them only, in {worst}"
        said = f"gradients of loss(params, batch) {by}"
        too = ", and so does that loss" if loss_floors > PATH_FLOORS else ""
        return "gradient", f"the gradient is to blame: {_THERE} {said}{too}"
    agree = f"{_THERE} both gradients of loss(params, batch) agree, to {large(floors)} floors"
    if what == LOSS:
        return "returned loss", f"the loss that a step returns is another: {agree}, and so does that loss"
    if what.startswith("state "):
        return "state", f"what the step makes of its state is to blame: no parameter differs, and {agree}"
    return "update", f"the update is to blame: {agree}"


def other_losses(
    names: tuple[str, str],
    returned: tuple[float, float],
    given: tuple[GradientsGiven, GradientsGiven],
    dtype: str,
) -> str:
    """Whose step returns another loss than that of ``loss(params, batch)``, at one point; ``""`` for nobody's.

    Its gradient may be another then, too, and a rule that is found by those of ``loss(params, batch)`` takes that in:
    twice a gradient is half an eps.
    """
    unit, said = float(np.finfo(dtype).eps) / 2, []
    for name, value, its in zip(names, returned, given, strict=True):
        loss, floor = float(its.losses[0]), float(its.loss_floors[0])
        size = max(abs(loss), abs(value))
        if np.isfinite(size) and abs(value - loss) > PATH_FLOORS * np.hypot(floor, OWN_ROUNDINGS * unit * size):
            times = f"{value / loss:.4g} times" if loss else f"{value:.3g}, not 0,"
            said.append(f"{name}'s step returns {times} the loss of loss(params, batch)")
    return f"; but {', and '.join(said)}: its gradient may be another, too" if said else ""


def _differs(relative: float) -> str:
    return f"differs by {relative:.2g} of it" if np.isfinite(relative) else "is a finite number in one of them only"


def trained_constant(
    what: str,
    names: tuple[str, str],
    runs: Mapping[str, StepsTaken],
    constants: Mapping[str, Host],
) -> str:
    """That one step alone moves a constant among the parameters; ``""`` where it is not that which diverges."""
    path = what.removeprefix("state ")
    if path == what or path not in constants:
        return ""
    moves = [name for name in names if not np.array_equal(runs[name].state[path][-1], constants[path])]
    if len(moves) != 1:
        return ""
    (still,) = {*names} - {*moves}
    return f"{moves[0]}'s step moves {path}, which is a constant of the model, and {still}'s does not"


def with_rules(found: OwnDivergence, rules: Mapping[str, Identified]) -> OwnDivergence:
    """The same with what the rules of both differ in, where both are known at the step at which they diverge."""
    one, other = (rules.get(name) for name in found.backends)
    if one is None or other is None or min(one.steps, other.steps) < found.step:
        return found
    return msgspec.structs.replace(found, rules=compare(one, other))


def _apart(one: GradientsGiven, other: GradientsGiven, unit: float) -> Iterator[tuple[str, tuple[float, float]]]:
    """The loss and each block: the difference over its floor, and over its size."""
    yield LOSS, _block((one.losses, other.losses), (one.loss_floors, other.loss_floors), unit, 0.0)
    gradients = one.gradients, other.gradients
    # One that is zero by cancellation has no digits of its own: terms of the largest are rounded.
    largest = max((_rms(value) for tree in gradients for value in tree.values()), default=0.0)
    for name, value in one.gradients.items():
        floors = one.floors[name], other.floors[name]
        yield name, _block((value, other.gradients[name]), floors, unit, unit * largest)


def _block(values: tuple[Host, Host], floors: tuple[Host, Host], unit: float, least: float) -> tuple[float, float]:
    with np.errstate(all="ignore"):
        apart, sizes = _rms(values[0].astype(np.longdouble) - values[1]), [_rms(value) for value in values]
        size = float(np.fmax(sizes[0], sizes[1]))
        parts = *map(_rms, floors), OWN_ROUNDINGS * unit * size, least
        if apart == 0 or not np.isfinite(sizes).any():
            return 0.0, 0.0
        found = float(np.divide(apart, np.linalg.norm(parts)))
        return found if not np.isnan(found) else np.inf, float(np.divide(apart, size))


def _rms(values: Host) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(values, np.longdouble)))))
