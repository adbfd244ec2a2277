"""One problem through all its workers: start, check, train, time; each answer is judged and saved as it arrives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Protocol

import msgspec
import numpy as np

from backends import lookup, registered
from bench.profiles import PROFILES
from bench.schedule import is_twin
from bench.stats import compare, control, median_interval, verdict
from gradparity import messages as m
from gradparity import results
from gradparity.diagnoses import diagnose
from gradparity.launch import WorkerFailed, WorkerProcess
from gradparity.optimisers import GradientDescent
from gradparity.recommend import recommend
from gradparity.results import GOOD, BackendInfo, Finding, ProblemResult, RunResult, Timing, Trouble
from gradparity.settings import Settings
from gradparity.timing import Sampled, control_name, measure
from gradparity.training import judge_training, own_loop
from gradparity.truth.reference import Reference, reference
from gradparity.truth.trajectory import Trajectory, trajectory
from gradparity.verdicts import judge, needs_other_precision, told_apart, without_answer
from model_spec.problem import Problem, in_other_precision

#: Every ratio is against this backend, where it takes part: it starts in a tenth of a second, its twin too.
REFERENCE = "numpy"


class Observer(Protocol):
    """Who watches a run."""

    def begin(self, problem: str, stage: str, backend: str) -> None:
        """A stage starts."""

    def finished(self, result: ProblemResult) -> None:
        """A problem is done."""


class ProblemRun:
    """The workers of one problem, and what they have answered so far. A context: on leaving, no worker is left."""

    def __init__(
        self,
        settings: Settings,
        problem: Problem,
        outcome: ProblemResult,
        result: RunResult,
        folder: Path,
        observer: Observer,
        lock: Lock,
    ) -> None:
        self.settings, self.problem, self.outcome = settings, problem, outcome
        self.result, self.folder, self.observer = result, folder, observer
        self.workers: dict[str, WorkerProcess] = {}
        self.configured: dict[str, m.Configured] = {}
        self.loaded: dict[str, m.Loaded] = {}
        self.truth: Reference
        self._order = list(registered())
        self._ending = False
        self._lock = lock  # of the result, which problems that run side by side share
        self._truth_lock = Lock()
        self._other: tuple[Problem, Reference] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> ProblemRun:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(self, names: list[str]) -> None:
        """Compute the truth, once for all backends; their workers start when their turn to be checked comes.

        Started all at once they would share the cores while they import, and each import would look slower than it is.
        """
        self.reference = REFERENCE if REFERENCE in names else (names[0] if names else "")
        timed = self.settings.command != "check" and names
        self.names = [*names, control_name(self.reference)] if timed else names
        self._begin("truth", "")
        self.truth = reference(self.problem)
        self.outcome.truth = self.truth.method
        for absent in self.outcome.troubles:
            self.outcome.findings += without_answer(absent.backend, self.truth, "failed", absent.reason)

    def _spawn(self, name: str) -> WorkerProcess:
        """The worker of that name, started; it ends with this run at the latest."""
        registration = lookup(self.reference if is_twin(name) else name)
        log = self.folder / "logs" / self._log_name(name)
        with self._lock:
            if self._ending:
                raise WorkerFailed(name, "start", "the run is ending")
            worker = WorkerProcess(name, registration, threads=self.settings.threads, log=log)
            self.workers[name] = self._stack.enter_context(worker)
        return worker

    def _log_name(self, backend: str) -> str:
        """A file name made of the data set's name and the backend's."""
        data, name = (re.sub(r"[^A-Za-z0-9._~-]", "-", part)[-100:] for part in (self.problem.name, backend))
        return f"{data}.{name}.log"

    def checks(self) -> list[Callable[[], None]]:
        """What is to be called for each backend, on threads: import, first call, evaluation and training.

        Each one's verdicts are saved at once. The compiling backends come first: they take longest.
        """
        optimisers = self.settings.optimisers() if self.settings.command != "bench" else []
        runs = [trajectory(self.problem, each, self.settings.steps) for each in optimisers]
        self.outcome.diagnoses = diagnose(self.problem, self.truth, runs)
        load = m.load_request(self.problem)
        queue = sorted(self.names, key=lambda name: not (is_twin(name) or lookup(name).compiler))
        return [partial(self._check_one, name, load, runs) for name in queue]

    def abandon(self) -> None:
        """Kill the workers, so that threads that wait for their answers get none; what is missing is no failure."""
        with self._lock:
            self._ending = True
        for worker in list(self.workers.values()):
            worker.kill()

    def _check_one(self, name: str, load: m.Load, runs: list[Trajectory]) -> None:
        try:
            worker = self._spawn(name)
            self._load(name, worker, load)
            if is_twin(name):
                return
            self._begin("evaluation", name)
            found = self._evaluate(name, worker, self.problem, self.truth)
            if needs_other_precision(found):
                self._begin("evaluation in the other precision", name)
                found = told_apart(found, self._in_other_precision(name, worker))
                worker.ask(load, m.Loaded)
            with self._lock:
                self.outcome.findings += found
            if runs and found[0].verdict not in ("impure", "nondeterministic"):
                self._begin("training", name)
                for known in runs:
                    self._train(name, worker, known)
        except WorkerFailed as failure:
            self._lost(name, failure)
        self._save()

    def _train(self, name: str, worker: WorkerProcess, known: Trajectory) -> None:
        """Our optimiser, and for plain gradient descent the backend's own loop beside it."""
        steps = self.settings.steps
        answer = worker.ask(m.Train(known.optimiser, steps), m.Trained)
        found = [judge_training(name, m.path_of(answer), known, self.problem, answer.loop_s)]
        if isinstance(known.optimiser, GradientDescent):
            descent = worker.ask(m.Descend(steps, known.optimiser.learning_rate), m.Descent)
            ran = own_loop(m.unpack({"": descent.losses})[""], self.problem.spec.pack(m.unpack(descent.params)))
            found.insert(0, judge_training(name, ran, known, self.problem, descent.loop_s, shared=found[0]))
        with self._lock:
            self.outcome.training += found

    def _save(self) -> None:
        """Write what there is, rows in the order of the registry whichever backend was done first."""
        with self._lock:
            for rows in (self.outcome.findings, self.outcome.training):
                rows.sort(key=lambda row: self._order.index(row.backend))
            results.save(self.result, self.folder)

    def _load(self, name: str, worker: WorkerProcess, load: m.Load) -> None:
        self._begin("import", name)
        self.configured[name] = worker.receive(m.Configured)
        if not is_twin(name):
            info = BackendInfo(name=name, versions=self.configured[name].versions)
            with self._lock:
                self.result.backends = [info if known.name == name else known for known in self.result.backends]
        self._begin("first call", name)
        self.loaded[name] = worker.ask(load, m.Loaded)

    def _evaluate(self, name: str, worker: WorkerProcess, problem: Problem, truth: Reference) -> list[Finding]:
        """The verdicts on the problem that the worker has loaded."""
        evaluation = worker.ask(m.Evaluate(), m.Evaluation)
        if evaluation.impurity:
            return without_answer(name, truth, evaluation.verdict or "impure", evaluation.impurity)
        quantities = {quantity: m.unpack(tensors) for quantity, tensors in evaluation.quantities.items()}
        return judge(name, quantities, truth, problem)

    def _in_other_precision(self, name: str, worker: WorkerProcess) -> list[Finding]:
        """The verdicts on the same problem in the other dtype; its truth is computed once, when first needed."""
        with self._truth_lock:
            if self._other is None:
                problem = in_other_precision(self.problem)
                self._other = problem, reference(problem)
        problem, truth = self._other
        worker.ask(m.load_request(problem), m.Loaded)
        return self._evaluate(name, worker, problem, truth)

    def time(self) -> None:
        """Rounds of every backend against the reference, then ratios, verdicts and the choice."""
        if not self.workers:
            return
        profile = PROFILES[self.settings.profile]
        seen = measure(
            {name: self.workers[name] for name in self.names if name in self.loaded},
            self.reference,
            profile,
            pair=0,
            seed=self.settings.seed,
            lost=self._lost,
            begin=lambda stage, name: self._begin(stage, name),
        )
        aa = control(seen.rounds.get(control_name(self.reference), []))
        self.outcome.reference, self.outcome.control = self.reference, aa
        for name in [name for name in seen.blocks if not is_twin(name)]:
            blocks = seen.blocks[name]
            ratio = compare(seen.rounds[name], profile, aa) if name in seen.rounds else None
            stopped = self.workers[name].stop() if name in self.workers else None
            self.outcome.timings.append(
                Timing(
                    backend=name,
                    import_s=self.configured[name].import_s,
                    first_call_s=self.loaded[name].first_call_s,
                    compile_cache=self.loaded[name].compile_cache,
                    warm_up=seen.warm_ups[name],
                    inner=seen.inner[name],
                    blocks=blocks,
                    step_ns=median_interval([block.call_ns for block in blocks]) if blocks else None,
                    cpu_per_wall=sum(b.cpu_ns for b in blocks) / sum(b.wall_ns for b in blocks) if blocks else None,
                    ratio=ratio,
                    speed=verdict(ratio, aa.floor) if ratio else None,
                    peak_resident_bytes=stopped.peak_resident_bytes if stopped else None,
                    import_resident_bytes=self.configured[name].resident_bytes,
                )
            )
        self._judge_timed(seen)
        self.outcome.recommendation = recommend(self.outcome)
        self._save()

    def _judge_timed(self, seen: Sampled) -> None:
        """The last output that was timed, checked like any other; only what is off is added."""
        for name in [name for name in seen.outputs if not is_twin(name)]:
            tree = m.unpack(seen.outputs[name])
            quantities: Mapping[str, Mapping[str, np.ndarray]] = {
                "loss": {"": tree[""]},
                "gradient": {parameter: value for parameter, value in tree.items() if parameter},
            }
            found = judge(name, quantities, self.truth.only("loss", "gradient"), self.problem)
            agreed = {
                (f.quantity, f.parameter) for f in self.outcome.findings if f.backend == name and f.verdict in GOOD
            }
            self.outcome.findings += [
                msgspec.structs.replace(finding, rule=f"last timed output: {finding.rule}")
                for finding in found
                if finding.verdict != "agrees" and (finding.quantity, finding.parameter) in agreed
            ]

    def _lost(self, name: str, failure: WorkerFailed) -> None:
        """Write a failure down; a worker that only raised stays, one that is gone is taken out."""
        if self._ending:
            return
        self.loaded.pop(name, None)
        worker = self.workers.pop(name, None)
        if worker is not None:
            worker.close()
        trouble = Trouble(backend=name, stage=failure.stage, reason=failure.reason, detail=failure.detail)
        with self._lock:
            self.outcome.troubles.append(trouble)
            if not is_twin(name) and not any(found.backend == name for found in self.outcome.findings):
                rule = f"{failure.stage}: {failure.reason}"
                self.outcome.findings += without_answer(name, self.truth, "failed", rule)
        self._save()

    def _begin(self, stage: str, backend: str) -> None:
        self.observer.begin(self.problem.name, stage, backend)
