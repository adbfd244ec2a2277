"""The run, as a table of contents: problems, workers, evaluations, verdicts, training, timing, choice.

Results are saved as they arrive: a crash loses at most the measurement in flight. No framework is imported here.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Lock

import msgspec
import psutil

from backends import available, missing, registered
from gradparity import __version__, machine, results
from gradparity.problem_run import Observer, ProblemRun
from gradparity.results import BackendInfo, ProblemResult, RunResult, Trouble
from gradparity.settings import Settings
from gradparity.truth.extended import require_extended_precision
from model_spec.datasets import Dataset
from model_spec.problem import Problem
from model_spec.spec import to_dict

#: Problems of at most so many entries of X are checked two at a time, with so much memory available for their workers.
SMALL_CELLS, PAIR_BYTES = 10**6, 8 * 2**30


def run(settings: Settings, observer: Observer) -> RunResult:
    """Everything that ``settings`` ask for.

    Raises:
        InputError: the data, the model or the output folder is at fault; nothing was started or written over.
    """
    require_extended_precision()
    names, infos, absent = chosen_backends(settings)
    datasets = settings.datasets()
    problems = [settings.problem(data, len(names)) for data in datasets]
    folder = results.output_folder(settings.out)
    result = RunResult(
        gradparity_version=__version__,
        command=settings.command,
        settings=msgspec.to_builtins(settings),
        machine=machine.describe(),
        backends=infos,
    )
    results.save(result, folder)
    lock = Lock()
    for group in side_by_side(list(zip(datasets, problems, strict=True))):
        outcomes = [_problem_result(data, problem, absent) for data, problem in group]
        result.problems += outcomes
        with ExitStack() as stack:
            works = [
                stack.enter_context(ProblemRun(settings, problem, outcome, result, folder, observer, lock))
                for (_, problem), outcome in zip(group, outcomes, strict=True)
            ]
            for work in works:
                work.start(names)
            check_all(works, settings.threads)
            for work in works:
                if settings.command != "check":
                    work.time()
                observer.finished(work.outcome)
    result.complete = True
    results.save(result, folder)
    return result


def side_by_side(work: list[tuple[Dataset, Problem]]) -> list[list[tuple[Dataset, Problem]]]:
    """Problems in groups that are checked together: two small ones where memory allows, so that no core waits.

    While one problem compiles, the other's backends have the second core; what is timed is timed alone all the same.
    """
    together = 2 if psutil.virtual_memory().available > PAIR_BYTES else 1
    if any(problem.data["X"].size > SMALL_CELLS for _, problem in work):
        together = 1
    return [work[i : i + together] for i in range(0, len(work), together)]


def check_all(works: list[ProblemRun], threads: int) -> None:
    """Check every backend on every problem; as many workers are busy as can have their threads to themselves."""
    with ThreadPoolExecutor(max(1, machine.usable_cores() // threads)) as pool:
        try:
            for done in [pool.submit(check) for work in works for check in work.checks()]:
                done.result()
        except BaseException:  # Ctrl-C among them: threads that wait for an answer get none once the workers are gone
            pool.shutdown(wait=False, cancel_futures=True)
            for work in works:
                work.abandon()
            raise


def chosen_backends(settings: Settings) -> tuple[list[str], list[BackendInfo], list[Trouble]]:
    """Names to run, every backend's state, and the requested ones that are missing."""
    wanted = settings.backends or available()
    cures = {name: missing(registration) for name, registration in registered().items()}
    infos = [BackendInfo(name=name, cure=cure or "") for name, cure in cures.items()]
    absent = [
        Trouble(backend=name, stage="import", reason=f"not installed; add it with: {cures[name]}")
        for name in wanted
        if cures[name]
    ]
    return [name for name in dict.fromkeys(wanted) if not cures[name]], infos, absent


def _problem_result(data: Dataset, problem: Problem, absent: list[Trouble]) -> ProblemResult:
    return ProblemResult(
        name=data.name,
        source=data.source,
        digest=data.digest,
        rows=data.rows,
        spec=to_dict(problem.spec),
        truth="",
        troubles=list(absent),
    )
