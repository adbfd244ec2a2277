"""A model of the user's as cases of a run: one problem, drawn once, for each number of threads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gradparity.backends import Registration
from gradparity.judge.speed.choice import BY_HAND
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem, in_other_precision
from gradparity.model_spec.user.model import BACKENDS_FOLDER, display_path
from gradparity.oracle import messages as mm
from gradparity.oracle.client import ModelProcess
from gradparity.processes.deadline import SHARES, USUAL_S
from gradparity.processes.launch import Launch
from gradparity.runner.cases import Case
from gradparity.runner.settings import Settings
from gradparity.worker import messages as m

#: Where what the model's own functions print goes, in the folder of logs.
LOG = "model.log"
#: What importing NumPy and a small model may take on a slow machine.
LEAST_LOADING_S = 5.0
#: What the parameters of a stressed model are multiplied by.
STRESS_SCALES = (1e-6, 30.0, 0.0)


@contextmanager
def user_cases(settings: Settings, names: Sequence[str], launch: Launch) -> Iterator[list[Case]]:
    """Load the model, draw its problem, and see which backends have something to run; on leaving its process ends.

    Args:
        settings: with the path of the model.
        names: backends that are there.
        launch: of the run's processes, with the folder of logs in place of one.

    Raises:
        InputError: the model is at fault, or no backend has anything to run.
    """
    assert settings.model is not None  # noqa: S101
    own = Launch(launch.log / LOG, scratch=launch.scratch, allowance=launch.allowance, listener=launch.listener)
    with ModelProcess(settings.model, own) as process:
        drawn = process.draw(settings.seed, settings.dtype, loading_s(settings))
        problem = m.problem_of(drawn.problem)
        assert isinstance(problem, UserProblem)  # noqa: S101
        idle = {name: reason for name in names if (reason := nothing_to_run(name, settings.registration(name), drawn))}
        runs = [name for name in names if name not in idle]
        idle |= nobodys(Path(problem.spec.path), settings.order())
        if names and not runs:
            raise InputError(
                f"backends for {settings.model}",
                got="; ".join(f"{name}: {reason}" for name, reason in idle.items()),
                expected="a loss for one of them",
            )
        why = process.uncertified
        if why is not None and len(runs) == 1:
            raise InputError(
                f"backends for {settings.model}",
                got=f"{runs[0]} alone, and no truth" + (f": {why.rstrip('.')}" if why else ""),
                expected="two or more to compare, or a loss(params, data, xp) that can be certified",
            )
        problems = [problem, *stressed(problem, process, settings)] if settings.stress else [problem]
        cases = []
        for each in problems:
            source, digest = display_path(Path(each.spec.path)), source_digest(each)
            for cell in settings.cells():
                case = Case(cell, runs, each)
                case.oracle, case.idle, case.source, case.source_digest = process, idle, source, digest
                cases.append(case)
        yield cases


def loading_s(settings: Settings) -> float:
    """Seconds that the model's own functions may take to draw a problem: a share of the budget, however small."""
    return max(LEAST_LOADING_S, SHARES["loading"] * (settings.budget_s or USUAL_S))


def source_digest(problem: UserProblem) -> str:
    """SHA-256 of the model's own files and of its arrays: what a run that goes on must find unchanged."""
    found = hashlib.sha256()
    path = Path(problem.spec.path)
    files = (
        sorted(file for file in path.rglob("*.py") if file.is_file()) if path.is_dir() else [path]
    )  # editors leave links
    for file in files:
        found.update(file.read_bytes())
    for tree in (problem.params, problem.data):
        for name, value in sorted(tree.items()):
            found.update(f"{name} {value.dtype.str} {value.shape}".encode())
            found.update(value.tobytes())
    return found.hexdigest()


def stressed(problem: UserProblem, process: ModelProcess, settings: Settings) -> Iterator[UserProblem]:
    """The same model elsewhere: another seed, parameters tiny, large and zero, and all of it in the other precision."""
    again = m.problem_of(process.draw(settings.seed + 1, settings.dtype, loading_s(settings)).problem)
    assert isinstance(again, UserProblem)  # noqa: S101
    yield replace(again, name=f"{problem.name}, seed {settings.seed + 1}")
    for scale in STRESS_SCALES:
        params = {name: (scale * value).astype(value.dtype) for name, value in problem.params.items()}
        yield replace(problem, name=f"{problem.name}, parameters x {scale:g}", params=params, data=dict(problem.data))
    yield in_other_precision(problem)


def nobodys(path: Path, known: Sequence[str]) -> dict[str, str]:
    """Ports in a model's folder that no backend is called by, and why they did not run."""
    files = sorted((path / BACKENDS_FOLDER).glob("*.py")) if path.is_dir() else []
    strange = [file.stem for file in files if not file.stem.startswith("_") and file.stem not in known]
    return {stem: f"no backend has the name of {BACKENDS_FOLDER}/{stem}.py: {', '.join(known)}" for stem in strange}


def nothing_to_run(name: str, registration: Registration, drawn: mm.Drawn) -> str:
    """Why a backend has nothing to run in a model, or ``""``."""
    known = {name, registration.family}
    own = any(each in drawn.written_for or each.replace("-", "_") in drawn.written_for for each in known if each)
    if not own and not drawn.neutral:
        return f"the model has no loss for {name}"
    if BY_HAND in known and not drawn.gradient:
        return "it has no autodiff, and the model has no gradient(params, data) written by hand"
    return ""
