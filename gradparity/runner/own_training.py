"""Training as the user wrote it: every backend with steps of its own runs them, and the runs are held together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.figures import finite
from gradparity.judge.own_blame import blamed, other_losses, trained_constant, with_rules
from gradparity.judge.own_state import state_notes, state_told
from gradparity.judge.own_training import (
    Divergence,
    agreed_before,
    chosen_pairs,
    compared,
    first_divergence,
    not_finite,
    recorded_from_the_start,
)
from gradparity.model_spec.user_spec import UserSpec
from gradparity.numerics.update_rules import Identified, identify
from gradparity.processes.deadline import Deadline, waited_s
from gradparity.processes.machine import usable_cores
from gradparity.processes.peer import WorkerFailed
from gradparity.results.own_training import OwnDivergence, OwnRun, OwnTraining
from gradparity.runner.cases import Cell
from gradparity.runner.crew import Crew, Member
from gradparity.runner.record import Recorder
from gradparity.worker import messages as m
from gradparity.worker.wire import Host

if TYPE_CHECKING:
    from gradparity.oracle.messages import DrawnBatches

#: Runs that are moved by roundings, as many as the reference runs have.
DRAWS = 8
#: Draws of a gradient's floor, where it may be to blame and where rules are held to a whole run.
BLAME_DRAWS, RULE_DRAWS = 16, 4
#: Floors that a gradient within a step may be off the same one outside of it: compiled together, it rounds otherwise.
GRADIENT_FLOORS = 8.0
_NO_NUMBER = "the loss is no finite number from step"
#: Numbers, steps times parameters, in which a rule is looked for.
MOST_NUMBERS = 4_000_000


def members_with(has: Callable[[m.Loaded], bool], crew: Crew) -> dict[str, Member]:
    """Backends whose port has something of its own, ended or not; one that compiles another's port has not."""
    found = {}
    for name, member in crew.members.items():
        registration = crew.registration(name)
        same = registration.compiler and registration.family in crew.names
        if member.loaded is not None and has(member.loaded) and not is_twin(name) and not same:
            found[name] = member
    return found


class OwnSteps:
    """The runs of one problem.

    Args:
        cell: the problem.
        drawn: its batches, or none where every step takes the data.
        crew: the backends' processes.
        recorder: takes what is found.
        deadline: of the problem's budget.
    """

    def __init__(
        self, cell: Cell, drawn: DrawnBatches, crew: Crew, recorder: Recorder, deadline: Deadline
    ) -> None:  # fmt: skip
        self.cell, self.crew, self.recorder, self.deadline = cell, crew, recorder, deadline
        self.batches, self.steps = drawn.batches, cell.settings.steps
        spec, data = cell.problem.spec, cell.problem.data
        self.constants = {k: data[v] for k, v in spec.constants.items()} if isinstance(spec, UserSpec) else {}
        self.notes, self.missing = list[str](), dict[str, str]()
        if self.batches and len(self.batches) < self.steps:
            self.notes.append(f"{len(self.batches):,} of {self.steps:,} steps: {drawn.ended}")
            self.steps = len(self.batches)

    def compare(self) -> None:
        """Run all, hold them together, and write down what was found."""
        trains, workers = members_with(lambda loaded: loaded.trains, self.crew), self.crew.workers
        if not trains:
            return
        members = {name: member for name, member in trains.items() if name in workers}
        self.missing |= {name: self.crew.gone.get(name, "its process had ended") for name in trains.keys() - members}
        slots = max(1, usable_cores() // self.cell.settings.threads)
        with ThreadPoolExecutor(slots) as pool:
            answers = pool.map(lambda member: self._run(member, self.steps), members.values())
            runs = {name: run for name, run in zip(members, answers, strict=True) if run is not None}
        problem = self.cell.problem
        start, dtype = problem.params, problem.spec.dtype
        steady = {name: run for name, run in runs.items() if not run.again}
        apart = chosen_pairs(steady, start, dtype) if steady else []
        divergences = [self._pinned((name, other), found, steady) for name, other, found in apart]
        wanted = {name for each in divergences for name in each.backends} or ({*steady} if len(runs) == 1 else {*()})
        last = max((each.step for each in divergences), default=0)
        rules = self._rules({name: run for name, run in steady.items() if name in wanted}, last)
        divergences = [with_rules(each, rules) for each in divergences]
        until, unseen = compared(steady, start, dtype) if steady else (0, [])
        first, *others = [name for name in steady if not any(name in each.backends for each in divergences)] or [""]
        for name in others:
            self.notes += state_notes((first, name), steady[first], steady[name], dtype)
        ends = not_finite(steady)
        if ends and min(ends.values()) <= until + 1:
            unseen = []  # that there is no number is why
        count = min((len(run.losses) for run in runs.values()), default=0)
        self.recorder.own_training(
            OwnTraining(
                steps=count,
                compared=until,
                batches=len(self.batches),
                runs=[_recorded(name, run, rules.get(name)) for name, run in runs.items()],
                divergences=divergences,
                missing=self.missing,
                notes=[
                    *self.notes,
                    *(f"{name}: the loss is no finite number from step {k:,} on" for name, k in ends.items()),
                    *unseen,
                ],
            )
        )

    def _run(self, member: Member, steps: int, after: int = 0) -> m.StepsTaken | None:
        """The run of one backend; ``None`` where it failed, which is written down."""
        self.recorder.begin("training as it is written", member.name)
        seconds = self.deadline.stage_s("training")
        request = m.TakeSteps(steps, self.batches[:steps], DRAWS, seconds, after)
        try:
            found = member.worker.ask(request, share_s=2 * waited_s(seconds))
        except WorkerFailed as failure:
            if not failure.alive:  # one whose step raises has its gradients timed all the same
                self.crew.lose(member.name, failure)
            self.recorder.lost(member.name, failure, [])
            if not after:  # again, nearer to where it parts: it has been compared
                self.missing[member.name] = failure.reason
            return None
        finally:
            self.recorder.end(member.name)
        if found.stopped:
            self.recorder.leave_out(f"{member.name}: {len(found.losses):,} of {steps:,} steps of its own")
        return found

    def _pinned(self, names: tuple[str, str], found: Divergence, runs: Mapping[str, m.StepsTaken]) -> OwnDivergence:
        """A divergence at its very first step: where steps before it were not recorded, they are run once more."""
        problem, record = self.cell.problem, found.record(names)
        one, other = (runs[name] for name in names)
        detail = trained_constant(record.what, names, runs, self.constants)
        if detail:
            return msgspec.structs.replace(record, detail=detail)
        step, known = found.step, agreed_before(one, other, found.step)
        there = _at(other, known, problem.params)
        while known < step - 1:
            first, second = (self._run(self.crew.members[name], step, known) for name in names)
            if first is None or second is None:
                break
            closer = first_divergence(first, second, problem.params, problem.spec.dtype)
            if closer is None:
                break
            before, agreed = (step, known), agreed_before(first, second, closer.step)
            if agreed > known:
                known, there = agreed, _at(second, agreed, there)
            step, record = closer.step, msgspec.structs.replace(closer.record(names), later=record.later)
            if (step, known) == before:
                break
        if known < step - 1:
            return record
        points = {key: value[None] for key, value in there.items()}
        held = {key: value[None] for key, value in self._constants(other, known).items()}
        given = [self._gradients(name, points, known, constants=held) for name in names]
        if given[0] is None or given[1] is None:
            return record
        blame, detail = blamed(given[0], given[1], record.what, problem.spec.dtype)
        if blame == "update":
            returned = float(one.losses[step - 1]), float(other.losses[step - 1])
            detail += other_losses(names, returned, (given[0], given[1]), problem.spec.dtype)
        if blame == "state":
            batch = self.batches[0].arrays if self.batches else problem.data
            factor = state_told(record.what.removeprefix("state "), names, (one, other), batch)
            detail = f"the state differs from step {record.step:,}, and no parameter: {factor}" if factor else detail
        return msgspec.structs.replace(record, blame=blame, detail=detail)

    def _gradients(
        self,
        name: str,
        points: Mapping[str, Host],
        begin: int,
        draws: int = BLAME_DRAWS,
        constants: Mapping[str, Host] = MappingProxyType({}),
    ) -> m.GradientsGiven | None:
        """A backend's own gradients at some points of a run, of steps after ``begin``; ``None`` where it failed.

        It has trained, and is held to that: what it is asked beyond is ours.
        """
        self.recorder.begin("gradients on the way", name)
        count = len(next(iter(points.values())))
        request = m.GiveGradients(dict(points), self.batches[begin : begin + count], draws, dict(constants))
        try:
            seconds = self.deadline.stage_s("training")
            return self.crew.members[name].worker.ask(request, share_s=waited_s(seconds))
        except WorkerFailed as failure:
            self.recorder.leave_out(f"{name}: {failure.stage}: {failure.reason}")
            return None
        finally:
            self.recorder.end(name)

    def _rules(self, runs: Mapping[str, m.StepsTaken], last: int) -> dict[str, Identified]:
        """The update rules that some runs obey, by their own gradients, up to some steps after the last divergence."""
        problem, found = self.cell.problem, dict[str, Identified]()
        for name, run in runs.items():
            steps = recorded_from_the_start(run, last, MOST_NUMBERS // problem.spec.size)
            if not steps:
                continue
            path = {key: np.concatenate([problem.params[key][None], run.params[key][:steps]]) for key in run.params}
            before = [self._constants(run, step) for step in range(steps)]
            held = {key: np.stack([each[key] for each in before]) for key in before[0]}
            points = {key: value[:-1] for key, value in path.items()}
            given = self._gradients(name, points, 0, RULE_DRAWS, held)
            if given is not None and not given.missing:
                errors = {key: GRADIENT_FLOORS * value for key, value in given.floors.items()}
                self.recorder.begin("update rule", name)
                found[name] = identify(path, given.gradients, problem.spec.dtype, gradient_errors=errors)
                self.recorder.end(name)
        return found

    def _constants(self, run: m.StepsTaken, step: int) -> dict[str, Host]:
        """What a run has made of constants among the parameters after a step that was recorded; 0 is the start."""
        known = {path: value for path, value in self.constants.items() if path in run.state}
        return {path: run.state[path][run.recorded.index(step)] for path in known} if step else known


def _at(run: m.StepsTaken, step: int, start: Mapping[str, Host]) -> Mapping[str, Host]:
    """The parameters after a step that was recorded; 0 is the start."""
    if not step:
        return start
    return {name: value[run.recorded.index(step)] for name, value in run.params.items()}


def _recorded(name: str, run: m.StepsTaken, rule: Identified | None) -> OwnRun:
    return OwnRun(
        backend=name,
        steps=len(run.losses),
        losses=[finite(loss) for loss in run.losses],
        seconds=run.seconds,
        rule=str(rule) if rule is not None else "",
        rule_steps=rule.steps if rule is not None else 0,
        again=run.again,
        stopped=run.stopped,
    )
