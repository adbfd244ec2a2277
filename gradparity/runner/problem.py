"""One problem through all its workers: check and train; each answer is judged and saved as it arrives."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.speed.summary import Sampled
from gradparity.model_spec.problem import AnyProblem, UserProblem, in_other_precision
from gradparity.numerics.optimisers import GradientDescent
from gradparity.oracle.protocol import BUILT_IN, NotCertified, Oracle
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import Deadline
from gradparity.processes.launch import Launch
from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.results import (
    GOOD,
    BackendInfo,
    Checked,
    Diagnosis,
    Finding,
    ProblemResult,
    RunResult,
    Start,
    Training,
    Trouble,
    store,
)
from gradparity.runner.observer import Observer
from gradparity.runner.resume import JUDGED, NOTHING_TO_COMPARE, UNCERTIFIED, require_same_versions, untimed
from gradparity.runner.settings import Settings
from gradparity.runner.turns import control_name
from gradparity.worker import messages as m

if TYPE_CHECKING:  # the truth and what judges by it: imported below, while the workers import their frameworks
    import numpy as np

    from gradparity.runner.pairwise import PairwiseRun
    from gradparity.truth.reference import Reference
    from gradparity.truth.trajectory import Trajectory

#: Every ratio is against this backend, where it takes part: it starts in a tenth of a second, its twin too.
REFERENCE = "numpy"


#: Gradient steps of every backend's own loop that are held to the reference before it is timed.
LOOP_STEPS_CHECKED = 5
#: Calls after which a process that has only loaded is as large as stepping makes it; one over a file has many chunks.
FOOTPRINT_CALLS, FOOTPRINT_CALLS_ON_DISK = 3, 0
#: Verdicts that say that numbers are off, which taps may explain.
OFF = frozenset({"wrong", "unstable", "nonfinite"})
#: A disk so slow that reading from one is still waited for, and how often loading and evaluating read the file.
DISK_BYTES_PER_S, LOAD_PASSES, EVALUATE_PASSES = 10**8, 1, 8


class ProblemRun:
    """The workers of one problem, and what they have answered so far. A context: on leaving, no worker is left."""

    def __init__(
        self,
        settings: Settings,
        problem: AnyProblem,
        outcome: ProblemResult,
        result: RunResult,
        folder: Path,
        observer: Observer,
        lock: Lock,
        deadline: Deadline,
        compile_cache: Path | None = None,
        oracle: Oracle = BUILT_IN,
        scratch: Path | None = None,
    ) -> None:
        self.settings, self.problem, self.outcome = settings, problem, outcome
        self.result, self.folder, self.observer = result, folder, observer
        self.deadline, self.compile_cache, self.oracle, self.scratch = deadline, compile_cache, oracle, scratch
        #: Backends whose check came to its end, perhaps in an earlier sitting.
        self.done = {each.backend for each in outcome.checked}
        self.workers: dict[str, WorkerProcess] = {}
        self.configured: dict[str, m.Configured] = {}
        self.loaded: dict[str, m.Loaded] = {}
        self.peaks = {each.backend: each.peak_resident_bytes for each in outcome.checked}
        self.gone: set[str] = set()
        self.took_s: dict[str, float] = {}
        self.formulations_are_cells = len(settings.formulations) > 1
        self.load = m.load_request(problem)
        self.truth: Reference
        self.pairwise: PairwiseRun | None = None
        self._order = settings.order()
        self._processes: list[WorkerProcess] = []
        self._ending = False
        self._lock = lock  # of the result, which problems that run side by side share
        self._truth_lock = Lock()
        self._other: tuple[AnyProblem, Reference] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> ProblemRun:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(self, names: list[str]) -> None:
        """Start all workers side by side, and compute the truth, once for all, while they import.

        Of a bench only the reference is chosen: its workers start one by one, with the machine to themselves.
        """
        self.names = names
        self.reference = REFERENCE if REFERENCE in names else (names[0] if names else "")
        if self.settings.command != "bench":
            for name in self._queue():
                self.workers[name] = self.spawn(name)
        from gradparity.judge.verdicts import without_answer

        self.begin("truth", "")
        self.truth = self._find_truth()
        if self.settings.command == "bench":
            self.truth = self.truth.only("loss", "gradient")
        self.outcome.truth = self.truth.method
        for absent in self.outcome.troubles:
            self.outcome.findings += without_answer(absent.backend, self.truth, "failed", absent.reason)

    def _find_truth(self) -> Reference:
        """Certified where the model can be; where not, backends will be held against each other."""
        try:
            return self.oracle.reference(self.problem)
        except NotCertified as error:
            assert isinstance(self.problem, UserProblem)  # noqa: S101
            if str(error):
                cure = "Backends are compared with each other instead. Write the loss with names that are certified."
                self._diagnose(Diagnosis(name="no certified truth", finding=str(error).rstrip("."), cure=cure))
            self.mark(UNCERTIFIED)
            from gradparity.runner.pairwise import PairwiseRun, unknown

            self.pairwise = PairwiseRun(self.problem)
            return unknown(self.problem, second_order=True)

    def spawn(self, name: str, role: str = "", *, one_core: bool = False) -> WorkerProcess:
        """A worker of that backend, started; it ends with this run at the latest. ``role`` tells its log from others'.

        Raises:
            WorkerFailed: the run is ending.
        """
        registration = self.settings.registration(self.reference if is_twin(name) else name)
        log = self.folder / "logs" / self._log_name(name, role)
        with self._lock:
            if self._ending:
                raise WorkerFailed(name, "start", "the run is ending")
            launch = Launch(
                log,
                self.settings.threads,
                compile_cache=self.compile_cache,
                scratch=self.scratch,
                deadline=self.deadline.hard(),
                allowance=self.settings.allowance,
            )
            worker = WorkerProcess(name, registration, launch, one_core=one_core)
            self._processes.append(self._stack.enter_context(worker))
        return worker

    def _log_name(self, *parts: str) -> str:
        """A file name made of the problem's label, the backend's name and what the process is for."""
        words = (self.outcome.label, *parts)
        return ".".join(re.sub(r"[^A-Za-z0-9._~-]+", "-", word)[-100:] for word in words if word) + ".log"

    def checks(self) -> list[Callable[[], None]]:
        """What is to be called for each backend, on threads: import, first call, evaluation and training.

        Each one's verdicts are saved at once. A bench checks what it times: loss, gradient, and a few steps of the
        backend's own loop.
        """
        from gradparity.judge.diagnoses import diagnose

        settings = self.settings
        self.steps = settings.steps
        runs: list[Trajectory] = []
        if self.pairwise is not None or self.done >= set(self.names):
            pass  # a path has no reference either; or nobody is left who would need one
        elif self.problem.on_disk:  # an extended-precision run would read the file for every step and every draw
            self._diagnose(*diagnose(self.problem, self.truth))
            self.leave_out("training and loops are not held to a reference: the data are read from a file in pieces")
        elif settings.command == "bench":
            runs = self._loop_reference()
        else:
            runs = [self.oracle.trajectory(self.problem, each, self.steps) for each in settings.optimisers()]
            self._diagnose(*diagnose(self.problem, self.truth, runs))
        return [partial(self._check_one, name, runs) for name in self._queue()]

    def _queue(self) -> list[str]:
        """Whom to check, in this order: the compiling backends take longest. A run times the same processes."""
        names = [name for name in self.names if name not in self.gone and name not in self.done]
        if self.settings.command == "run":
            timed = untimed(self.outcome, [name for name in self.names if name not in self.gone])
            if timed:  # in turns with the reference, whose twin gives the control
                first = [self.reference] if self.reference not in self.gone else []
                names = list(dict.fromkeys([*first, *names, *timed, control_name(self.reference)]))
        return sorted(names, key=lambda name: not (is_twin(name) or self.settings.registration(name).compiler))

    def _loop_reference(self) -> list[Trajectory]:
        """A few steps of gradient descent, where the reference can afford them; elsewhere the first loss is judged."""
        descent = GradientDescent(self.settings.learning_rate)
        self.steps = min(LOOP_STEPS_CHECKED, self.oracle.affordable_steps(self.problem, descent))
        return [self.oracle.trajectory(self.problem, descent, self.steps)] if self.steps > 1 else []

    def abandon(self) -> None:
        """Kill the workers, so that threads that wait for their answers get none; what is missing is no failure."""
        with self._lock:
            self._ending = True
        for worker in list(self._processes):
            worker.kill()
        self.oracle.abandon()

    def _check_one(self, name: str, runs: list[Trajectory]) -> None:
        from gradparity.judge.verdicts import needs_other_precision, told_apart

        began_s = time.monotonic()
        try:
            worker = self.workers[name] if name in self.workers else self.spawn(name)
            self.workers[name] = worker
            self._load(name, worker)
            if is_twin(name) or name in self.done:
                return
            calls = FOOTPRINT_CALLS_ON_DISK if self.problem.on_disk else FOOTPRINT_CALLS
            self.peaks[name] = worker.ask(m.MeasureMemory(calls)).peak_bytes
            self.begin("evaluation", name)
            found = self._evaluate(name, worker, self.problem, self.truth)
            if self.pairwise is None and needs_other_precision(found):
                self.begin("evaluation in the other precision", name)
                found = told_apart(found, self._in_other_precision(name, worker))
                worker.ask(self.load)
            with self._lock:
                self.outcome.findings = [f for f in self.outcome.findings if f.backend != name] + found
            if found and found[0].verdict not in ("impure", "nondeterministic"):
                for known in runs:
                    self.begin("training", name)
                    self._train(name, worker, known)
            with self._lock:
                self.outcome.checked.append(self._checked(name))
            self.done.add(name)
            if self.settings.command == "bench":  # another process of it is timed
                self.workers.pop(name).stop()
        except WorkerFailed as failure:
            self.lost(name, failure)
        self.took_s[name] = time.monotonic() - began_s
        self.save()

    def _checked(self, name: str) -> Checked:
        """The process in which a backend was checked."""
        configured, loaded = self.configured[name], self.loaded[name]
        start = Start(
            pair=None,
            beside_others=True,
            import_s=configured.import_cpu_s,
            build_s=loaded.build_s,
            first_call_s=loaded.first_call_s,
            compile_cache=loaded.compile_cache,
            resident_bytes=configured.resident_bytes,
        )
        return Checked(backend=name, peak_resident_bytes=self.peaks[name], start=start)

    def _train(self, name: str, worker: WorkerProcess, known: Trajectory) -> None:
        """Our optimiser, and for plain gradient descent the backend's own loop beside it; a bench times that alone."""
        from gradparity.judge.training import judge_training, own_loop

        found: list[Training] = []
        if self.settings.command != "bench":
            answer = worker.ask(m.Train(known.optimiser, self.steps))
            found.append(judge_training(name, answer.path, known, self.problem, answer.loop_s, oracle=self.oracle))
        if isinstance(known.optimiser, GradientDescent):
            descent = worker.ask(m.Descend(self.steps, known.optimiser.learning_rate))
            ran = own_loop(descent.losses, self.problem.spec.pack(descent.params))
            shared = found[0] if found else None
            found.insert(
                0, judge_training(name, ran, known, self.problem, descent.loop_s, shared=shared, oracle=self.oracle)
            )
        with self._lock:
            self.outcome.training += found

    def conclude(self) -> None:
        """Judge what can only be judged once every backend has answered; and where one is off, ask where they part."""
        if JUDGED in self.outcome.stages:
            return
        if self.pairwise is not None:
            judged = self.pairwise.judge()
            if judged is None:
                said = "fewer than two backends have answered, and there is no truth to hold one against"
                self._diagnose(Diagnosis(name=NOTHING_TO_COMPARE, finding=said, cure="See what failed."))
            else:
                self.outcome.pairwise, found = judged
                self.outcome.findings += found
        if isinstance(self.problem, UserProblem) and any(f.verdict in OFF for f in self.outcome.findings):
            from gradparity.runner.divergence import find_divergences, with_places

            self.begin("recording of taps", "")
            self._load_again()
            self.outcome.divergences = find_divergences(self.workers, self.outcome.findings, self.problem.seed)
            if self.outcome.divergences is not None:
                self.outcome.findings = with_places(self.outcome.findings, self.outcome.divergences)
        self.mark(JUDGED)
        self.save()

    def _load_again(self) -> None:
        """Start those who were checked in an earlier sitting, to be asked once more."""
        for name in [name for name in self.names if name in self.done and name not in self.workers]:
            try:
                self.workers[name] = worker = self.spawn(name)
                self._load(name, worker)
            except WorkerFailed as failure:
                self.lost(name, failure)

    def mark(self, stage: str) -> None:
        """Write down that a stage came to its end."""
        with self._lock:
            if stage not in self.outcome.stages:
                self.outcome.stages.append(stage)

    def _diagnose(self, *said: Diagnosis) -> None:
        """Add what is to be said about the problem, unless an earlier sitting has."""
        with self._lock:
            self.outcome.diagnoses += [each for each in said if each not in self.outcome.diagnoses]

    def save(self) -> None:
        """Write what there is, rows in the order of the registry whichever backend was done first."""
        with self._lock:
            if self._ending:  # whoever ends the run saves, once
                return
            for rows in (self.outcome.findings, self.outcome.training, self.outcome.timings):
                rows.sort(key=lambda row: self._order.index(row.backend))
            store.save(self.result, self.folder)

    def _load(self, name: str, worker: WorkerProcess) -> None:
        self.begin("import", name)
        self.configured[name] = worker.configured()
        self.imported(name, self.configured[name])
        self.begin("first call", name)
        self.loaded[name] = worker.ask(self.load, timeout_s=self._patience_s(self.load, LOAD_PASSES))

    def _patience_s(self, request: m.Load | m.Evaluate, passes: int) -> float | None:
        """How long to wait for an answer that reads a file so often; None for the request's own limit."""
        if not self.problem.on_disk:
            return None
        size_bytes: int = self.problem.data["X"].file.rows * self.problem.data["X"].file.row_bytes
        return request.timeout_s + passes * size_bytes / DISK_BYTES_PER_S

    def imported(self, name: str, configured: m.Configured) -> None:
        """Write down which versions a backend is of."""
        if not is_twin(name):
            info = BackendInfo(name=name, versions=configured.versions)
            known = next((each for each in self.result.backends if each.name == name), None)
            if known is not None:
                require_same_versions(name, known.versions, info.versions)
            with self._lock:
                self.result.backends = [info if known.name == name else known for known in self.result.backends]

    def _evaluate(self, name: str, worker: WorkerProcess, problem: AnyProblem, truth: Reference) -> list[Finding]:
        """The verdicts on the problem that the worker has loaded."""
        from gradparity.judge.verdicts import judge, without_answer

        request = m.Evaluate(second_order=self.settings.command != "bench")
        evaluation = worker.ask(request, timeout_s=self._patience_s(request, EVALUATE_PASSES))
        if evaluation.impurity:
            return without_answer(name, truth, evaluation.verdict or "impure", evaluation.impurity)
        self._note_printing(name, evaluation.printed)
        quantities = evaluation.quantities
        if self.pairwise is not None:
            self.begin("evaluation at moved inputs", name)
            self.pairwise.ask(name, worker, quantities, second_order=self.settings.command != "bench")
            return []
        if evaluation.without:
            truth = truth.only(*({quantity for quantity, _ in truth.truth.blocks} - set(evaluation.without)))
        return judge(name, quantities, truth, problem)

    def _note_printing(self, name: str, line: str) -> None:
        """Say once for each backend that the user's code prints there."""
        if line:
            self._diagnose(
                Diagnosis(
                    name=f"the model prints on {name}",
                    finding=f"it printed {line!r} while it was evaluated; the process's log has all of it",
                    cure="Printing takes time, which is timed too: leave it out of the loss.",
                )
            )

    def _in_other_precision(self, name: str, worker: WorkerProcess) -> list[Finding]:
        """The verdicts on the same problem in the other dtype; its truth is computed once, when first needed."""
        with self._truth_lock:
            if self._other is None:
                problem = in_other_precision(self.problem)
                self._other = problem, self.oracle.reference(problem)
        problem, truth = self._other
        if self.settings.command == "bench":
            truth = truth.only("loss", "gradient")
        worker.ask(m.load_request(problem))
        return self._evaluate(name, worker, problem, truth)

    def judge_timed(self, seen: Mapping[m.Call, list[Sampled]]) -> None:
        """The last outputs that were timed, checked like any other; only what is off is added."""
        for call, pairs in seen.items():
            outputs = pairs[-1].outputs if pairs else {}
            for name in [name for name in outputs if not is_twin(name)]:
                self._judge_output(call, name, outputs[name])

    def _judge_output(self, call: m.Call, name: str, tree: Mapping[str, np.ndarray]) -> None:
        """A step's loss and gradient; of a loop the loss of its first step, which is that of the start."""
        from gradparity.judge.verdicts import judge

        quantities: dict[str, Mapping[str, np.ndarray]] = {"loss": {"": tree[""]}}
        if call == "step":
            quantities["gradient"] = {parameter: value for parameter, value in tree.items() if parameter}
        truth = self.truth if self.pairwise is None else self.pairwise.reference_of(name)
        if truth is None:
            return
        found = judge(name, quantities, truth.only(*quantities), self.problem)
        rule, known = f"last timed {call}: ", [each for each in self.outcome.findings if each.backend == name]
        agreed = {(each.quantity, each.parameter) for each in known if each.verdict in GOOD}
        said = {(each.quantity, each.parameter) for each in known if each.rule.startswith(rule)}  # of an earlier pair
        self.outcome.findings += [
            msgspec.structs.replace(finding, rule=rule + finding.rule)
            for finding in found
            if finding.verdict != "agrees" and (finding.quantity, finding.parameter) in agreed - said
        ]

    def lost(self, name: str, failure: WorkerFailed) -> None:
        """Write a failure down; the worker that only raised goes too. A worker cut off by the budget has not failed."""
        from gradparity.judge.verdicts import without_answer

        if self._ending:
            return
        self.loaded.pop(name, None)
        self.gone.add(name)
        worker = self.workers.pop(name, None)
        if worker is not None:
            worker.close()
        if failure.kind == "NothingToRun":
            with self._lock:
                self.outcome.idle[name] = failure.reason
            return
        if isinstance(failure, OutOfTime):
            self.leave_out(f"{name}: cut off in {failure.stage}")
            return
        trouble = Trouble(backend=name, stage=failure.stage, reason=failure.reason, detail=failure.detail)
        with self._lock:
            self.outcome.troubles.append(trouble)
            if not is_twin(name) and not any(found.backend == name for found in self.outcome.findings):
                rule = f"{failure.stage}: {failure.reason}"
                self.outcome.findings += without_answer(name, self.truth, "failed", rule)
        self.save()

    def leave_out(self, what: str, backend: str = "") -> None:
        """Name something that the time budget does not allow; a backend left out altogether is not checked either."""
        with self._lock:
            self.outcome.left_out.append(what)
            self.gone.add(backend)
        self.save()

    def begin(self, stage: str, backend: str) -> None:
        """Tell who watches."""
        self.observer.begin(self.outcome.label, stage, backend)
