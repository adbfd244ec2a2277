"""One backend in one process: ``python -P -m gradparity.worker.backend FD LIFELINE`` answers requests on a pipe.

An exception while answering is a reply like any other; the worker ends when told to, or when the pipe closes.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from gradparity.worker.import_clock import NUMPY_CPU_S, NUMPY_S  # before messages, which need NumPy too

# isort: split
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.spec import UserSpec
from gradparity.worker import messages as m
from gradparity.worker import reasons
from gradparity.worker.by_hand import program_of
from gradparity.worker.earlier import noted
from gradparity.worker.halved import in_precision
from gradparity.worker.memory import limit_memory, peak_resident_bytes, resident_bytes
from gradparity.worker.parts import give_first
from gradparity.worker.ported import by_name, in_its_layout
from gradparity.worker.serve import serve
from gradparity.worker.wire import Reply, Request, encode, failure

if TYPE_CHECKING:
    from gradparity.backends.protocol import Backend, Data, Loss, Params, Program
    from gradparity.backends.shards import Combination
    from gradparity.model_spec.problem import Problem
    from gradparity.model_spec.spec import Logistic
    from gradparity.worker.evaluation import Asked, TimedCall
    from gradparity.worker.stdout import Printed


class Worker:
    """The state of a worker between requests: a backend, then a problem, then a call to time."""

    def __init__(self) -> None:
        self.whole: Backend
        self.backend: Backend
        self.problem: Problem | UserProblem
        self.loss: Loss
        self.program: Program
        self.placed: tuple[Params, Data]
        self.calls: dict[m.Call, TimedCall] = {}
        self.timed: set[m.Call] = set()
        self.names: Sequence[str] = ()
        self.eager: Sequence[str] = ()
        self.printed: Printed | None = None
        self.asked: Asked
        self._built: dict[Logistic | UserSpec, tuple[Loss, Program]] = {}
        self._combinations: dict[str, Combination] = {}

    def answer(self, request: Request[Any]) -> bytes:
        """The reply to one request as a frame, a failure included."""
        try:
            return encode(ANSWERS[type(request)](self, request))
        except BaseException as error:  # whatever a model raises is an answer: no signal of a terminal comes here
            own = isinstance(error, KeyboardInterrupt | SystemExit)
            if own and not isinstance(getattr(self, "problem", None), UserProblem):
                raise
            return encode(failure(error, self._said(error)))

    def _said(self, error: BaseException) -> str:
        """What an exception says, and where the user's code raised it."""
        problem = getattr(self, "problem", None)
        if isinstance(error, InputError) or not isinstance(problem, UserProblem):
            return str(error)
        from gradparity.worker.user_loss import said_of

        return said_of(error, problem.spec)

    def _configure(self, request: m.Configure) -> m.Configured:
        if request.protocol != m.PROTOCOL:
            raise RuntimeError(f"message protocol: got {request.protocol}, expected {m.PROTOCOL}")
        from gradparity.backends import load

        if request.memory_bytes is not None:
            limit_memory(request.memory_bytes)
        reasons.prepare(request)
        started, cpu_started = time.perf_counter(), time.process_time()
        self.names = request.names
        found: Any = load(request.target)
        self.backend = self.whole = found(request.command) if request.command else found
        self.backend.configure(request.threads)
        import_s = NUMPY_S + time.perf_counter() - started
        import_cpu_s = NUMPY_CPU_S + time.process_time() - cpu_started
        uncompiled = hasattr(self.backend, "uncompiled")
        return m.Configured(self.backend.versions(), import_s, import_cpu_s, resident_bytes(), uncompiled)

    def _load(self, request: m.Load) -> m.Loaded:
        from gradparity.backends import place
        from gradparity.worker.evaluation import timed_call
        from gradparity.worker.user_loss import require_answer, say_no_scalar

        self.problem = m.problem_of(request)
        if isinstance(self.problem, UserProblem) and self.printed is None:
            from gradparity.worker.stdout import Printed

            self.printed = sys.stdout = Printed(sys.stdout)
        if self.problem.on_disk:  # as is whatever else this worker is to load: the same problem in the other dtype
            from gradparity.backends.streamed import StreamedBackend

            if not isinstance(self.whole, StreamedBackend):
                self.whole = StreamedBackend(self.whole)
        self.backend = in_precision(self.whole, self.problem.spec)
        started = time.perf_counter()
        self.loss, self.program = self.build(self.problem.spec)
        self.eager = request.eager
        if self.eager:
            self.program = program_of(self.backend, self.loss, self.eager)
        self.placed = self.backend.put(self.problem.params), place(self.backend, self.program, self.problem.data)
        step = timed_call(self.backend, self.program.value_and_gradient, *self.placed)
        built = time.perf_counter()
        try:
            first = step()
        except Exception:
            say_no_scalar(self.loss, *self.placed)
            raise
        require_answer(self.loss, first)  # a framework that differentiates sums of entries has not raised
        called = time.perf_counter()
        if request.early:
            give_first(self.backend, first)
        self.calls, self.timed, self.answers = {"step": step}, set(), noted(self.backend, first)
        count = getattr(self.backend, "operations", None) if self.eager else None
        operations = count(self.loss, *self.placed) if count is not None else 0
        return m.Loaded(built - started, called - built, _compile_cache(), operations, *reasons.as_written(self))

    def _compile(self, request: m.Compile) -> m.Compiled:
        with contextlib.suppress(Exception):  # the evaluation, which follows, says what is the matter
            given = getattr(self.program, request.what)(*self.placed, self.backend.put(self.problem.tangents))
            self.answers += noted(self.backend, self.backend.wait(given), request.what)
        return m.Compiled()

    def build(self, spec: Logistic | UserSpec) -> tuple[Loss, Program]:
        """Build the loss and the program of a spec, once."""
        if spec not in self._built:  # a program built again would be compiled again
            loss: Loss
            if isinstance(spec, UserSpec):
                from gradparity.worker.user_loss import user_loss

                own = getattr(self.backend, "user_loss", None)
                loss = user_loss(spec, self.backend, self.names) if own is None else own(spec)
                if hasattr(self.backend, "alone"):
                    from gradparity.worker.ranks import combined

                    loss.combination = combined(self.backend, loss, self.problem, self._combinations)
            else:
                from gradparity.backends.built_in import built_in_loss

                loss = built_in_loss(self.backend, spec)
            self._built[spec] = loss, program_of(self.backend, loss)
        return self._built[spec]

    def _evaluate(self, request: m.Evaluate) -> m.Evaluated:
        from gradparity.worker.evaluation import Asked, evaluate

        self.asked = Asked.of(self.loss, self.program, self.problem, second_order=request.second_order)
        from gradparity.worker.ranks import called_before

        kind = called_before(self.backend, self.program, self.problem)
        found = evaluate(self.backend, self.loss, self.program, self.problem, asked=self.asked, before=self.answers)
        printed, missed = self.printed is not None and self.printed.any, getattr(self.loss, "missed", {})
        return msgspec.structs.replace(found, printed=printed, missed=missed, over_rows=kind)

    def _extrapolate(self, request: m.Extrapolate) -> m.Extrapolated:
        from gradparity.worker.extrapolation import (
            beside_kinks,
            declares,
            own_derivatives,
            second_derivatives,
            with_taps_held,
        )

        problem = self.problem
        assert isinstance(problem, UserProblem)  # noqa: S101  # of the built-in models the truth is known
        wide, ends_s = problem.cast("float64"), time.monotonic() + request.seconds
        loss, program = self.build(wide.spec)
        program = program_of(self.backend, loss, self.eager) if self.eager else program
        if request.taps:
            return m.Extrapolated(held=with_taps_held(self.backend, loss, wide, ends_s=ends_s))
        slopes = own_derivatives(self.backend, program, wide, loss, ends_s=ends_s)
        given = {"jvp", "hvp"} - set(self.asked.without) if slopes else set()
        along = {"": dict(wide.tangents)}
        stops = declares(self.backend, loss, wide)
        return m.Extrapolated(
            slopes,
            own_derivatives(self.backend, program, wide, loss, along, ends_s=ends_s) if "jvp" in given else {},
            second_derivatives(self.backend, program, wide, loss, ends_s=ends_s) if "hvp" in given else {},
            sides=beside_kinks(self.backend, program, wide, slopes, ends_s=ends_s),
            through=own_derivatives(self.backend, program, wide, ends_s=ends_s) if stops else {},
        )

    def _perturb(self, request: m.Perturb) -> m.Perturbed:
        from gradparity.numerics.beside import POINTS, beside
        from gradparity.numerics.perturbation import DRAWS, LINE_POINTS, along_line, perturbed
        from gradparity.worker.evaluation import evaluations_at, too_much

        problem = self.problem
        count = DRAWS + LINE_POINTS + POINTS
        missing = too_much(self.backend, self.program, problem, self.asked, count, request.seconds)
        if missing:
            return m.Perturbed([], [], [], missing)
        inputs, raised = (problem.params, problem.data, problem.tangents), list[Exception]()
        at = (moved(*inputs, seed=problem.seed) for moved in (perturbed, along_line, beside))
        drawn, line, near = (evaluations_at(self.backend, self.program, each, self.asked, raised) for each in at)
        said = f"{type(raised[0]).__name__}: {self._said(raised[0])}" if raised else ""
        # Of points in a row, one without an answer makes the others no line, and no sides.
        line, near = line if len(line) == LINE_POINTS else [], near if len(near) == POINTS else []
        return m.Perturbed(drawn, line, near, "" if drawn else f"the loss raises there: {said}", said)

    def _descend(self, request: m.Descend) -> m.Descended:
        from gradparity.worker.evaluation import affordable, descend

        steps = request.steps
        if request.seconds is not None:
            steps = affordable(self.calls["step"], steps, request.seconds)
        return descend(self.backend, self.program, self.problem, steps, request.learning_rate)

    def _train(self, request: m.Train) -> m.Trained:
        from gradparity.worker.evaluation import train

        started = time.perf_counter()
        path = train(self.backend, self.program, self.problem, request.optimiser, request.steps, request.seconds)
        return m.Trained(path, time.perf_counter() - started)

    def _measure_memory(self, request: m.MeasureMemory) -> m.MeasuredMemory:
        for _ in range(request.calls):
            self.answers += noted(self.backend, self.calls["step"]())
        return m.MeasuredMemory(peak_resident_bytes())

    def _count_threads(self, request: m.CountThreads) -> m.CountedThreads:
        from gradparity.benchmark.protocol import cpu_per_wall
        from gradparity.worker.ranks import deciding_clock

        return m.CountedThreads(cpu_per_wall(self.calls["step"], deciding_clock(self.backend), request.seconds))

    def _warm(self, request: m.Warm) -> m.Warmed:
        from gradparity.benchmark.profiles import PROFILES
        from gradparity.benchmark.protocol import calibrate, warm_up
        from gradparity.worker.ranks import deciding_clock

        if request.call not in self.timed:
            self.calls[request.call] = self._timed(request)
            self.timed.add(request.call)
        call, profile, clock = self.calls[request.call], PROFILES[request.profile], deciding_clock(self.backend)
        warm = warm_up(call, clock, profile)
        return m.Warmed(warm, calibrate(call, clock, request.block_ns, call_s=warm.call_s))

    def _timed(self, request: m.Warm) -> TimedCall:
        """The call of that name, on the arrays that the step has: placed before any clock starts."""
        from gradparity.worker.evaluation import timed_call

        program, params, data = in_its_layout(self.backend, self.loss, self.program, self.problem, self.placed)
        match request.call:
            case "loop":
                return timed_call(self.backend, program.descend, params, data, request.steps, request.learning_rate)
            case "collected" | "step":
                return timed_call(self.backend, program.value_and_gradient, params, data)
            case "primal":
                return timed_call(self.backend, program.value, params, data)
            case "communication":
                return timed_call(self.backend, program.communicate, params, data)  # type: ignore[attr-defined]
            case formulation:
                assert not isinstance(self.problem, UserProblem)  # noqa: S101  # it has one formulation
                program = self.build(replace(self.problem.spec, formulation=formulation))[1]
                return timed_call(self.backend, program.value_and_gradient, params, data)

    def _measure_limits(self, request: m.MeasureLimits) -> m.MeasuredLimits:
        from gradparity.benchmark.clock import Clock
        from gradparity.benchmark.profiles import PROFILES
        from gradparity.benchmark.roofline import measure_limits
        from gradparity.model_spec.spec import from_dict

        profile, spec = PROFILES[request.profile], from_dict(request.spec)
        assert not isinstance(spec, UserSpec)  # noqa: S101  # nobody knows what its step cannot do without
        return m.MeasuredLimits(measure_limits(spec, request.rows, Clock(), profile))

    def _compilations(self) -> int:
        """How often the backend has compiled; 0 of one that does not count, or has nothing to compile."""
        return getattr(self.backend, "compilations", int)()

    def _sample(self, request: m.Sample) -> m.Sampled:
        from gradparity.benchmark.clock import Clock
        from gradparity.benchmark.protocol import rewarm, sample
        from gradparity.worker.ranks import deciding_clock

        clock, call = Clock(getattr(self.backend, "process_id", None)), self.calls[request.call]
        if request.rewarm_calls:
            rewarm(call, deciding_clock(self.backend), calls=request.rewarm_calls)
        collect = request.call == "collected"
        compiled_before = self._compilations()
        block, output = sample(call, request.inner, clock, garbage_collector=collect)
        compiled = self._compilations() - compiled_before
        if compiled:
            raise RuntimeError(f"it compiled {compiled} more times while the {request.call} was timed")
        value, tree = (output, {}) if request.call == "primal" else output
        value = value[0] if request.call == "loop" else value
        return m.Sampled(block, by_name(self.loss, self.backend.get({"": value, **tree})))


#: What answers each kind of request.
ANSWERS: dict[type[Request[Any]], Callable[[Worker, Any], Reply]] = {
    m.Configure: Worker._configure,
    m.Load: Worker._load,
    m.Compile: Worker._compile,
    m.Evaluate: Worker._evaluate,
    m.Perturb: Worker._perturb,
    m.Scatter: reasons.scatter,
    m.Extrapolate: Worker._extrapolate,
    m.Record: reasons.record,
    m.Trace: reasons.trace,
    m.Cure: reasons.cure,
    m.Points: reasons.points,
    m.Redraw: reasons.redraw,
    m.Descend: Worker._descend,
    m.Train: Worker._train,
    m.TakeSteps: reasons.take_steps,
    m.GiveGradients: reasons.give_gradients,
    m.DrawStarts: reasons.draw_starts,
    m.Differentiate: reasons.differentiate,
    m.MeasureMemory: Worker._measure_memory,
    m.CountThreads: Worker._count_threads,
    m.MeasureLimits: Worker._measure_limits,
    m.Warm: Worker._warm,
    m.Sample: Worker._sample,
}


def _compile_cache() -> str:
    """``warm`` or ``cold`` where a compiler keeps its work on disk between runs, and ``""`` where none does."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    if dynamo is None:
        return ""
    counters = dynamo.counters["inductor"]
    if not counters:
        return ""
    return "cold" if counters["fxgraph_cache_miss"] else "warm"


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), m.decode_request, Worker().answer)
