"""The clock's half of a problem: process pairs, steps and loops in turns, what the machine could do, the choice."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.protocol import WarmUp
from gradparity.benchmark.rounds import PairValue, pair_values
from gradparity.benchmark.schedule import is_twin
from gradparity.benchmark.stats import Control, compare_pairs, control_of_pairs, median_interval, pairs_needed, verdict
from gradparity.judge.speed.choice import recommend
from gradparity.judge.speed.summary import Sampled, beside_step, in_turns, rounds_of
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import Problem
from gradparity.model_spec.spec import Formulation, Logistic, ProjectedLogistic
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import affordable
from gradparity.processes.peer import WorkerFailed
from gradparity.results import Formulated, OneThread, ProblemResult, Start, Timing
from gradparity.results.blocks import CALLS, Call
from gradparity.runner.resume import TIMED, beside, sampled, stage
from gradparity.runner.turns import Timer, control_name, within_one
from gradparity.worker import messages as m

if TYPE_CHECKING:
    from gradparity.runner.problem import ProblemRun

#: CPU over wall-clock time above which a second thread worked, and for how long it is looked at.
ONE_THREAD, THREADS_USED_S = 1.05, 0.5
#: Rounds in which another kind of call is timed against the step, one fewer of long calls.
ROUNDS_BESIDE, LONG_CALL_S = 3, 0.1
FORMULATIONS: tuple[Formulation, ...] = ("as_written", "reassociated", "blocked")
#: Seconds that a backend needs to start, in the process to be timed and in the one that is checked, where no cell
#: before has shown it; and more for every GB of X, which the truth takes too. For a time budget only.
BARE_START_S, START_S, COMPILER_START_S, S_PER_GB = 1.0, 3.5, 40.0, 40.0
#: Share of a cell's budget that starting may take.
START_SHARE = 0.7
#: How many times as long as the turns of one kind of call a pair takes: both kinds, warming up, what is beside them.
_MORE = 3.0
#: Seconds for bandwidth and GEMM rate, and for the fewest rounds of a step, which come first where time is short.
LIMITS_S, STEP_S = 2.5, 1.5


class CellClock:
    """Times the backends of one problem; every process pair's blocks are judged and saved as they arrive.

    Args:
        run: the problem, its verdicts so far, and where to save.
        start_s: seconds that each backend took to start and to be checked in earlier cells, kept up to date.
    """

    def __init__(self, run: ProblemRun, start_s: dict[str, float]) -> None:
        self.run, self.start_s = run, start_s
        self.profile = PROFILES[run.settings.profile].for_threads(run.settings.threads)
        self.deadline = run.deadline
        self.reference = run.reference
        self.control = control_name(run.reference)
        self.workers: dict[str, WorkerProcess] = {}
        self.took_s: dict[str, float] = {}
        self._restore(run.outcome)

    def _restore(self, outcome: ProblemResult) -> None:
        """Go on from what an earlier sitting has brought to its end; usually nothing."""
        known = [*outcome.timings, *([outcome.twin] if outcome.twin else [])]
        self.starts: dict[str, list[Start]] = {timing.backend: list(timing.starts) for timing in known}
        self.one_thread = {timing.backend: timing.one_thread for timing in known if timing.one_thread is not None}
        self.seen: dict[m.Call, list[Sampled]] = {call: sampled(outcome, call) for call in CALLS}
        self.beside: dict[m.Call, dict[str, Sampled]] = {}
        for timing in outcome.timings:
            if (primal := beside(timing, timing.primal)) is not None:
                self.beside.setdefault("primal", {})[timing.backend] = primal
            if (collected := beside(timing, timing.collected)) is not None:
                self.beside.setdefault("collected", {})[timing.backend] = collected
        #: Of the process pair that was under way, who has still to be timed in a loop.
        self._open: list[str] = []
        if self.seen["step"]:
            last = self.seen["step"][-1]
            if not self._finished and not any(each.pair == last.pair for each in self.seen["loop"]):
                self._open = list(last.inner)
        self.pair = max((each.pair + 1 for each in self.seen["step"]), default=0) - bool(self._open)

    @property
    def _finished(self) -> bool:
        return TIMED in self.run.outcome.stages

    def to_start(self) -> list[str]:
        """Whom a bench starts first: everyone, and in a later sitting those with something left to be timed."""
        everyone = [name for name in (*self.run.names, self.control) if self.run.names and name not in self.run.gone]
        if not self.seen["step"]:
            return everyone
        return [name for name in everyone if name in self._open] or self._wanted()

    def start(self, names: Iterable[str]) -> None:
        """Start a process of each, one after the other, so that no import and no first call shares the machine."""
        for name in self._affordable(list(names)) if self.pair == 0 and not self._open else names:
            backend = self.reference if is_twin(name) else name
            began_s = time.monotonic()
            try:
                self._start_one(name, one_core=self.one_thread[backend].pinned if backend in self.one_thread else False)
            except WorkerFailed as failure:
                self._lost(name, failure)
            self.took_s[name] = time.monotonic() - began_s

    def _affordable(self, names: list[str]) -> list[str]:
        """Those whose starts fit in the budget's share for it: the reference and its twin first, then the quickest."""
        needed_s = {name: self._start_s(name) for name in names}
        kept = affordable(needed_s, START_SHARE * self.deadline.left_s(), first=(self.reference, self.control))
        for name in names:
            if name not in kept and not is_twin(name):
                self.run.leave_out(f"{name}: it takes about {needed_s[name]:.0f} s to start and to check", name)
        return [name for name in names if name in kept and (self.reference in kept or not is_twin(name))]

    def _start_s(self, name: str) -> float:
        """Seconds to start and check a backend: as in an earlier cell, or assumed."""
        kind = self.run.settings.registration(self.reference if is_twin(name) else name)
        assumed_s = COMPILER_START_S if kind.compiler else START_S if kind.requires else BARE_START_S
        return self.start_s.get(name, assumed_s) + S_PER_GB * self.run.problem.data_bytes / 1e9

    def _start_one(self, name: str, *, one_core: bool = False) -> None:
        self.run.begin("import", name)
        worker = self.run.spawn(name, role="clock", one_core=one_core)
        self.workers[name] = worker
        configured = worker.configured()
        self.run.imported(name, configured)
        self.run.begin("first call", name)
        self._started(name, configured, worker.ask(self.run.load), self.pair)

    def _started(
        self, name: str, configured: m.Configured, loaded: m.Loaded, pair: int | None, *, beside: bool = False
    ) -> None:
        start = Start(
            pair=pair,
            beside_others=beside,
            import_s=configured.import_cpu_s if beside else configured.import_s,
            build_s=loaded.build_s,
            first_call_s=loaded.first_call_s,
            compile_cache=loaded.compile_cache,
            resident_bytes=configured.resident_bytes,
        )
        self.starts.setdefault(name, []).append(start)

    def _add_checked(self) -> None:
        """What the processes that were checked have shown: how long it took, the first call with a warm cache."""
        for name, took_s in self.took_s.items():
            self.start_s[name] = took_s + self.run.took_s.get(name, took_s)
        for checked in self.run.outcome.checked:
            starts = self.starts.get(checked.backend)
            if checked.start.compile_cache == "warm" and starts is not None and checked.start not in starts:
                starts.append(checked.start)

    def adopt(self) -> None:
        """Time the workers that were checked, which are there already."""
        for name, loaded in self.run.loaded.items():
            self.workers[name] = self.run.workers[name]
            self._started(name, self.run.configured[name], loaded, 0, beside=True)

    def time(self) -> None:
        """Process pairs until the interval is as narrow as the profile asks; then limits, formulations, the choice."""
        try:
            self._time()
        except KeyboardInterrupt:  # what the clock has seen so far is kept, if not gone on from
            with contextlib.suppress(InputError):
                self._assemble()
            raise

    def _time(self) -> None:
        self._drop_failed()
        if self.run.settings.command == "bench":
            self._add_checked()
        proof_s = (THREADS_USED_S + STEP_S) * len(self.workers)
        if self.run.settings.threads == 1 and self._allowed("counting threads", proof_s):
            for name in [name for name in self.workers if name not in self.one_thread]:
                self._prove_one_thread(name)
        first = True
        while self.workers:
            began_s = self.deadline.clock()
            self._time_pair()
            pair_s = sum(self.took_s.values()) + self.deadline.clock() - began_s
            built_in = isinstance(self.run.problem, Problem)
            limits = self.run.outcome.limits
            if built_in and first and limits is None and self._allowed("read bandwidth and GEMM rate", LIMITS_S):
                self._measure_limits()
            if first and self.run.settings.command == "bench":
                names = [name for name in self.workers if not is_twin(name)]
                self._time_beside("primal", "loss alone", names)
                self._time_beside("collected", "garbage collector on", [n for n in names if self._tapes(n)])
                if built_in and not self.run.outcome.formulations:
                    self._time_formulations()
            self._stop()
            self._assemble()
            self.pair, self._open, first = self.pair + 1, [], False
            wanted = self._wanted()
            if wanted and pair_s > self.deadline.left_s():
                needed = max(map(self._needed, self._challengers()))
                self.run.leave_out(f"process pairs: {self.pair} of {needed}")
                return
            if wanted:
                self.start(wanted)
        if not self.run.outcome.left_out:
            self.run.mark(TIMED)
        self.run.save()

    def _allowed(self, what: str, needed_s: float) -> bool:
        """Whether the budget has that long left; otherwise it is written down as left out."""
        if needed_s <= self.deadline.left_s():
            return True
        self.run.leave_out(what)
        return False

    def _drop_failed(self) -> None:
        """A backend without an answer has nothing to time."""
        for name in self._hopeless() & set(self.workers):
            self.workers.pop(name).close()

    def _hopeless(self) -> set[str]:
        return {found.backend for found in self.run.outcome.findings if found.verdict in ("failed", "impure")}

    def _prove_one_thread(self, name: str) -> None:
        """Hold CPU time against wall-clock time; where more than one thread works, start again on one core."""
        self.run.begin("counting threads", name)
        try:
            used = self._threads_used(name)
            pinned = used > ONE_THREAD
            if pinned:
                self.workers.pop(name).close()
                self._start_one(name, one_core=True)
                used = self._threads_used(name)
        except WorkerFailed as failure:
            self._lost(name, failure)
            return
        self.one_thread[name] = OneThread(cpu_per_wall=used, pinned=pinned, holds=used <= ONE_THREAD)

    def _threads_used(self, name: str) -> float:
        return self.workers[name].ask(m.CountThreads(THREADS_USED_S)).cpu_per_wall

    def _measure_limits(self) -> None:
        """In a process of its own: NumPy's, whichever backends take part. What lies on disk has other limits."""
        if self.run.problem.on_disk:
            return
        self.run.begin("bandwidth and GEMM rate", "")
        try:
            with self.run.spawn("numpy", role="limits") as worker:
                worker.configured()
                request = m.MeasureLimits(self.run.outcome.spec, self.run.problem.rows, self.profile.name)
                self.run.outcome.limits = worker.ask(request).limits
        except WorkerFailed as failure:
            self.run.leave_out(f"read bandwidth and GEMM rate: {failure.reason}")

    def _time_pair(self) -> None:
        """Steps, then loops with what a budget has left."""
        if not self._open:
            self._measure("step", self.workers)
            self._assemble()
        steps = self.seen["step"][-1]
        workers = {name: worker for name, worker in self.workers.items() if name in steps.inner}
        counts = {name: self._loop_steps(name) for name in workers}
        if max(counts.values(), default=1) == 1 and not self.profile.long_loops:
            return
        warm_s = sum(warm.seconds for warm in steps.warm_ups.values())
        if self._allowed("loops", 2 * warm_s):
            self._measure("loop", workers, counts)

    def _measure(self, call: Call, workers: dict[str, WorkerProcess], steps: dict[str, int] | None = None) -> None:
        """One kind of call of this process pair; it counts as done unless the budget cut it off."""
        seen = self._timer(call).measure(workers, self.reference, steps, into=self.seen[call])
        if seen.cut:
            self.run.leave_out(f"{call}: {seen.done} of {seen.planned} rounds in process pair {self.pair}")
        else:
            self.run.mark(stage(call, self.pair))

    def _timer(self, call: m.Call) -> Timer:
        settings = self.run.settings
        # A run says which backend to choose; a bench is for who wants to know the loop as closely as the step.
        brief = call == "loop" and settings.command == "run"
        summed = settings.reduction == "sum" and isinstance(self.run.problem, Problem)
        rate = settings.learning_rate / (self.run.problem.rows if summed else 1)
        return Timer(
            profile=PROFILES["brief"] if brief else self.profile,
            seed=settings.seed,
            lost=self._lost,
            begin=self.run.begin,
            call=call,
            learning_rate=rate,
            pair=self.pair,
            deadline=self.deadline,
            expect=self._expect if call in CALLS else float,
        )

    def _expect(self, seconds: float) -> None:
        """Tell who watches: the turns of a pair, and as much again for every pair to come and for what follows."""
        pairs = max(1, self.profile.pairs_min - self.pair)
        self.run.observer.expect(min(_MORE * pairs * seconds, max(0.0, self.deadline.left_s())))

    def _loop_steps(self, name: str) -> int:
        """The same in every pair, since a compiled loop may be one for this number of steps."""
        first = self._first(self.reference if is_twin(name) else name)
        return self.profile.loop_steps(first[0].call_s) if first else 1

    def _first(self, name: str) -> tuple[WarmUp, int] | None:
        """How a backend's step warmed up in the first pair that it took part in, and calls in a block of it."""
        return next(((seen.warm_ups[name], seen.inner[name]) for seen in self.seen["step"] if name in seen.inner), None)

    def _time_beside(self, call: m.Call, what: str, names: list[str]) -> None:
        """Another kind of call against the step, in each backend's own process."""
        for name in [name for name in names if name not in self.beside.get(call, {})]:
            self.run.begin(what, name)
            timer = self._timer(call)
            if name not in self.workers or not self._allowed(f"{name}: {what}", self._within_s(name)):
                continue
            try:
                self.beside.setdefault(call, {})[name] = self._within_one(name, call, timer)
            except WorkerFailed as failure:
                self._lost(name, failure)

    def _tapes(self, name: str) -> bool:
        """Whether the garbage collector has something to do in a step, and the step is not too long for it to show."""
        first = self._first(name)
        return self.run.settings.registration(name).tapes and first is not None and first[0].call_s < LONG_CALL_S

    def _time_formulations(self) -> None:
        """What the other formulations give, on the best backend that needs no compiler for them."""
        self._assemble()
        chosen = [
            name
            for name in self._ranked()
            if name in self.workers and not self.run.settings.registration(name).compiler
        ]
        spec = self.run.problem.spec
        assert isinstance(spec, Logistic)  # noqa: S101  # only a built-in model has other formulations
        others = [other for other in FORMULATIONS if _differs(spec, other)]
        if not chosen or not others or self.run.formulations_are_cells:
            return
        name, found = chosen[0], []
        aa = self.run.outcome.control
        for other in others:
            self.run.begin(f"{other} formulation", name)
            timer = self._timer("step")
            if not self._allowed(f"the {other} formulation", self._within_s(name)):
                continue
            try:
                timed = self._within_one(name, other, timer)
            except WorkerFailed as failure:
                self._lost(name, failure)
                return
            if name not in timed.rounds:
                continue
            rounds = timed.rounds[name]
            ratio = compare_pairs(pair_values(rounds), self.profile, aa)
            blocks = [block for each in rounds for block in each.challenger]
            limits = self.run.outcome.limits
            found.append(
                Formulated(
                    formulation=other,
                    backend=name,
                    step_ns=median_interval([block.call_ns for block in blocks]),
                    ratio=ratio,
                    speed=verdict(ratio, aa.floor if aa else 0.0),
                    floor_ns=limits.floor_of(spec.with_options(formulation=other), self.run.problem.rows)
                    if limits
                    else None,
                )
            )
        self.run.outcome.formulations = found

    def _within_one(self, name: str, call: m.Call, timer: Timer) -> Sampled:
        first = self._first(name)
        assert first is not None  # noqa: S101  # its step was timed
        warm, inner = first
        rounds = ROUNDS_BESIDE if warm.call_s < LONG_CALL_S else ROUNDS_BESIDE - 1
        return within_one(self.workers[name], name, call, inner, timer, rounds)

    def _within_s(self, name: str) -> float:
        """About how long two kinds of call of one worker take to be timed against one another."""
        first = self._first(name)
        return first[0].seconds + ROUNDS_BESIDE * self.profile.round_s(first[0].call_s) if first else 0.0

    def _ranked(self) -> list[str]:
        """Backends that agree, by their median step; the closed form last."""
        bad = {found.backend for found in self.run.outcome.not_good}
        timed = [
            (timing.backend == "numpy", timing.step.step_ns.median, timing.backend)
            for timing in self.run.outcome.timings
            if timing.step and timing.step.step_ns and timing.backend not in bad
        ]
        return [name for _, _, name in sorted(timed)]

    def _challengers(self) -> list[str]:
        out = {self.reference, *self.run.gone, *self._hopeless()}
        return [name for name in self.run.names if name not in out]

    def _needed(self, name: str) -> int:
        """Process pairs that the intervals of the step and of the loop ask for."""
        asked = [pairs_needed(pairs, self.profile) for pairs in self._pairs(name).values() if pairs]
        return max(asked, default=0)

    def _taken(self, name: str) -> int:
        """Process pairs that a backend has taken part in, with the reference if there is one."""
        there = [seen for seen in self.seen["step"] if name in seen.inner]
        return sum(self.reference in seen.inner or self.reference in self.run.gone for seen in there)

    def _wanted(self) -> list[str]:
        """Whom to start again: everyone whose intervals need more pairs, with the reference and its twin."""
        wanted = [
            name for name in self._challengers() if self._needed(name) > self._taken(name) or not self._taken(name)
        ]
        if self.reference in self.run.gone or not wanted:
            return []
        turns = {*wanted, self.reference, self.control} - self.run.gone
        return [name for name in (*self.run.names, self.control) if name in turns]

    def _pairs(self, name: str) -> dict[m.Call, list[PairValue]]:
        return {call: pair_values(rounds_of(pairs, name)) for call, pairs in self.seen.items()}

    def _stop(self) -> None:
        for worker in self.workers.values():
            worker.stop()
        self.workers = {}

    def _lost(self, name: str, failure: WorkerFailed) -> None:
        worker = self.workers.pop(name, None)
        if worker is not None:
            worker.close()
        self.run.lost(name, failure)

    def _assemble(self) -> None:
        """Ratios, verdicts and the choice from all pairs so far, saved."""
        outcome = self.run.outcome
        controls = {call: control_of_pairs(pairs) for call, pairs in self._pairs(self.control).items()}
        outcome.reference, outcome.control, outcome.loop_control = self.reference, controls["step"], controls["loop"]
        outcome.timings = [self._timing(name, controls) for name in self.run.names if name in self.starts]
        if self.control in self.starts:
            outcome.twin = self._timing(self.control, controls)
        self.run.judge_timed(self.seen)
        outcome.recommendation = recommend(outcome, self.run.settings.steps)
        self.run.save()

    def _timing(self, name: str, controls: dict[m.Call, Control]) -> Timing:
        limits = self.run.outcome.limits
        step, loop = (
            in_turns(self.seen[call], name, self.reference, self.profile, controls[call]) for call in ("step", "loop")
        )
        return Timing(
            backend=name,
            starts=self.starts[name],
            step=step,
            loop=loop,
            primal=beside_step(self.beside.get("primal", {}).get(name), name, self.profile),
            collected=beside_step(self.beside.get("collected", {}).get(name), name, self.profile),
            one_thread=self.one_thread.get(name),
            peak_resident_bytes=self.run.peaks.get(name),
            import_resident_bytes=self.starts[name][0].resident_bytes,
            times_floor=step.step_ns.median / limits.floor_ns if limits and step and step.step_ns else None,
            loop_times_floor=loop.step_ns.median / limits.floor_ns if limits and loop and loop.step_ns else None,
        )


def _differs(spec: Logistic, formulation: Formulation) -> bool:
    """Whether it would compute something else: without a projection there is nothing to reassociate."""
    same = {spec.formulation} if isinstance(spec, ProjectedLogistic) else {"as_written", "reassociated"}
    return formulation not in same
