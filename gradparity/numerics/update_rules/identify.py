"""Which rule the updates of a run obey: every known form is tried, and one is named only where it holds everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.model_spec.precisions import PRECISIONS
from gradparity.numerics.update_rules.forms import LEVELS, Levels
from gradparity.numerics.update_rules.holding import GRADIENT_ROUNDINGS, Run, against, equations, held, wide
from gradparity.numerics.update_rules.rules import Group, Identified, Rule
from gradparity.numerics.update_rules.schedules import SPARE
from gradparity.numerics.update_rules.search import Deadline, Fit, Search, holding, ruled, telling

Array: TypeAlias = npt.NDArray[Any]
Blocks: TypeAlias = Mapping[str, Array]

#: A rule is held against so many numbers at most, steps times entries; of more, entries are taken at even distances.
MOST_NUMBERS = 4_000_000
#: A rule is looked for in so many numbers, and held to all; entries at which it does not hold join, so many times.
SAMPLED, REFINED = 40_000, 4
#: A search of a usual run takes one of these.
SECONDS = 8.0
#: So many blocks are searched each for a rule of its own that is not known; of others it is said that they were not.
MOST_FAILURES = 3


def identify(
    path: Array | Blocks,
    gradients: Array | Blocks,
    dtype: str,
    *,
    gradient_errors: Array | Blocks | None = None,
    seconds: float = SECONDS,
) -> Identified:
    """The rule that each block obeys to rounding, with its numbers, and what cannot be told apart from it.

    Args:
        path: ``(T + 1, n)``, or by name of block ``(T + 1, *shape)``: parameters before the first step and after each.
        gradients: ``(T, n)``, or by name ``(T, *shape)``: the same backend's, at the parameters before each step.
        dtype: that the backend steps in, ``"float32"``: its roundings are what a rule is held to.
        seconds: of processor time, after which no more rules are tried; that is said where none was found by then.
        gradient_errors: like ``gradients``: by how much the gradients that were stepped with may differ from these.

    Raises:
        ValueError: shapes do not belong together, or there is no step.
    """
    blocks = _blocks(path, gradients, gradient_errors)
    steps = len(next(iter(blocks.values()))[1])
    precision = PRECISIONS[str(dtype)]
    unit, tiny = precision.unit, precision.tiny
    norms = np.sqrt(sum((g.reshape(steps, -1) ** 2).sum(axis=1) for _, g, _ in blocks.values()))
    runs = {name: _run(*parts, norms, unit, tiny) for name, parts in blocks.items()}
    still = [name for name, run in runs.items() if not run.moved.any()]
    moving = {name: run for name, run in runs.items() if name not in still}
    groups: list[Group] = []
    if moving:
        groups = _groups(moving, Deadline(seconds))
    if still:
        for why, names in _by_why({name: blocks[name][1:] for name in still}).items():
            groups.append(Group(tuple(names), holds_until=steps, frozen=True, why=why))
    checked = sum(run.gradients.shape[1] for run in runs.values())
    return Identified(tuple(groups), steps, precision.name, checked)


def _by_why(blocks: Mapping[str, tuple[Array, Array | None]]) -> dict[str, list[str]]:
    """Names of blocks that never move, by why, as gradients and their errors say; ``""`` where that is the step's."""
    found: dict[str, list[str]] = {}
    for name, (gradients, errors) in blocks.items():
        size = np.linalg.norm(gradients)
        rounding = errors is not None and bool(size <= np.linalg.norm(errors))
        why = "its gradient is nothing but rounding" * rounding if size else "its gradient is 0 at every step"
        found.setdefault(why, []).append(name)
    return found


def _groups(runs: Mapping[str, Run], deadline: Deadline) -> list[Group]:
    """Blocks by the rule that they follow: one for all, or the largest block's first and what differs from it after."""
    whole = _union(list(runs.values()))
    alone = len(runs) == 1
    together = _group(tuple(runs), whole, LEVELS if alone else LEVELS[:2], deadline, partly=alone)
    if together.rule is not None or len(runs) == 1:
        return [together]
    groups: list[Group] = []
    failed = 0
    for name in sorted(runs, key=lambda each: -runs[each].gradients.shape[1]):
        run = runs[name]
        known = [(i, group, group.rule) for i, group in enumerate(groups) if group.rule is not None]
        for i, group, rule in known:
            if joined := _joined(group, rule, name, run):
                groups[i] = joined
                break
        else:
            # Where others fitted too, they may fit here with other numbers: that is looked for anew
            told = (rule for _, group, rule in known if not group.rivals)
            near = next((found for rule in told if (found := _varied(name, rule, run))), None)
            if near is None and failed < MOST_FAILURES:
                near = _group((name,), run, LEVELS, deadline)
                failed += near.rule is None
            groups.append(
                near or Group((name,), why="the rules of other blocks do not hold, and others were not tried")
            )
    if len(groups) > 1 and all(group.rule is None for group in groups):  # each too small, perhaps
        return [_group(tuple(runs), whole, LEVELS, deadline)]
    named = [group for group in groups if group.rule is not None]
    reasons = dict.fromkeys(group.why for group in groups if group.rule is None)
    return named + [
        Group(tuple(name for group in groups if group.why == why for name in group.blocks), why=why) for why in reasons
    ]


def _joined(group: Group, rule: Rule, name: str, run: Run) -> Group | None:
    """The group with one block more, where its rule holds there at its own learning rate."""
    holds = held(rule.form, rule.numbers, run)
    rates = np.broadcast_to(np.array(rule.learning_rate), len(holds.low))
    slack = holds.common + holds.lasting + rule.precision
    if not np.all((holds.low * (1 - slack) <= rates) & (rates <= holds.high * (1 + slack))):
        return None
    deviation = max(group.deviation, float(holds.roundings.max()))  # rivals stay: with other numbers they may hold
    return msgspec.structs.replace(group, blocks=(*group.blocks, name), deviation=deviation)


def _varied(name: str, rule: Rule, run: Run) -> Group | None:
    """The same rule with another learning rate, or without decay, where that holds for a block."""
    plain = msgspec.structs.replace(rule.form, decay="none")
    without = {each: value for each, value in rule.numbers.items() if each != "weight_decay"}
    free = len(rule.learning_rate) > 1
    for form, numbers in ((rule.form, rule.numbers), (plain, without)):
        holds = held(form, numbers, run)
        if holding(holds, free) and equations(run, free) >= SPARE:
            varied = ruled(form, numbers, holds, run, free=free)
            return Group((name,), varied, (), float(holds.roundings.max()), len(holds.low))
    return None


def _group(names: tuple[str, ...], run: Run, levels: Levels, deadline: Deadline, *, partly: bool = True) -> Group:
    steps, n = run.gradients.shape
    few = f"{steps} step{'s' * (steps > 1)} of {n} entr{'ies' if n > 1 else 'y'} are too few to tell rules apart"
    if equations(run, free=False) < SPARE:
        return Group(names, why=few)
    entries: Array = np.arange(n)
    if steps * n > SAMPLED:
        entries = telling(run, max(SAMPLED // steps, 64))
    tried = levels
    for _ in range(REFINED):
        part = run.taken(entries, steps) if len(entries) < n else run
        search = Search(part, deadline)
        found = search.found(tried)
        proven = found if part is run else _proven(found, run, part)
        if proven or (not found and tried is levels):
            break
        if found:  # what did not hold at some entries does not hold at more
            entries = np.union1d(entries, against(found[0].form, found[0].numbers, run))
        tried = ((tuple(fit.form for fit in found), found[0].free),) if found else levels
    if proven:
        first, *others = proven
        deviation = float(first.holds.roundings.max())
        others = [other for other in others if str(other.rule) != str(first.rule)]  # in SGD, L2 and decoupled are one
        if not others and (first.rule.vague or not search.tells(first)):
            return Group(names, why=f"{few}: {first.rule} holds, and others may")
        return Group(names, first.rule, tuple(other.rule for other in others), deviation, steps)
    if found:
        return Group(names, why="no known rule holds at every entry")
    if deadline.over:
        return Group(names, why=f"none of the rules that were tried in {deadline.seconds:g} s holds")
    if search.untried:
        return Group(names, why=few)
    if partly and (begun := search.partly()):
        rule, deviation, until = begun
        return Group(names, rule, (), deviation, until, why=f"it holds up to step {until}, and not at the next")
    return Group(names, why="no known rule holds")


def _proven(found: list[Fit], run: Run, part: Run) -> list[Fit]:
    """Of rules that hold at some entries those that do so at all."""
    proven = []
    for fit in found:
        holds = held(fit.form, fit.numbers, run)
        if holding(holds, fit.free):
            rule = ruled(fit.form, fit.numbers, holds, part, free=fit.free)
            proven.append(Fit(fit.form, fit.numbers, holds, rule, fit.free))
    return proven


def _union(runs: list[Run]) -> Run:
    first = runs[0]
    parts = [
        np.concatenate(part, axis=1) for part in zip(*((r.params, r.gradients, r.errors) for r in runs), strict=True)
    ]
    whole = Run(parts[0], parts[1], parts[2], first.norms, first.unit, first.tiny)
    steps, n = whole.gradients.shape
    if steps * n <= MOST_NUMBERS:
        return whole
    return whole.taken(np.unique(np.linspace(0, n - 1, max(MOST_NUMBERS // steps, 64)).astype(np.int64)), steps)


def _blocks(path: Any, gradients: Any, errors: Any) -> dict[str, tuple[Array, Array, Array | None]]:
    if not isinstance(path, Mapping):
        path, gradients = {"": path}, {"": gradients}
        errors = None if errors is None else {"": errors}
    if set(path) != set(gradients) or not path:
        raise ValueError(f"path has blocks {sorted(path)}, gradients {sorted(gradients)}")
    found = {}
    for name, params in path.items():
        p, g = np.asarray(params), np.asarray(gradients[name])
        if len(g) == 0 or p.shape != (len(g) + 1, *g.shape[1:]):
            raise ValueError(f"{name or 'path'}: {p.shape} and gradients {g.shape}: not T + 1 and T steps of one shape")
        found[name] = (p, g, None if errors is None else np.asarray(errors[name]))
    if len({len(g) for _, g, _ in found.values()}) > 1:
        raise ValueError("blocks have different numbers of steps")
    return found


def _run(path: Array, gradients: Array, errors: Array | None, norms: Array, unit: float, tiny: float) -> Run:
    steps, dtype = len(gradients), wide(unit)
    params = path.reshape(steps + 1, -1).astype(dtype)
    g = gradients.reshape(steps, -1).astype(dtype)
    off = GRADIENT_ROUNDINGS * unit * np.abs(g)
    if errors is not None:
        off += errors.reshape(steps, -1)
    return Run(params, g, off, norms.astype(dtype), unit, tiny)
