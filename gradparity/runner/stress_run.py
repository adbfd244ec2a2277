"""The standard stress suite over the chosen backends: one worker a backend for all of it, verdicts only, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from gradparity.backends import lookup
from gradparity.judge.verdicts import judge, needs_other_precision, told_apart, without_answer
from gradparity.model_spec.problem import Problem, in_other_precision
from gradparity.model_spec.spec import to_dict
from gradparity.numerics.extended import require_extended_precision
from gradparity.processes import machine
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.launch import Launch
from gradparity.processes.peer import WorkerFailed
from gradparity.processes.scratch import scratch_folder
from gradparity.results import BackendInfo, Finding, ProblemResult, RunResult, Trouble, store
from gradparity.runner.observer import Observer
from gradparity.runner.session import begun, chosen_backends, going_on, sitting
from gradparity.runner.settings import Settings
from gradparity.runner.stress import StressProblem, stress_problems
from gradparity.truth.logistic.truth import reference
from gradparity.truth.reference import Reference
from gradparity.worker import messages as m


def run_stress(settings: Settings, observer: Observer, *, resume: bool = False) -> RunResult:
    """The suite, on every backend that ``settings`` name; their data and model are not looked at.

    With ``resume``, problems that a backend has answered in an earlier sitting in the same folder are not asked again.

    Raises:
        InputError: the output folder is at fault, and nothing was started; or there is no more room in it.
    """
    require_extended_precision()
    names, infos, absent = chosen_backends(settings)
    with scratch_folder() as scratch, store.hold(settings.out) as folder:
        result = begun(settings, infos)
        earlier = going_on(result, folder) if resume else []
        with sitting(result, folder):
            suite = _Suite(stress_problems(settings.seed), result, folder, scratch, observer, earlier)
            if result.problems:
                result.problems[0].troubles.extend(absent)
            pool = ThreadPoolExecutor(max(1, machine.usable_cores() // settings.threads))
            try:
                for done in [pool.submit(suite.check, name, settings) for name in names]:
                    done.result()
            except BaseException:
                suite.abandon()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            pool.shutdown()
    return result


@dataclass
class _Suite:
    """The problems with their truths, which every backend is held to, and the results so far."""

    cases: Sequence[StressProblem]
    result: RunResult
    folder: Path
    scratch: Path
    observer: Observer
    earlier: Sequence[ProblemResult] = ()
    truths: dict[int, Reference] = field(default_factory=dict)
    others: dict[int, tuple[Problem, Reference]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._workers: list[WorkerProcess] = []
        self._ending = False
        known = {problem.label: problem for problem in self.earlier}
        self._lock, self._order = Lock(), {info.name: place for place, info in enumerate(self.result.backends)}
        self.result.problems = list(self.earlier)  # so that an interruption loses none of them
        self.observer.begin("stress suite", "truth", "")
        problems: list[ProblemResult] = []
        for index, case in enumerate(self.cases):
            self.truths[index] = reference(case.problem)
            problem = ProblemResult(
                name=case.name,
                source=case.why,
                digest="",
                rows=case.problem.rows,
                spec=to_dict(case.problem.spec),
                truth=self.truths[index].method,
                expected=case.expected,
            )
            if problem.label in known:
                problem.findings = [f for f in known[problem.label].findings if f.verdict != "failed"]
            problems.append(problem)
        self.result.problems = problems

    def abandon(self) -> None:
        """Kill the workers, so that nobody waits for their answers; what is missing is no failure."""
        with self._lock:
            self._ending = True
        for worker in self._workers:
            worker.kill()

    def _todo(self, name: str) -> list[int]:
        """The problems that a backend has not answered yet."""
        compiler = lookup(name).compiler
        return [
            index
            for index, case in enumerate(self.cases)
            if (case.compiled or not compiler)
            and not any(found.backend == name for found in self.result.problems[index].findings)
        ]

    def check(self, name: str, settings: Settings) -> None:
        """Every problem in one worker; one that raises goes on, one that is gone has failed the rest."""
        todo = self._todo(name)
        if not todo:
            return
        log = self.folder / "logs" / f"stress.{name}.log"
        launch = Launch(log, settings.threads, scratch=self.scratch, allowance=settings.allowance)
        with WorkerProcess(name, lookup(name), launch) as worker:
            with self._lock:
                if self._ending:
                    return
                self._workers.append(worker)
            lost: WorkerFailed | None = None
            try:
                self.observer.begin("stress suite", "import", name)
                self._imported(name, worker.configured())
            except WorkerFailed as failure:
                lost = failure
                self._trouble(0, failure)
            for index in todo:
                self.observer.begin(self.cases[index].name, "evaluation", name)
                if lost is None:
                    try:
                        self._add(index, self._findings(name, worker, index))
                        continue
                    except WorkerFailed as failure:
                        self._trouble(index, failure)
                        reason, lost = failure.reason, None if failure.alive else failure
                else:
                    reason = f"the worker was lost: {lost.reason}"
                self._add(index, without_answer(name, self.truths[index], "failed", reason))

    def _findings(self, name: str, worker: WorkerProcess, index: int) -> list[Finding]:
        problem = self.cases[index].problem
        found = _evaluate(name, worker, problem, self.truths[index])
        if self.cases[index].expected or not needs_other_precision(found):
            return found
        if index not in self.others:
            other = in_other_precision(problem)
            self.others[index] = other, reference(other)
        return told_apart(found, _evaluate(name, worker, *self.others[index]))

    def _add(self, index: int, found: list[Finding]) -> None:
        with self._lock:
            if self._ending:
                return
            rows = self.result.problems[index].findings
            rows += found
            rows.sort(key=lambda finding: self._order[finding.backend])
            store.save(self.result, self.folder)

    def _imported(self, name: str, configured: m.Configured) -> None:
        with self._lock:
            info = BackendInfo(name=name, versions=configured.versions)
            self.result.backends = [info if known.name == name else known for known in self.result.backends]

    def _trouble(self, index: int, failure: WorkerFailed) -> None:
        trouble = Trouble(backend=failure.backend, stage=failure.stage, reason=failure.reason, detail=failure.detail)
        with self._lock:
            if not self._ending:
                self.result.problems[index].troubles.append(trouble)


def _evaluate(name: str, worker: WorkerProcess, problem: Problem, truth: Reference) -> list[Finding]:
    worker.ask(m.load_request(problem))
    evaluation = worker.ask(m.Evaluate())
    if evaluation.impurity:
        return without_answer(name, truth, "impure", evaluation.impurity)
    return judge(name, evaluation.quantities, truth, problem)
