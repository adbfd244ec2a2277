"""Drive the workers through the measuring protocol: one active at a time, in ABBA turns against a reference."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from gradparity.benchmark.profiles import Profile
from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import Round
from gradparity.benchmark.schedule import Schedule, Turn, is_twin, twin
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import UNLIMITED, Deadline
from gradparity.processes.peer import WorkerFailed
from gradparity.results import Timed
from gradparity.worker import messages as m
from gradparity.worker.wire import Arrays


class Listener:
    """Is told of what happens while the turns are taken."""

    def lost(self, name: str, failure: WorkerFailed) -> None:  # noqa: ARG002
        """Take a worker that failed; the others go on, unless this raises."""
        raise failure

    def compared_with(self, reference: str, timed: Collection[str]) -> str:  # noqa: ARG002
        """The reference, or who takes its place, of those that were warmed up."""
        return reference

    def begin(self, stage: str, backend: str) -> None:
        """Take a stage that starts."""

    def expect(self, seconds: float) -> None:
        """Take how many seconds all turns of one kind of call will need."""


@dataclass
class Turns:
    """One kind of call in one process pair: who has warmed up, the last timed output of each, and how many rounds.

    ``active`` was called last. ``cut``: the time budget ended them before all that were planned.
    """

    call: m.Call
    workers: Mapping[str, WorkerProcess]
    timed: dict[str, Timed] = field(default_factory=dict)
    outputs: dict[str, Arrays] = field(default_factory=dict)
    planned: int = 0
    done: int = 0
    cut: bool = False
    active: str = ""


@dataclass(frozen=True)
class Timer:
    """Times workers that have loaded a problem, within one set of processes.

    ``seed`` and ``pair`` fix the order of the turns. Beyond ``deadline`` no further turn begins.
    """

    profile: Profile
    listener: Listener = field(default_factory=Listener)
    seed: int = 0
    pair: int = 0
    deadline: Deadline = UNLIMITED

    def measure(
        self,
        workers: Mapping[str, WorkerProcess],
        reference: str,
        into: Callable[[str], Timed],
        call: m.Call = "step",
        *,
        steps: Mapping[str, int] | None = None,
        learning_rate: float = 0.0,
    ) -> Turns:
        """Rounds of every worker against the reference.

        Args:
            workers: by name; the reference's twin, if there is one, gives the A/A control.
            reference: the name that the others are compared with.
            into: where what is timed of a worker is written as it is taken, so that an interruption loses none of it.
            call: what is timed.
            steps: gradient steps that a call of each makes, for a loop.
            learning_rate: of those steps.

        Returns:
            What was taken, and who took part.
        """
        turns = Turns(call, dict(workers))  # whoever is told of a loss may take it out of the caller's
        for name, worker in turns.workers.items():
            self.listener.begin("warm-up", name)
            count = steps[name] if steps else 1
            request = m.Warm(self.profile.name, self.profile.block_ns, call, count, learning_rate)
            try:
                warmed = worker.ask(request)
            except WorkerFailed as failure:
                self.listener.lost(name, failure)
                continue
            turns.timed[name] = timed = into(name)
            _add_pair(timed, self.pair, warmed, count)
        self._compare(turns, self.listener.compared_with(reference, turns.timed))
        return turns

    def _compare(self, turns: Turns, reference: str) -> None:
        challengers = [
            each for each in turns.timed if each != reference and (not is_twin(each) or each == twin(reference))
        ]
        there = reference in turns.timed
        if not challengers and there:  # nothing to compare with: its own times all the same
            self._alone(turns, reference)
            return
        call_s = {name: timed.warm_ups[-1].call_s for name, timed in turns.timed.items()}
        both_s = {name: (call_s[name] + call_s[reference if there else name]) / 2 for name in challengers}
        rounds = {name: self.profile.rounds(both_s[name]) for name in challengers}
        schedule = Schedule(reference, rounds, pair=self.pair, seed=self.seed)
        if there:
            turns.planned = sum(rounds.values())
            self.listener.expect(sum(rounds[name] * self.profile.round_s(both_s[name]) for name in challengers))
        else:
            schedule.drop(reference)
        for turn in schedule:
            if self.deadline.passed():
                turns.cut = True
                break
            self.listener.begin("timing", turn.challenger)
            self._take(turns, turn, schedule)

    def _take(self, turns: Turns, turn: Turn, schedule: Schedule) -> None:
        """One turn. What a lost worker leaves of a round is kept as blocks."""
        taken: list[tuple[str, Block]] = []
        for name in turn.order:
            try:
                taken.append((name, self._sample(turns, name)))
            except WorkerFailed as failure:
                self.listener.lost(name, failure)
                schedule.drop(name)
                break
        if len(taken) == len(turn.order) and turn.reference is not None:
            turns.timed[turn.challenger].rounds.append(_round(turn, taken))
            turns.done += 1
        else:
            for name, block in taken:
                turns.timed[name].blocks.append(block)

    def _sample(self, turns: Turns, name: str) -> Block:
        timed = turns.timed[name]
        rewarm_calls = self.profile.rewarm(timed.warm_ups[-1].call_s) if name != turns.active else 0
        sample = turns.workers[name].ask(m.Sample(timed.inner[-1], rewarm_calls, turns.call))
        turns.active, turns.outputs[name] = name, sample.output
        # Counted in gradient steps, so that loops of different lengths compare.
        return replace(sample.block, inner=sample.block.inner * timed.steps)

    def _alone(self, turns: Turns, name: str) -> None:
        turns.active = name
        for _ in range(self.profile.rounds_min):
            try:
                turns.timed[name].blocks.append(self._sample(turns, name))
            except WorkerFailed as failure:
                self.listener.lost(name, failure)
                return

    def against_step(self, worker: WorkerProcess, call: m.Call, step_inner: int, rounds: int) -> Timed:
        """Another kind of call of one worker against its step, which is warm: A B B A, then B A A B.

        Args:
            worker: whose step was timed.
            call: what is timed, with the step as its reference.
            step_inner: calls in a block of the step, as calibrated before.
            rounds: how many, if there is time.

        Raises:
            WorkerFailed: the worker failed, or the time budget ended.
        """
        warmed = worker.ask(m.Warm(self.profile.name, self.profile.block_ns, call))
        timed = Timed()
        _add_pair(timed, self.pair, warmed, steps=1)
        calls: dict[str, tuple[m.Call, int]] = {"step": ("step", step_inner), "other": (call, warmed.inner)}
        for turn in Schedule("step", {"other": rounds}, pair=self.pair, seed=self.seed):
            if self.deadline.passed():
                break
            taken: list[tuple[str, Block]] = []
            for which in turn.order:
                kind, inner = calls[which]
                taken.append((which, worker.ask(m.Sample(inner, 0, kind)).block))
            timed.rounds.append(_round(turn, taken))
        return timed


def _add_pair(timed: Timed, pair: int, warmed: m.Warmed, steps: int) -> None:
    """Begin a process pair in what was timed of one backend."""
    timed.steps = steps
    timed.pairs.append(pair)
    timed.inner.append(warmed.inner)
    timed.warm_ups.append(warmed.warm_up)


def _round(turn: Turn, blocks: list[tuple[str, Block]]) -> Round:
    ours = [block for name, block in blocks if name == turn.reference]
    theirs = [block for name, block in blocks if name == turn.challenger]
    return Round(turn.pair, turn.round, (ours[0], ours[1]), (theirs[0], theirs[1]))
