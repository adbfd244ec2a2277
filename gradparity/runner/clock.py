"""The clock's half of a problem: process pairs, steps and loops in turns, what the machine could do, the choice."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from gradparity.benchmark.profiles import PROFILES, Profile
from gradparity.benchmark.rounds import pair_values
from gradparity.benchmark.schedule import is_twin
from gradparity.benchmark.stats import pairs_needed
from gradparity.judge.speed.choice import recommend
from gradparity.judge.speed.summary import summarise
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import Problem
from gradparity.model_spec.spec import Logistic
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.peer import WorkerFailed
from gradparity.results import NO_ANSWER, OneThread, Timed, Timing
from gradparity.results.blocks import CALLS, Call, timed_of
from gradparity.runner.cases import Cell
from gradparity.runner.crew import Crew, Member
from gradparity.runner.formulations import formulated, others, ranked
from gradparity.runner.record import Recorder
from gradparity.runner.resume import TIMED, stage
from gradparity.runner.starts import StartTimes
from gradparity.runner.turns import Listener, Timer
from gradparity.worker import messages as m

if TYPE_CHECKING:
    from gradparity.runner.judging import Judging

#: CPU over wall-clock time above which a second thread worked.
ONE_THREAD = 1.05
#: Rounds in which another kind of call is timed against the step, one fewer of long calls.
ROUNDS_BESIDE, LONG_CALL_S = 3, 0.1
#: How many times as long as the turns of one kind of call a pair takes: both kinds, warming up, what is beside them.
_MORE = 3.0
#: Seconds for bandwidth and GEMM rate, and for the fewest rounds of a step, which come first where time is short.
LIMITS_S, STEP_S = 2.5, 1.5


class CellClock(Listener):
    """Times the backends of one problem, or goes on with it: every process pair's blocks are judged and saved.

    Args:
        cell: the problem, and what is asked of it.
        crew: its processes.
        recorder: where the times are written.
        judging: judges what was timed.
        start_times: seconds that backends took to start in earlier cells, kept up to date.
    """

    def __init__(self, cell: Cell, crew: Crew, recorder: Recorder, judging: Judging, start_times: StartTimes) -> None:
        self.cell, self.crew, self.recorder, self.judging = cell, crew, recorder, judging
        self.start_times = start_times
        self.profile = PROFILES[cell.settings.profile].for_threads(cell.settings.threads)
        self.workers: dict[str, WorkerProcess] = {}
        self.took_s: dict[str, float] = {}
        outcome = recorder.outcome
        known = [*outcome.timings, *([outcome.twin] if outcome.twin else [])]
        self.timings = {timing.backend: timing for timing in known}
        steps, loops = ({pair for each in known if (t := timed_of(each, call)) for pair in t.pairs} for call in CALLS)
        last = max(steps, default=-1)
        half = last >= 0 and last not in loops and TIMED not in outcome.stages
        #: Of the process pair that was under way, who has still to be timed in a loop.
        self._open = [name for name in self.timings if half and last in self._pairs(name)]
        self.pair = last + (not half)

    def to_start(self) -> list[str]:
        """Whom to start first: everyone, and in a later session those with something left to be timed."""
        everyone = [*self.crew.present, *([self.crew.control] if self.crew.present else [])]
        if not any(self._pairs(name) for name in self.timings):
            return everyone
        return [name for name in everyone if name in self._open] or self._wanted()

    def start(self, names: Sequence[str]) -> None:
        """Start a process of each, one after the other, so that no import and no first call shares the machine."""
        if self.pair == 0 and not self._open:
            names, left_out = self.start_times.affordable(list(names), self.cell, self.crew)
            for name, why in left_out.items():
                self.crew.gone[name] = why
                self.recorder.leave_out(why)
        for name in names:
            known = self.timings.get(self.crew.reference if is_twin(name) else name)
            began_s = time.monotonic()
            try:
                self._start_one(name, one_core=bool(known and known.one_thread and known.one_thread.pinned))
            except WorkerFailed as failure:
                self.lost(name, failure)
            self.took_s[name] = time.monotonic() - began_s

    def _start_one(self, name: str, *, one_core: bool = False) -> None:
        self.recorder.begin("import", name)
        member = self.crew.spawn(name, role="clock", one_core=one_core)
        self.workers[name] = member.worker
        member.load(self.cell, self.recorder)
        self._started(member, self.pair, beside=False)

    def _started(self, member: Member, pair: int, *, beside: bool) -> None:
        piped = self.crew.piped(member.name)
        timing = self.timings.setdefault(member.name, Timing(backend=member.name, starts=[], piped=piped))
        timing.starts.append(member.start(pair, beside=beside))
        timing.import_resident_bytes = timing.starts[0].resident_bytes

    def adopt(self) -> None:
        """Time the processes that were checked, which are there already."""
        for name, member in self.crew.compiled(self.recorder).items():
            self.workers[name] = member.worker
            self._started(member, 0, beside=True)

    def time(self) -> None:
        """Process pairs until the interval is as narrow as the profile asks; then limits, formulations, the choice."""
        try:
            self._time()
        except KeyboardInterrupt:  # what the clock has seen so far is kept, if not gone on from
            with contextlib.suppress(InputError):
                self._assemble()
            raise

    def _time(self) -> None:
        for name in self._hopeless() & set(self.workers):  # without an answer there is nothing to time
            self.workers.pop(name).close()
        if self.cell.plan.apart:
            self._add_checked()
        proof_s = (self.profile.threads_s + STEP_S) * len(self.workers)
        if self.cell.settings.threads == 1 and self._allowed("counting threads", proof_s):
            for name in [n for n, t in self.timings.items() if n in self.workers and not (t.one_thread or t.piped)]:
                self._prove_one_thread(name)
        deadline, first = self.crew.deadline, True
        while self.workers:
            began_s = deadline.clock()
            self._time_pair()
            pair_s = sum(self.took_s.values()) + deadline.clock() - began_s
            if first:
                names = [name for name in self.workers if not is_twin(name)]
                self._time_beside("communication", "communication alone", self.crew.communicating(names))
                self._measure_limits()
            if first and self.cell.plan.closely:
                self._time_beside("primal", "loss alone", names)
                self._time_beside("collected", "garbage collector on", [n for n in names if self._tapes(n)])
                self._time_formulations()
            for worker in self.workers.values():
                worker.stop()
            self.workers = {}
            self._assemble()
            self.pair, self._open, first = self.pair + 1, [], False
            wanted = self._wanted()
            if wanted and pair_s > deadline.left_s():
                self.recorder.leave_out(f"process pairs: {self.pair} of {max(map(self._needed, self._challengers()))}")
                return
            self.start(wanted)
        if not self.recorder.outcome.left_out:
            self.recorder.mark(TIMED)
        self.recorder.save()

    def _add_checked(self) -> None:
        """What the processes that were checked have shown: how long it took, the first call with a warm cache."""
        self.start_times.learn(self.took_s, self.crew)
        for checked in self.recorder.outcome.checked:
            timing = self.timings.get(checked.backend)
            if checked.start.compile_cache == "warm" and timing is not None and checked.start not in timing.starts:
                timing.starts.append(checked.start)

    def _allowed(self, what: str, needed_s: float) -> bool:
        """Whether the budget has that long left; otherwise it is written down as left out."""
        if needed_s <= self.crew.deadline.left_s():
            return True
        self.recorder.leave_out(what)
        return False

    def _hopeless(self) -> set[str]:
        return {found.backend for found in self.recorder.outcome.findings if found.verdict in NO_ANSWER}

    def _prove_one_thread(self, name: str) -> None:
        """Hold CPU time against wall-clock time; where more than one thread works, start again on one core."""
        self.recorder.begin("counting threads", name)
        request = m.CountThreads(self.profile.threads_s)
        try:
            used = self.workers[name].ask(request).cpu_per_wall
            pinned = used > ONE_THREAD
            if pinned:
                self.workers.pop(name).close()
                self._start_one(name, one_core=True)
                used = self.workers[name].ask(request).cpu_per_wall
        except WorkerFailed as failure:
            self.lost(name, failure)
            return
        self.timings[name].one_thread = OneThread(cpu_per_wall=used, pinned=pinned, holds=used <= ONE_THREAD)

    def _measure_limits(self) -> None:
        """Read bandwidth and GEMM rate, by NumPy in a process of its own, whichever backends take part."""
        problem, outcome = self.cell.problem, self.recorder.outcome
        known = not isinstance(problem, Problem) or outcome.limits is not None
        if known or not self._allowed("read bandwidth and GEMM rate", LIMITS_S) or problem.on_disk:
            return  # what lies on disk has other limits
        self.recorder.begin("bandwidth and GEMM rate")
        try:
            outcome.limits = self.crew.limits(m.MeasureLimits(outcome.spec, problem.rows, self.profile.name))
        except WorkerFailed as failure:
            self.recorder.leave_out(f"read bandwidth and GEMM rate: {failure.reason}")

    def _time_pair(self) -> None:
        """Steps, then loops with what a budget has left."""
        if not self._open:
            self._measure("step", self.workers)
        workers = {name: worker for name, worker in self.workers.items() if self.pair in self._pairs(name)}
        counts = {name: self._loop_steps(name) for name in workers}
        if max(counts.values(), default=1) == 1 and not self.profile.long_loops:
            return
        steps = [timed for name in self.timings if (timed := self.timings[name].step) and self.pair in timed.pairs]
        if self._allowed("loops", 2 * sum(timed.warm_ups[-1].seconds for timed in steps)):
            self._measure("loop", workers, counts)

    def _measure(self, call: Call, workers: dict[str, WorkerProcess], steps: dict[str, int] | None = None) -> None:
        """One kind of call of this process pair, saved; it counts as done unless the budget cut it off."""

        def into(name: str) -> Timed:
            found = timed_of(self.timings[name], call) or Timed()
            setattr(self.timings[name], call, found)
            return found

        settings, problem = self.cell.settings, self.cell.problem
        summed = settings.reduction == "sum" and isinstance(problem, Problem)
        rate = settings.learning_rate / (problem.rows if summed else 1)
        profile = PROFILES["brief"] if call == "loop" and not self.cell.plan.closely else self.profile
        turns = self._timer(profile).measure(workers, self.crew.reference, into, call, steps=steps, learning_rate=rate)
        for name, output in turns.outputs.items():
            if not is_twin(name):
                self.judging.judge_output(call, name, output)
        if turns.cut:
            self.recorder.leave_out(f"{call}: {turns.done} of {turns.planned} rounds in process pair {self.pair}")
        else:
            self.recorder.mark(stage(call, self.pair))
        self._assemble()

    def _timer(self, profile: Profile) -> Timer:
        return Timer(profile, self, self.cell.settings.seed, self.pair, self.crew.deadline)

    def begin(self, stage: str, backend: str) -> None:
        """Tell who watches."""
        self.recorder.begin(stage, backend)

    def compared_with(self, reference: str, timed: Collection[str]) -> str:
        """Somebody else, where the reference could not be warmed up and has never been timed."""
        if reference not in timed and not any(each.step and each.step.rounds for each in self.timings.values()):
            self.workers.pop(self.crew.stand_in(timed), None)
        return self.crew.reference

    def expect(self, seconds: float) -> None:
        """Tell who watches: the turns of a pair, and as much again for every pair to come and for what follows."""
        pairs = max(1, self.profile.pairs_min - self.pair)
        self.recorder.record.observer.expect(min(_MORE * pairs * seconds, max(0.0, self.crew.deadline.left_s())))

    def lost(self, name: str, failure: WorkerFailed) -> None:
        """Go on without a backend, and write down why."""
        if (worker := self.workers.pop(name, None)) is not None:
            worker.close()
        self.crew.lose(name, failure)
        self.judging.lost(name, failure)

    def _loop_steps(self, name: str) -> int:
        """The same in every pair, since a compiled loop may be one for this number of steps."""
        first = self.timings[self.crew.reference if is_twin(name) else name].step
        return self.profile.loop_steps(first.warm_ups[0].call_s) if first else 1

    def _time_beside(self, call: m.Call, what: str, names: list[str]) -> None:
        """Another kind of call against the step, in each backend's own process."""
        for name in [name for name in names if getattr(self.timings[name], call) is None]:
            self.recorder.begin(what, name)
            timed = self._against_step(name, call, f"{name}: {what}")
            if timed is not None:
                setattr(self.timings[name], call, timed)

    def _against_step(self, name: str, call: m.Call, what: str) -> Timed | None:
        """What was timed of another kind of call; ``None`` where there is no time, no step or no round of it."""
        step = self.timings[name].step
        if name not in self.workers or step is None:
            return None
        call_s = step.warm_ups[0].call_s
        if not self._allowed(what, step.warm_ups[0].seconds + ROUNDS_BESIDE * self.profile.round_s(call_s)):
            return None
        rounds = ROUNDS_BESIDE - (call_s >= LONG_CALL_S)
        try:
            timed = self._timer(self.profile).against_step(self.workers[name], call, step.inner[0], rounds)
        except WorkerFailed as failure:
            self.lost(name, failure)
            return None
        return timed if timed.rounds else None

    def _tapes(self, name: str) -> bool:
        """Whether the garbage collector has something to do in a step, and the step is not too long for it to show."""
        step = self.timings[name].step
        return self.crew.registration(name).tapes and step is not None and step.warm_ups[0].call_s < LONG_CALL_S

    def _time_formulations(self) -> None:
        """What the other formulations give, on the best backend that needs no compiler for them."""
        outcome, spec = self.recorder.outcome, self.cell.problem.spec
        if not isinstance(spec, Logistic) or outcome.formulations or len(self.cell.settings.formulations) > 1:
            return  # only a built-in model has others, and they may be cells of the run
        self._assemble()
        chosen = [n for n in ranked(outcome) if n in self.workers and self.crew.plain(n)]
        found = []
        for other in others(spec) if chosen else ():
            self.recorder.begin(f"{other} formulation", chosen[0])
            timed = self._against_step(chosen[0], other, f"the {other} formulation")
            if timed is not None:
                found.append(formulated(outcome, spec, other, chosen[0], timed, self.profile))
        outcome.formulations = found

    def _pairs(self, name: str) -> list[int]:
        """Process pairs in which the step of a backend was timed."""
        step = self.timings[name].step if name in self.timings else None
        return step.pairs if step else []

    def _challengers(self) -> list[str]:
        return [name for name in self.crew.present if name not in {self.crew.reference, *self._hopeless()}]

    def _needed(self, name: str) -> int:
        """Process pairs that the intervals of the step and of the loop ask for."""
        known = self.timings.get(name)
        timed = [each for call in CALLS if (each := timed_of(known, call)) is not None and each.rounds]
        return max((pairs_needed(pair_values(each.rounds), self.profile) for each in timed), default=0)

    def _taken(self, name: str) -> int:
        """Process pairs that a backend has taken part in, with the reference if there is one."""
        one, pairs = self.crew.reference, self._pairs(name)
        return len(pairs) if one in self.crew.gone else len({*pairs} & {*self._pairs(one)})

    def _wanted(self) -> list[str]:
        """Whom to start again: everyone whose intervals need more pairs, with the reference and its twin."""
        wanted = [n for n in self._challengers() if self._needed(n) > self._taken(n) or not self._taken(n)]
        if self.crew.reference in self.crew.gone or not wanted:
            return []
        turns = {*wanted, self.crew.reference, self.crew.control} - set(self.crew.gone)
        return [name for name in (*self.crew.names, self.crew.control) if name in turns]

    def _assemble(self) -> None:
        """Ratios, verdicts and the choice from all pairs so far, saved."""
        outcome = self.recorder.outcome
        outcome.timings = [self.timings[name] for name in self.crew.names if name in self.timings]
        outcome.reference, outcome.twin = self.crew.reference, self.timings.get(self.crew.control)
        peaks = {each.backend: each.peak_resident_bytes for each in outcome.checked}
        for timing in outcome.timings:
            timing.peak_resident_bytes = None if timing.piped else peaks.get(timing.backend)
        summarise(outcome, self.profile)
        outcome.recommendation = recommend(outcome, self.cell.settings.steps)
        self.recorder.save()
