"""One backend in one process: ``python -P -m gradparity.worker.backend FD LIFELINE`` answers requests on a pipe.

An exception while answering is a reply like any other; the worker ends when told to, or when the pipe closes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gradparity.worker.import_clock import NUMPY_CPU_S, NUMPY_S  # before messages, which need NumPy too

# isort: split
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.spec import UserSpec
from gradparity.worker import messages as m
from gradparity.worker.serve import serve

if TYPE_CHECKING:
    from gradparity.backends.protocol import Backend, Data, Loss, Params, Program
    from gradparity.model_spec.problem import Problem
    from gradparity.model_spec.spec import Logistic
    from gradparity.worker.evaluation import TimedCall
    from gradparity.worker.stdout import Printed


class Worker:
    """The state of a worker between requests: a backend, then a problem, then a call to time."""

    def __init__(self) -> None:
        self.backend: Backend
        self.problem: Problem | UserProblem
        self.loss: Loss
        self.program: Program
        self.placed: tuple[Params, Data]
        self.calls: dict[m.Call, TimedCall] = {}
        self.names: Sequence[str] = ()
        self.printed: Printed | None = None
        self._built: dict[Logistic | UserSpec, tuple[Loss, Program]] = {}

    def answer(self, request: m.AnyRequest) -> bytes:
        """The reply to one request as a frame, a failure included."""
        try:
            return m.encode(self._answer(request))
        except (Exception, SystemExit) as error:
            if isinstance(error, SystemExit) and not isinstance(getattr(self, "problem", None), UserProblem):
                raise
            return m.encode(m.Failure(type(error).__name__, self._said(error), traceback.format_exc()))

    def _said(self, error: BaseException) -> str:
        """What an exception says, and where the user's code raised it."""
        words = f"the code ends the process: {error.code!r}" if isinstance(error, SystemExit) else str(error)
        problem = getattr(self, "problem", None)
        if not isinstance(problem, UserProblem) or isinstance(error, InputError):
            return words
        from gradparity.model_spec.user.model import display_path, place_of

        path = Path(problem.spec.path)
        file, line = place_of(error, path, path if path.is_dir() else path.parent)
        return f"{words.splitlines()[0] if words else ''} ({display_path(file)}, line {line})" if line else words

    def _answer(self, request: m.AnyRequest) -> m.AnyReply:
        match request:
            case m.Configure():
                return self._configure(request)
            case m.Load():
                return self._load(request)
            case m.Evaluate():
                from gradparity.worker.evaluation import evaluate

                second = request.second_order
                found = evaluate(self.backend, self.loss, self.program, self.problem, second_order=second)
                return msgspec.structs.replace(found, printed=self.printed.first if self.printed else "")
            case m.Perturb():
                return self._perturb(request)
            case m.OwnDerivatives():
                return self._own_derivatives()
            case m.RecordTaps():
                return self._record_taps(request)
            case m.Descend():
                return self._descend(request)
            case m.Train():
                return self._train(request)
            case m.Footprint():
                for _ in range(request.calls):
                    self.calls["step"]()
                return m.Resident(_peak_resident_bytes())
            case m.ThreadsUsed():
                from gradparity.benchmark.clock import SystemClock
                from gradparity.benchmark.protocol import cpu_per_wall

                return m.Used(cpu_per_wall(self.calls["step"], SystemClock(), request.seconds))
            case m.MeasureLimits():
                return self._limits(request)
            case m.Warm():
                return self._warm_up(request)
            case m.Sample():
                return self._sample(request)
            case m.Stop():
                return m.Stopped()

    def _configure(self, request: m.Configure) -> m.Configured:
        if request.protocol != m.PROTOCOL:
            raise RuntimeError(f"message protocol: got {request.protocol}, expected {m.PROTOCOL}")
        from gradparity.backends import load

        if request.memory_bytes is not None:
            _limit_memory(request.memory_bytes)
        if request.one_core and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        started, cpu_started = time.perf_counter(), time.process_time()
        self.names = request.names
        self.backend = load(request.target)
        self.backend.configure(request.threads)
        import_s = NUMPY_S + time.perf_counter() - started
        import_cpu_s = NUMPY_CPU_S + time.process_time() - cpu_started
        return m.Configured(self.backend.versions(), import_s, import_cpu_s, _resident_bytes())

    def _load(self, request: m.Load) -> m.Loaded:
        from gradparity.backends import place
        from gradparity.worker.evaluation import timed_call

        self.problem = m.problem_of(request)
        if isinstance(self.problem, UserProblem) and self.printed is None:
            from gradparity.worker.stdout import Printed

            self.printed = sys.stdout = Printed(sys.stdout)
        if self.problem.on_disk:  # as is whatever else this worker is to load: the same problem in the other dtype
            from gradparity.backends.streamed import StreamedBackend

            if not isinstance(self.backend, StreamedBackend):
                self.backend = StreamedBackend(self.backend)
        started = time.perf_counter()
        self.loss, self.program = self._build(self.problem.spec)
        self.placed = self.backend.put(self.problem.params), place(self.backend, self.program, self.problem.data)
        step = timed_call(self.backend, self.program.value_and_gradient, *self.placed)
        built = time.perf_counter()
        step()
        called = time.perf_counter()
        self.calls = {"step": step}
        return m.Loaded(built - started, called - built, _compile_cache())

    def _build(self, spec: Logistic | UserSpec) -> tuple[Loss, Program]:
        if spec not in self._built:  # a program built again would be compiled again
            loss: Loss
            if isinstance(spec, UserSpec):
                from gradparity.worker.user_loss import user_loss

                loss = user_loss(spec, self.backend, self.names)
            else:
                loss = self.backend.loss(spec)
            self._built[spec] = loss, self.backend.program(loss)
        return self._built[spec]

    def _own_derivatives(self) -> m.OwnSlopes:
        from gradparity.worker.evaluation import own_derivatives

        problem = self.problem
        assert isinstance(problem, UserProblem)  # noqa: S101  # of the built-in models the truth is known
        wide = problem.cast("float64")
        return m.OwnSlopes(own_derivatives(self.backend, self._build(wide.spec)[1], wide))

    def _perturb(self, request: m.Perturb) -> m.Perturbed:
        from gradparity.numerics.perturbation import along_line, perturbed
        from gradparity.worker.evaluation import evaluations_at

        problem = self.problem
        drawn, line = (
            evaluations_at(
                self.backend,
                self.program,
                inputs(problem.params, problem.data, problem.tangents, seed=problem.seed),
                second_order=request.second_order,
            )
            for inputs in (perturbed, along_line)
        )
        return m.Perturbed(drawn, line)

    def _record_taps(self, request: m.RecordTaps) -> m.Tapped:
        from gradparity.worker.recording import record

        found = record(self.backend, self.loss, self.problem.params, self.problem.data, seed=request.seed)
        return m.Tapped(
            m.pack(found.values),
            m.pack(found.cotangents),
            m.pack(found.value_floors),
            m.pack(found.cotangent_floors),
            found.differentiated,
        )

    def _descend(self, request: m.Descend) -> m.Descent:
        from gradparity.worker.evaluation import descend

        losses, params, loop_s = descend(self.backend, self.program, self.problem, request.steps, request.learning_rate)
        return m.Descent(m.pack({"": losses})[""], m.pack(params), loop_s)

    def _train(self, request: m.Train) -> m.Trained:
        from gradparity.worker.evaluation import train

        started = time.perf_counter()
        path = train(self.backend, self.program, self.problem, request.optimiser, request.steps)
        return m.trained(path, time.perf_counter() - started)

    def _warm_up(self, request: m.Warm) -> m.Warmed:
        from gradparity.benchmark.clock import SystemClock
        from gradparity.benchmark.profiles import PROFILES
        from gradparity.benchmark.protocol import calibrate, warm_up

        if request.call not in self.calls:
            self.calls[request.call] = self._timed(request)
        call = self.calls[request.call]
        profile, clock = PROFILES[request.profile], SystemClock()
        warm = warm_up(call, clock, profile)
        return m.Warmed(warm, calibrate(call, clock, request.block_ns, call_s=warm.call_s))

    def _timed(self, request: m.Warm) -> TimedCall:
        """The call of that name, on the arrays that the step has: placed before any clock starts."""
        from gradparity.worker.evaluation import timed_call

        params, data = self.placed
        match request.call:
            case "loop":
                descend, steps, rate = self.program.descend, request.steps, request.learning_rate
                return timed_call(self.backend, descend, params, data, steps, rate)
            case "collected":
                return self.calls["step"]
            case "primal":
                return timed_call(self.backend, self.program.value, params, data)
            case formulation:
                assert not isinstance(self.problem, UserProblem)  # noqa: S101  # it has one formulation
                program = self._build(self.problem.spec.with_options(formulation=formulation))[1]
                return timed_call(self.backend, program.value_and_gradient, params, data)

    def _limits(self, request: m.MeasureLimits) -> m.Limited:
        from gradparity.benchmark.clock import SystemClock
        from gradparity.benchmark.profiles import PROFILES
        from gradparity.benchmark.roofline import measure_limits
        from gradparity.model_spec.spec import from_dict

        profile, spec = PROFILES[request.profile], from_dict(request.spec)
        assert not isinstance(spec, UserSpec)  # noqa: S101  # nobody knows what its step cannot do without
        return m.Limited(measure_limits(spec, request.rows, SystemClock(), profile))

    def _compilations(self) -> int:
        """How often the backend has compiled; 0 of one that does not count, or has nothing to compile."""
        return getattr(self.backend, "compilations", int)()

    def _sample(self, request: m.Sample) -> m.Sampled:
        from gradparity.benchmark.clock import SystemClock
        from gradparity.benchmark.protocol import rewarm, sample_with_output

        clock, call = SystemClock(), self.calls[request.call]
        if request.rewarm_calls:
            rewarm(call, clock, calls=request.rewarm_calls)
        collect = request.call == "collected"
        compiled_before = self._compilations()
        block, output = sample_with_output(call, request.inner, clock, garbage_collector=collect)
        compiled = self._compilations() - compiled_before
        if compiled:
            raise RuntimeError(f"it compiled {compiled} more times while the {request.call} was timed")
        value, tree = (output, {}) if request.call == "primal" else output
        value = value[0] if request.call == "loop" else value
        return m.Sampled(block, m.pack(self.backend.get({"": value, **tree})))


def _limit_memory(size: int) -> None:
    """Let this process have no more than so many bytes of its own: an allocation beyond fails, and nothing else does.

    On Linux that is what it can write to; address space alone, of which runtimes reserve much more than they use, is
    free. Elsewhere the address space is limited, as far as the system minds it.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    which = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    resource.setrlimit(which, (size, size))


def _resident_bytes() -> int:
    """Resident size now: from Linux itself, so that an interpreter without psutil can be a worker's."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import psutil

        return int(psutil.Process().memory_info().rss)


def _peak_resident_bytes() -> int:
    """Largest resident size so far. ``ru_maxrss`` on Linux starts at the parent's size, so ``VmHWM`` comes first."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return _resident_bytes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _compile_cache() -> str:
    """``warm`` or ``cold`` where a compiler keeps its work on disk between runs, and ``""`` where none does."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    if dynamo is None:
        return ""
    counters = dynamo.counters["inductor"]
    if not counters:
        return ""
    return "cold" if counters["fxgraph_cache_miss"] else "warm"


def main(descriptor: int, lifeline: int) -> None:
    """Answer requests until told to stop or the parent is gone."""
    serve(descriptor, lifeline, m.decode_request, Worker().answer, lambda request: isinstance(request, m.Stop))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
