"""A model of the user's as cases of a run: one problem, drawn once, for each number of threads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gradparity.backends import Registration
from gradparity.judge.speed.choice import BY_HAND
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.precisions import HALVES
from gradparity.model_spec.problem import UserProblem, in_other_precision
from gradparity.model_spec.user.model import BACKENDS_FOLDER, display_path, no_loss, place_of_model
from gradparity.model_spec.user_spec import UserSpec
from gradparity.oracle import messages as mm
from gradparity.oracle.client import ModelProcess
from gradparity.processes.deadline import SHARES, USUAL_S
from gradparity.processes.environment import passed_on
from gradparity.processes.launch import Launch
from gradparity.results import Diagnosis
from gradparity.results.recorded import Recorded
from gradparity.runner.cases import Case, unreached
from gradparity.runner.plan import plan_of
from gradparity.runner.ranks import require_divisible
from gradparity.runner.settings import Settings
from gradparity.runner.shipping import with_what_it_needs
from gradparity.worker import messages as m

#: What importing NumPy and a small model may take on a slow machine.
LEAST_LOADING_S = 5.0
#: Constants that are named, of many.
NAMED = 3
#: Bytes of batches, at most: they go to every backend.
BATCH_BYTES = 128 * 2**20
#: What the parameters of a stressed model are multiplied by.
STRESS_SCALES = (1e-6, 30.0, 0.0)


@contextmanager
def user_cases(
    settings: Settings,
    names: Sequence[str],
    launch: Launch,
    name: str,
    references: Sequence[Recorded] = (),
    *,
    rests: bool = False,
) -> Iterator[list[Case]]:
    """Load the model, draw its problem, and see which backends have something to run; on leaving its process ends.

    Args:
        settings: with the path of the model.
        names: backends that are there.
        launch: of the run's processes, with the folder of logs in place of one.
        name: what the problem is called.
        references: answers recorded elsewhere, to the model as it is drawn.
        rests: whether its process ends where nothing is asked of it, and starts again when something is.

    Raises:
        InputError: the model is at fault, no backend has anything to run, or a reference is of other inputs.
    """
    assert settings.model is not None  # noqa: S101
    seed = settings.shown_seed
    log = launch.log / log_of(name if seed is None else f"{name}-seed-{seed}")
    variables = launch.variables
    own = Launch(log, scratch=launch.scratch, allowance=launch.allowance, listener=launch.listener, variables=variables)
    with ModelProcess(settings.model, own, name, rests=rests) as process:
        drawn = process.draw(settings.seed, settings.dtype, loading_s(settings))
        problem = m.problem_of(drawn.problem)
        assert isinstance(problem, UserProblem)  # noqa: S101
        for reference in references:
            reference.require(problem)
        programs = [name for name in names if settings.registration(name).command]
        if not (drawn.neutral or drawn.written_for or programs or references):
            raise no_loss(settings.model)
        idle = {name: reason for name in names if (reason := nothing_to_run(name, settings.registration(name), drawn))}
        runs = [name for name in names if name not in idle]
        idle |= nobodys(place_of_model(problem.spec.path), settings)
        if names and not runs:
            raise InputError(
                f"backends for {settings.model}",
                got="; ".join(f"{name}: {reason}" for name, reason in idle.items()),
                expected="a loss for one of them",
            )
        require_divisible(settings, runs, problem)
        why = process.uncertified
        if why is not None and problem.spec.rounding in HALVES:
            rule, expected = f"--dtype {problem.spec.rounding}", "a loss(params, data, xp) that can be certified"
            got = why.rstrip(".") or "a model without a neutral loss"
            raise InputError(rule, got=got, expected=expected, cure="Or check it in float32.")
        compared = [*runs, *(reference.name for reference in references)]
        if why is not None and len(compared) == 1:
            raise InputError(
                f"backends for {settings.model}",
                got=f"{[*runs, *(each.name for each in references)][0]} alone, and no truth"
                + (f": {why.rstrip('.')}" if why else ""),
                expected="two or more to compare, or a loss(params, data, xp) that can be certified",
            )
        batches = batches_of(process, settings)
        problems = [problem, *stressed(problem, process, settings)] if settings.stress else [problem]
        cases = []
        for each in problems:
            source, digest = display_path(Path(each.spec.path)), source_digest(each, passed_on(settings.environment))
            for cell in settings.cells():
                case = Case(cell, runs, each)
                case.oracle, case.idle, case.source, case.source_digest = process, idle, source, digest
                case.batches = batches if each is problem and each.spec.rounding not in HALVES else None
                case.references = references if each is problem else ()
                case.said = [*as_given(each.spec), *unreached(drawn.missed)]
                cases.append(case)
        process.rest()
        yield cases


def log_of(name: str) -> str:
    """The log of a model's process, by the model's name."""
    return f"model-{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.log"


def as_given(spec: UserSpec) -> list[Diagnosis]:
    """What of the arrays that the model gives is not taken as it is, and might have been meant otherwise."""
    said = []
    if spec.constants:
        first, more = list(spec.constants)[:NAMED], len(spec.constants) - NAMED
        names = f"{', '.join(first)}{f' and {more} more' if more > 0 else ''}"
        cure = "Whole numbers and a batch norm's statistics always are, and what the model names in constants."
        said.append(Diagnosis(name="constants", finding=f"held fixed, not differentiated: {names}", cure=cure))
    if spec.rounding in HALVES:
        from gradparity.judge.verdicts import AGREES_FLOORS, HALF_FLOORS  # which takes a while to import

        finding = (
            f"in {spec.rounding} up to {HALF_FLOORS:g} noise floors agrees, beyond, up to {AGREES_FLOORS:g}, is not "
            "resolved; training is not compared, nor is it sought where backends diverge"
        )
        cure = "Floors are percents there: check the formula in float64, too."
        said.append(Diagnosis(name="half precision", finding=finding, cure=cure))
    elif spec.halves:
        finding = f"{' and '.join(spec.halves)} of the model is evaluated in {spec.dtype}, which has all its values"
        cure = f"--dtype {spec.halves[0]} compares what half precision itself rounds."
        said.append(Diagnosis(name="half precision", finding=finding, cure=cure))
    return said


def batches_of(process: ModelProcess, settings: Settings) -> mm.DrawnBatches | None:
    """What the ports' own steps take, as many as there are steps; none where every step takes the data.

    ``None`` where nothing is trained.

    Raises:
        InputError: the model is at fault, or takes longer than drawing may.
    """
    if plan_of(settings).trains != "all":
        return None
    return process.batches(settings.steps, BATCH_BYTES, loading_s(settings))


def loading_s(settings: Settings) -> float:
    """Seconds that the model's own functions may take to draw a problem: a share of the budget, however small."""
    return max(LEAST_LOADING_S, SHARES["loading"] * (settings.budget_s or USUAL_S))


def source_digest(problem: UserProblem, variables: Mapping[str, str]) -> str:
    """SHA-256 of a model's own files, its arrays and its variables: what a run that goes on must find unchanged.

    Of a model that is a file the modules beside it that it imports are its own too.
    """
    found = hashlib.sha256()
    path = place_of_model(problem.spec.path)
    files = (
        sorted(file for file in path.rglob("*.py") if file.is_file())  # editors leave links
        if path.is_dir()
        else [file for file in with_what_it_needs(path) if file.suffix == ".py"]
    )
    for file in files:
        found.update(file.read_bytes())
    for tree in (problem.params, problem.data):
        for name, value in sorted(tree.items()):
            found.update(f"{name} {value.dtype.str} {value.shape}".encode())
            found.update(value.tobytes())
    for name, text in sorted(variables.items()):
        found.update(f"{name}={text}".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def stressed(problem: UserProblem, process: ModelProcess, settings: Settings) -> Iterator[UserProblem]:
    """The same model elsewhere: another seed, parameters tiny, large and zero, and all of it in the other precision."""
    again = m.problem_of(process.draw(settings.seed + 1, settings.dtype, loading_s(settings)).problem)
    assert isinstance(again, UserProblem)  # noqa: S101
    yield replace(again, name=f"{problem.name}, seed {settings.seed + 1}")
    for scale in STRESS_SCALES:
        params = {name: (scale * value).astype(value.dtype) for name, value in problem.params.items()}
        name = f"{problem.name}, parameters x {scale:g}"
        scaled = replace(problem, name=name, params=params, data=dict(problem.data))
        yield scaled.cast(settings.dtype) if settings.dtype in HALVES else scaled
    yield in_other_precision(problem)


def nobodys(path: Path, settings: Settings) -> dict[str, str]:
    """Ports in a model's folder that no backend is called by, nor its framework, and why they did not run."""
    known = settings.order()
    taken = {*known, *(settings.registration(name).family for name in known)}
    files = sorted((path / BACKENDS_FOLDER).glob("*.py")) if path.is_dir() else []
    strange = [file.stem for file in files if not file.stem.startswith("_") and file.stem not in taken]
    return {stem: f"no backend has the name of {BACKENDS_FOLDER}/{stem}.py: {', '.join(known)}" for stem in strange}


def nothing_to_run(name: str, registration: Registration, drawn: mm.Drawn) -> str:
    """Why a backend has nothing to run in a model, or ``""``."""
    known = {name, registration.family}
    own = any(each in drawn.written_for or each.replace("-", "_") in drawn.written_for for each in known if each)
    if registration.command:
        return f"the model has a loss for {name}: give the program another name" if own else ""
    if not own and not drawn.neutral:
        return f"the model has no loss for {name}"
    if BY_HAND in known and not drawn.gradient:
        return "it has no autodiff, and the model has no gradient(params, data) written by hand"
    return ""
