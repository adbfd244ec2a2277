"""What a run of the user's own model consists of: one problem, drawn once, for each number of threads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from gradparity import results
from gradparity.backends import Registration
from gradparity.judge.speed.choice import BY_HAND
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem, in_other_precision
from gradparity.model_spec.spec import to_dict
from gradparity.model_spec.user.model import display_path
from gradparity.oracle import messages as mm
from gradparity.oracle.client import ModelProcess
from gradparity.processes.launch import Launch
from gradparity.results import ProblemResult, Trouble
from gradparity.runner.settings import Settings
from gradparity.worker import messages as m

#: Where what the model's own functions print goes, in the folder of logs.
LOG = "model.log"


@dataclass
class ModelWork:
    """One cell of a run of the user's model: as `engine.Work` is of the built-in one."""

    settings: Settings
    problem: UserProblem
    oracle: ModelProcess
    drawn: mm.Drawn
    idle: dict[str, str]

    made_on_demand: ClassVar[bool] = False

    @property
    def cells(self) -> int:
        """Number of data and parameters."""
        return self.problem.cells

    @property
    def gigabytes(self) -> float:
        """Size of the data."""
        return self.problem.data_bytes / 1e9

    @property
    def label(self) -> str:
        """What the cell is called."""
        return results.label(self.problem.name, to_dict(self.problem.spec), self.settings.threads)

    def result(self, absent: list[Trouble]) -> ProblemResult:
        """Where its findings will be written, with the backends that cannot run."""
        return ProblemResult(
            name=self.problem.name,
            source=display_path(Path(self.problem.spec.path)),
            digest="",
            source_digest=source_digest(self.problem),
            rows=self.problem.rows,
            spec=to_dict(self.problem.spec),
            threads=self.settings.threads,
            truth="",
            troubles=list(absent),
            idle=dict(self.idle),
        )


@contextmanager
def model_works(
    settings: Settings, names: Sequence[str], folder: Path, scratch: Path
) -> Iterator[tuple[list[ModelWork], list[str]]]:
    """Load the model, draw its problem, and see which of ``names`` have something to run; on leaving its process ends.

    Raises:
        InputError: the model is at fault, or no backend has anything to run.
    """
    assert settings.model is not None  # noqa: S101
    launch = Launch(folder / "logs" / LOG, scratch=scratch, allowance=settings.allowance)
    with ModelProcess(settings.model, launch) as process:
        drawn = process.draw(settings.seed, settings.dtype)
        problem = m.problem_of(drawn.problem)
        assert isinstance(problem, UserProblem)  # noqa: S101
        idle = {name: reason for name in names if (reason := nothing_to_run(name, settings.registration(name), drawn))}
        runs = [name for name in names if name not in idle]
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
        problems = [problem, *variants(problem, process, settings)] if settings.stress else [problem]
        cells = settings.cells()
        yield [ModelWork(cell, each, process, drawn, idle) for each in problems for cell in cells], runs


def source_digest(problem: UserProblem) -> str:
    """SHA-256 of the model's own files and of its arrays: what a run that goes on must find unchanged."""
    found = hashlib.sha256()
    path = Path(problem.spec.path)
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        found.update(file.read_bytes())
    for tree in (problem.params, problem.data):
        for name, value in sorted(tree.items()):
            found.update(f"{name} {value.dtype.str} {value.shape}".encode())
            found.update(value.tobytes())
    return found.hexdigest()


#: What the parameters of a stressed model are multiplied by.
STRESS_SCALES = (1e-6, 30.0, 0.0)


def variants(problem: UserProblem, process: ModelProcess, settings: Settings) -> Iterator[UserProblem]:
    """The same model elsewhere: another seed, parameters tiny, large and zero, and all of it in the other precision."""
    again = m.problem_of(process.draw(settings.seed + 1, settings.dtype).problem)
    assert isinstance(again, UserProblem)  # noqa: S101
    yield replace(again, name=f"{problem.name}, seed {settings.seed + 1}")
    for scale in STRESS_SCALES:
        params = {name: (scale * value).astype(value.dtype) for name, value in problem.params.items()}
        yield replace(problem, name=f"{problem.name}, parameters x {scale:g}", params=params, data=dict(problem.data))
    yield in_other_precision(problem)


def nothing_to_run(name: str, registration: Registration, drawn: mm.Drawn) -> str:
    """Why a backend has nothing to run in a model, or ``""``."""
    known = {name, registration.family}
    own = any(each in drawn.written_for or each.replace("-", "_") in drawn.written_for for each in known if each)
    if not own and not drawn.neutral:
        return f"the model has no loss for {name}"
    if BY_HAND in known and not drawn.gradient:
        return "it has no autodiff, and the model has no gradient(params, data) written by hand"
    return ""
