"""The run, as a table of contents: problems, workers, evaluations, verdicts, training, timing, choice.

Results are saved as they arrive: a crash loses at most the measurement in flight. No framework is imported here.
"""

from __future__ import annotations

import msgspec

from backends import available, missing, registered
from gradparity import __version__, machine, results
from gradparity.problem_run import Observer, ProblemRun
from gradparity.results import BackendInfo, ProblemResult, RunResult, Trouble
from gradparity.settings import Settings
from gradparity.truth.extended import require_extended_precision
from model_spec.datasets import Dataset
from model_spec.problem import Problem
from model_spec.spec import to_dict


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
    for data, problem in zip(datasets, problems, strict=True):
        outcome = _problem_result(data, problem, absent)
        result.problems.append(outcome)
        with ProblemRun(settings, problem, outcome, result, folder, observer) as work:
            work.start(names)
            work.check()
            if settings.command != "check":
                work.time()
        observer.finished(outcome)
    result.complete = True
    results.save(result, folder)
    return result


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
