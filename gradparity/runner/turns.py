"""Drive the workers through the measuring protocol: one active at a time, in ABBA turns against a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gradparity.benchmark.profiles import Profile
from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import Round
from gradparity.benchmark.schedule import Schedule, Turn, twin
from gradparity.judge.speed.summary import Sampled
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import UNLIMITED, Deadline
from gradparity.processes.peer import WorkerFailed
from gradparity.worker import messages as m

Lost = Callable[[str, WorkerFailed], None]
Begin = Callable[[str, str], None]
Expect = Callable[[float], object]


@dataclass(frozen=True)
class Timer:
    """One kind of call, timed on workers that have it loaded.

    ``seed`` and ``pair`` fix the order of the turns. ``lost`` is told of each worker that fails, and the others go on;
    ``begin`` of each stage as it starts, ``expect`` of the seconds that all turns will take. Beyond ``deadline`` no
    further turn begins.
    """

    profile: Profile
    seed: int
    lost: Lost
    begin: Begin
    call: m.Call = "step"
    learning_rate: float = 0.0
    pair: int = 0
    deadline: Deadline = UNLIMITED
    expect: Expect = float  # which does nothing

    def measure(
        self,
        workers: Mapping[str, WorkerProcess],
        reference: str,
        steps: Mapping[str, int] | None = None,
        *,
        into: list[Sampled] | None = None,
    ) -> Sampled:
        """Rounds of every worker against the reference, within one set of processes.

        Args:
            workers: by name; the reference's twin, if there is one, gives the A/A control.
            reference: the name that the others are compared with.
            steps: gradient steps that a call of each makes, for a loop.
            into: gets what is returned before it is filled, so that an interruption loses none of it.
        """
        workers = dict(workers)  # whoever is told of a loss may take it out of the caller's
        seen = Sampled(steps=dict(steps or dict.fromkeys(workers, 1)), pair=self.pair)
        if into is not None:
            into.append(seen)
        for name, worker in workers.items():
            self._warm_up(name, worker, seen)
        challengers = [name for name in seen.inner if name != reference]
        there = reference in seen.inner
        rounds = {name: self._rounds(seen, name, reference if there else name) for name in challengers}
        seen.planned = sum(rounds.values()) if there else 0
        self.expect(sum(count * self._round_s(seen, name, reference) for name, count in rounds.items() if there))
        schedule = Schedule(reference, rounds, pair=self.pair, seed=self.seed)
        if not there:
            schedule.drop(reference)
        active = ""
        for turn in schedule:
            if self.deadline.passed():
                seen.cut = True
                break
            self.begin("timing", turn.challenger)
            active = self._take(turn, workers, schedule, seen, active)
        if not challengers and there:  # nothing to compare with: its own times all the same
            self._alone(workers[reference], reference, seen)
        return seen

    def _warm_up(self, name: str, worker: WorkerProcess, seen: Sampled) -> None:
        self.begin("warm-up", name)
        try:
            request = m.Warm(self.profile.name, self.profile.block_ns, self.call, seen.steps[name], self.learning_rate)
            warm = worker.ask(request)
        except WorkerFailed as failure:
            self.lost(name, failure)
            return
        seen.warm_ups[name], seen.inner[name], seen.blocks[name] = warm.warm_up, warm.inner, []

    def _rounds(self, seen: Sampled, name: str, reference: str) -> int:
        return self.profile.rounds((seen.warm_ups[name].call_s + seen.warm_ups[reference].call_s) / 2)

    def _round_s(self, seen: Sampled, name: str, reference: str) -> float:
        """About how long a round of two takes."""
        return self.profile.round_s((seen.warm_ups[name].call_s + seen.warm_ups[reference].call_s) / 2)

    def _take(
        self, turn: Turn, workers: Mapping[str, WorkerProcess], schedule: Schedule, seen: Sampled, active: str
    ) -> str:
        """One turn, and who was active last. What a lost worker leaves of a round is kept as blocks."""
        taken: list[tuple[str, Block]] = []
        for name in turn.order:
            try:
                block = self._sample(name, workers[name], seen, switched=name != active)
            except WorkerFailed as failure:
                self.lost(name, failure)
                schedule.drop(name)
                break
            active = name
            taken.append((name, block))
        if len(taken) == len(turn.order) and turn.reference is not None:
            seen.rounds.setdefault(turn.challenger, []).append(_round(turn, taken))
        else:
            for name, block in taken:
                seen.blocks[name].append(block)
        return active

    def _sample(self, name: str, worker: WorkerProcess, seen: Sampled, *, switched: bool) -> Block:
        rewarm_calls = self.profile.rewarm(seen.warm_ups[name].call_s) if switched else 0
        sample = worker.ask(m.Sample(seen.inner[name], rewarm_calls, self.call))
        seen.outputs[name] = sample.output
        block = sample.block
        # Counted in gradient steps, so that loops of different lengths compare.
        return replace(block, inner=block.inner * seen.steps[name])

    def _alone(self, worker: WorkerProcess, name: str, seen: Sampled) -> None:
        for _ in range(self.profile.rounds_min):
            try:
                seen.blocks[name].append(self._sample(name, worker, seen, switched=False))
            except WorkerFailed as failure:
                self.lost(name, failure)
                return


def within_one(worker: WorkerProcess, name: str, call: m.Call, step_inner: int, timer: Timer, rounds: int) -> Sampled:
    """Another kind of call of one worker against its step, which is warm: A B B A, then B A A B.

    Args:
        worker: of that name.
        name: the backend.
        call: what is timed, with the step as its reference.
        step_inner: calls in a block of the step, as calibrated before.
        timer: profile, seed and deadline.
        rounds: at most so many.

    Raises:
        WorkerFailed: the worker failed, or the time budget ended.
    """
    warm = worker.ask(m.Warm(timer.profile.name, timer.profile.block_ns, call))
    seen = Sampled(steps={name: 1}, warm_ups={name: warm.warm_up}, inner={name: warm.inner}, planned=rounds)
    calls: dict[str, tuple[m.Call, int]] = {"step": ("step", step_inner), "other": (call, warm.inner)}
    for turn in Schedule("step", {"other": rounds}, pair=timer.pair, seed=timer.seed):
        if timer.deadline.passed():
            break
        taken: list[tuple[str, Block]] = []
        for which in turn.order:
            kind, inner = calls[which]
            sample = worker.ask(m.Sample(inner, 0, kind))
            taken.append((which, sample.block))
        seen.rounds.setdefault(name, []).append(_round(turn, taken))
    return seen


def _round(turn: Turn, blocks: list[tuple[str, Block]]) -> Round:
    ours = [block for name, block in blocks if name == turn.reference]
    theirs = [block for name, block in blocks if name == turn.challenger]
    return Round(turn.pair, turn.round, (ours[0], ours[1]), (theirs[0], theirs[1]))


def control_name(reference: str) -> str:
    """Name of the second worker of the reference backend."""
    return twin(reference)
