"""Workers of a simulated machine: they answer as a `WorkerProcess` does, in no time, at speeds that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradparity.backends.numpy_backend import NumpyBackend
from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.protocol import Block, WarmUp
from gradparity.benchmark.roofline import Limits, work
from gradparity.benchmark.stats import MedianInterval
from gradparity.judge.verdicts import judge
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic, from_dict
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import UNLIMITED, Deadline
from gradparity.processes.launch import Launch
from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.results import Checked, ProblemResult, RunResult, Start
from gradparity.runner.cases import Case, Cell
from gradparity.runner.clock import CellClock
from gradparity.runner.crew import Crew, Member
from gradparity.runner.judging import Judging
from gradparity.runner.observer import NullObserver
from gradparity.runner.plan import plan_of
from gradparity.runner.record import Record, Recorder
from gradparity.runner.settings import Settings
from gradparity.runner.starts import StartTimes
from gradparity.worker import messages as m
from gradparity.worker.wire import Reply, ReplyT, Request, Stopped, encode
from tests.bench.simulation import Machine, SimulatedClock

READ_BYTES_PER_S, FLOPS_PER_S = 1e10, 4e10
#: The system's 10 ms tick, averaged over two CPUs.
_TICK_NS = 5_000_000

#: A machine on which nothing varies.
STILL = Machine(
    process_sd=0.0,
    drift_sd=0.0,
    drift_s=1.0,
    jitter_sd=0.0,
    spike_chance=0.0,
    intruder_chance=0.0,
    steal_chance=0.0,
)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a backend truly takes, in seconds, and CPU over wall-clock time with two cores and with one.

    ``loop_s`` is of one gradient step in a loop. ``jitter_sd`` and ``disturbed`` (a share of its blocks gets half the
    CPU time) are its own, beyond the machine's.
    """

    step_s: float
    loop_s: float = 0.0
    import_s: float = 0.1
    first_call_s: float = 0.01
    cpu: tuple[float, float] = (1.0, 1.0)
    settles: bool = True
    jitter_sd: float = 0.0
    disturbed: float = 0.0

    def of(self, call: m.Call) -> float:
        """Seconds of a call, a loop's per step; other formulations take half as long, with the collector twice."""
        usual = {"step": self.step_s, "loop": self.loop_s or self.step_s, "primal": self.step_s / 3}
        return (usual | {"collected": 2 * self.step_s}).get(call, self.step_s / 2)


#: What a worker does in place of its answer: nothing, or a failure.
Fault = Callable[["SimulatedWorker", Request[Any]], WorkerFailed | None]


@dataclass
class Computer:
    """The machine that all workers of a run share: its clock, its drift, and everything that it was asked."""

    machine: Machine
    speeds: Mapping[str, Speed]
    seed: int = 0
    fault: Fault = lambda worker, request: None
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    asked: list[tuple[str, Request[Any]]] = field(default_factory=list)
    started: list[tuple[str, bool]] = field(default_factory=list)
    running: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self._drift, self._drift_at_ns = self.machine.drift_sd * self.rng.normal(), 0

    def now_s(self) -> float:
        """Seconds on the machine's clock."""
        return self.clock.now_ns / 1e9

    def drift(self) -> float:
        """Log of the common slowness by now: an Ornstein-Uhlenbeck process."""
        keep = math.exp(-(self.clock.now_ns - self._drift_at_ns) / 1e9 / self.machine.drift_s)
        self._drift_at_ns = self.clock.now_ns
        self._drift = keep * self._drift + math.sqrt(1 - keep**2) * self.machine.drift_sd * self.rng.normal()
        return self._drift

    def chance(self, probability: float) -> bool:
        return bool(self.rng.uniform() < probability)


class SimulatedWorker(WorkerProcess):
    """One process, without a process: the numbers in its answers are the machine's."""

    def __init__(self, name: str, computer: Computer, problem: Problem, deadline: Deadline, *, one_core: bool) -> None:
        self.name, self.backend, self.computer = name, name, computer
        self.speed = computer.speeds.get(name.partition("~")[0], Speed(step_s=1e-3))
        self.problem, self.deadline, self.one_core = problem, deadline, one_core
        self.offset = computer.rng.normal(0, computer.machine.process_sd)
        self.loop_steps, self.samples = 1, 0
        assert name not in computer.running, f"two processes of {name} at once"
        computer.running.add(name)
        computer.started.append((name, one_core))

    def configured(self) -> m.Configured:
        return self.ask(m.Configure("", 1, self.one_core))

    def ask(self, request: Request[ReplyT], *, timeout_s: float | None = None, share_s: float | None = None) -> ReplyT:
        assert self.name in self.computer.running, f"{self.name} was asked after its end"
        self.computer.asked.append((self.name, request))
        failure = self.computer.fault(self, request)
        if failure is not None:
            raise failure
        answer = self._answer(request)
        if self.deadline.left_s() < 0:
            raise OutOfTime(self.name, request.stage)
        assert isinstance(answer, request.reply())
        found: ReplyT = m.decode_reply(encode(answer))
        return found

    def stop(self) -> Stopped | None:
        self.close()
        return Stopped()

    def kill(self) -> None:
        self.close()

    def close(self) -> None:
        self.computer.running.discard(self.name)

    def _answer(self, request: Request[Any]) -> Reply:
        match request:
            case m.Configure():
                self._spend(self.speed.import_s)
                return m.Configured({"simulated": "1"}, self.speed.import_s, self.speed.import_s, 32 * 2**20)
            case m.Load():
                self._spend(self.speed.first_call_s)
                return m.Loaded(0.001, self.speed.first_call_s, "")
            case m.CountThreads():
                self._spend(request.seconds)
                return m.CountedThreads(self.speed.cpu[self.one_core])
            case m.MeasureLimits():
                self._spend(2.0)
                return m.MeasuredLimits(limits_of(request))
            case m.Warm():
                return self._warm_up(request)
            case m.Sample():
                return self._sample(request)
            case _:
                raise AssertionError(f"unexpected: {request}")

    def _call_s(self, call: m.Call) -> float:
        return self.speed.of(call) * (self.loop_steps if call == "loop" else 1)

    def _warm_up(self, request: m.Warm) -> m.Warmed:
        profile = PROFILES[request.profile]
        if request.call == "loop":
            self.loop_steps = request.steps
        call_s = self._call_s(request.call) * math.exp(self.offset)
        seconds = max(profile.warm_min_s, 3 * call_s) if self.speed.settles else profile.warm_cap_s
        self._spend(seconds)
        inner = 1
        while inner * call_s < request.block_ns / 1e9:
            inner *= 2
        calls = max(3, round(seconds / call_s))
        return m.Warmed(WarmUp(calls, seconds, converged=self.speed.settles, call_s=call_s), inner)

    def _sample(self, request: m.Sample) -> m.Sampled:
        machine, rng = self.computer.machine, self.computer.rng
        self.samples += 1
        self._spend(request.rewarm_calls * self._call_s(request.call))
        log_time = (
            self.offset + self.computer.drift() + rng.normal(0, math.hypot(machine.jitter_sd, self.speed.jitter_sd))
        )
        log_time += math.log1p(rng.exponential(0.5)) if self.computer.chance(machine.spike_chance) else 0.0
        cpu_ns = 1e9 * request.inner * self._call_s(request.call) * math.exp(log_time)
        away_ns = cpu_ns * rng.uniform() if self.computer.chance(machine.intruder_chance) else 0.0
        away_ns += cpu_ns if self.computer.chance(self.speed.disturbed) else 0.0
        stolen_ns = cpu_ns * rng.uniform(0, 0.5) if self.computer.chance(machine.steal_chance) else 0.0
        ticks = math.floor(stolen_ns / _TICK_NS + rng.uniform())
        wall_ns = cpu_ns + away_ns + stolen_ns
        self._spend(wall_ns / 1e9)
        block = Block(round(wall_ns), round(cpu_ns), request.inner, 0, 0, ticks * _TICK_NS)
        return m.Sampled(block, output(self.problem, request.call))

    def _spend(self, seconds: float) -> None:
        self.computer.clock.spend(round(1e9 * seconds))


def output(problem: Problem, call: m.Call) -> dict[str, Any]:
    """What the closed form gives: loss and gradient; of a loop the first loss and parameters; of the primal a loss."""
    backend = NumpyBackend()
    program = backend.program(backend.loss(problem.spec))
    loss, gradient = program.value_and_gradient(dict(problem.params), dict(problem.data))
    return {"": loss, **({} if call == "primal" else problem.params if call == "loop" else gradient)}


def limits_of(request: m.MeasureLimits) -> Limits:
    """The machine's limits: 10 GB/s and 40 Gflop/s."""
    least = work(from_dict(request.spec), request.rows)
    rates = [MedianInterval(rate, rate, rate, 6, 0.96) for rate in (READ_BYTES_PER_S, FLOPS_PER_S)]
    times = 1e9 * least.bytes_read / READ_BYTES_PER_S, 1e9 * least.flops / FLOPS_PER_S
    return Limits(*rates, [], [], *times)


class SimulatedCrew(Crew):
    """A crew whose processes are simulated."""

    def __init__(self, computer: Computer, problem: Problem, settings: Settings, folder: Path, deadline: Deadline):
        super().__init__(settings, "toy", list(computer.speeds), Launch(folder, deadline=deadline))
        self.computer, self.problem = computer, problem

    def spawn(self, name: str, role: str = "", *, one_core: bool = False) -> Member:
        called = name if role != "limits" else "numpy~limits"
        worker = SimulatedWorker(called, self.computer, self.problem, self.deadline.hard(), one_core=one_core)
        self._spawned.append(worker)
        return Member(name, worker)


class SimulatedRecord(Record):
    """Results that are saved only where a test asks for it."""

    saves = False

    def save(self) -> None:
        if self.saves:
            super().save()


@dataclass
class SimulatedRun:
    """A cell of ``bench`` on a simulated machine, and what was found."""

    crew: SimulatedCrew
    recorder: Recorder
    computer: Computer

    @property
    def outcome(self) -> ProblemResult:
        return self.recorder.outcome

    @property
    def result(self) -> RunResult:
        return self.recorder.record.result


#: How a process that was checked has started.
START = Start(pair=None, import_s=0.1, build_s=0.0, first_call_s=0.1, compile_cache="", resident_bytes=1)
#: The latest cell, for a test that interrupts it.
LATEST: list[SimulatedRun] = []


def clocked(
    computer: Computer,
    folder: Path,
    *,
    budget_s: float | None = None,
    saves: bool = False,
    impure: str = "",
    earlier: ProblemResult | None = None,
    **asked: Any,
) -> SimulatedRun:
    """A whole cell of ``bench`` on the simulated machine: every backend started, found correct or impure, and timed."""
    names = list(computer.speeds)
    usual: dict[str, Any] = {"command": "bench", "out": str(folder), "backends": names, "data": ("toy",)}
    settings = Settings(**usual | {"profile": "standard", "budget_s": budget_s, "steps": 1000} | asked)
    deadline = UNLIMITED
    if budget_s is not None:
        deadline = Deadline(computer.now_s() + budget_s, grace_s=0.05 * budget_s, clock=computer.now_s)
    X = np.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
    spec = ProjectedLogistic(features=3, projection=2, reduction="mean", formulation=settings.formulation)
    problem = make_problem("toy", spec, X, np.array([1.0, 1.0, 0.0, 1.0]))
    case = Case(settings, names, problem)
    record = SimulatedRecord(settings, [], folder, NullObserver())
    record.saves = saves
    recorder = Recorder(record, earlier or case.result())
    record.result.problems, record.result.complete = [recorder.outcome], True  # it has no more than this problem
    with SimulatedCrew(computer, problem, settings, folder, deadline) as crew:
        LATEST[:] = [run := SimulatedRun(crew, recorder, computer)]
        cell = Cell(case, plan_of(settings))
        judging = Judging(cell, recorder)
        clock = CellClock(cell, crew, recorder, judging, StartTimes(dict.fromkeys(names, 0.5)))
        clock.start(clock.to_start())
        value = output(problem, "step")
        quantities: dict[str, Any] = {"loss": {"": value.pop("")}, "gradient": value}
        for name in names:
            if name == impure:
                recorder.found(name, judging.unanswered(name, "impure", "two answers"))
            elif name not in crew.gone and name not in recorder.done:
                recorder.found(name, judge(name, quantities, judging.truth, problem))
                recorder.checked(Checked(backend=name, peak_resident_bytes=40 * 2**20, start=START))
        clock.time()
    assert not computer.running, "a worker was left behind"
    return run
