"""The standard stress suite over the chosen backends: one worker a backend for all of it, verdicts only, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import msgspec

from backends import lookup
from gradparity import __version__, machine, store
from gradparity import messages as m
from gradparity.engine import chosen_backends
from gradparity.launch import WorkerFailed, WorkerProcess
from gradparity.problem_run import Observer
from gradparity.results import BackendInfo, Finding, ProblemResult, RunResult, Trouble
from gradparity.settings import Settings
from gradparity.stress import StressProblem, stress_problems
from gradparity.truth.extended import require_extended_precision
from gradparity.truth.reference import Reference, reference
from gradparity.verdicts import judge, needs_other_precision, told_apart, without_answer
from model_spec.problem import Problem, in_other_precision
from model_spec.spec import to_dict


def run_stress(settings: Settings, observer: Observer) -> RunResult:
    """The suite, on every backend that ``settings`` name; their data and model are not looked at.

    Raises:
        InputError: the output folder is at fault; nothing was started.
    """
    require_extended_precision()
    names, infos, absent = chosen_backends(settings)
    folder = store.output_folder(settings.out)
    result = RunResult(
        gradparity_version=__version__,
        command=settings.command,
        settings=msgspec.to_builtins(settings),
        machine=machine.describe(),
        backends=infos,
    )
    suite = _Suite(stress_problems(settings.seed), result, folder, observer)
    if result.problems:
        result.problems[0].troubles.extend(absent)
    with ThreadPoolExecutor(max(1, machine.usable_cores() // settings.threads)) as pool:
        for done in [pool.submit(suite.check, name, settings.threads) for name in names]:
            done.result()
    result.complete = True
    store.save(result, folder)
    return result


@dataclass
class _Suite:
    """The problems with their truths, which every backend is held to, and the results so far."""

    cases: Sequence[StressProblem]
    result: RunResult
    folder: Path
    observer: Observer
    truths: dict[int, Reference] = field(default_factory=dict)
    others: dict[int, tuple[Problem, Reference]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock, self._order = Lock(), {info.name: place for place, info in enumerate(self.result.backends)}
        self.observer.begin("stress suite", "truth", "")
        for index, case in enumerate(self.cases):
            self.truths[index] = reference(case.problem)
            self.result.problems.append(
                ProblemResult(
                    name=case.name,
                    source=case.why,
                    digest="",
                    rows=case.problem.rows,
                    spec=to_dict(case.problem.spec),
                    truth=self.truths[index].method,
                    expected=case.expected,
                )
            )

    def check(self, name: str, threads: int) -> None:
        """Every problem in one worker; one that raises goes on, one that is gone has failed the rest."""
        registration = lookup(name)
        (self.folder / "logs").mkdir(exist_ok=True)
        with WorkerProcess(
            name, registration, threads=threads, log=self.folder / "logs" / f"stress.{name}.log"
        ) as worker:
            lost: WorkerFailed | None = None
            try:
                self.observer.begin("stress suite", "import", name)
                self._imported(name, worker.receive(m.Configured))
            except WorkerFailed as failure:
                lost = failure
                self._trouble(0, failure)
            for index, case in enumerate(self.cases):
                if registration.compiler and not case.compiled:
                    continue
                self.observer.begin(case.name, "evaluation", name)
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
            self.result.problems[index].troubles.append(trouble)


def _evaluate(name: str, worker: WorkerProcess, problem: Problem, truth: Reference) -> list[Finding]:
    worker.ask(m.load_request(problem), m.Loaded)
    evaluation = worker.ask(m.Evaluate(), m.Evaluation)
    if evaluation.impurity:
        return without_answer(name, truth, "impure", evaluation.impurity)
    quantities = {quantity: m.unpack(tensors) for quantity, tensors in evaluation.quantities.items()}
    return judge(name, quantities, truth, problem)
