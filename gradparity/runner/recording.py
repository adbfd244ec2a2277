"""``gradparity record``: what one backend answers at a model's point, or the inputs alone, in a file for elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from gradparity.backends import missing
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user.model import find_model
from gradparity.oracle.client import ModelProcess
from gradparity.processes.environment import passed_on
from gradparity.processes.group import started
from gradparity.processes.launch import Launch
from gradparity.processes.peer import WorkerFailed
from gradparity.processes.scratch import scratch_folder
from gradparity.results import recorded
from gradparity.runner.settings import Settings
from gradparity.runner.sites import shown_file
from gradparity.runner.user_cases import loading_s, nothing_to_run
from gradparity.worker import messages as m
from gradparity.worker.trace_messages import Result

#: What a column is called whose values were computed here, on the processor.
HERE = "cpu"
#: What the tensor of a result's cotangents ends in.
COTANGENT = "cotangent"


def record(settings: Settings, *, intermediates: bool = False) -> str:
    """Write the inputs of a model, or with a backend what that answers, into the file ``settings.out``.

    Args:
        settings: with the path of the model, and at most one backend.
        intermediates: whether every result on the way is recorded too, by its line.

    Returns:
        What was written, in words.

    Raises:
        InputError: the model is at fault, or the file cannot be written, or has something else in it.
        WorkerFailed: the backend failed.
    """
    assert settings.model is not None  # noqa: S101
    file = Path(settings.out)
    if file.suffix != ".safetensors":
        raise InputError("--out", got=settings.out, expected="a name that ends in .safetensors")
    recorded.require_replaceable(file)
    find_model(settings.model)
    variables = passed_on(settings.environment)
    with (
        scratch_folder() as scratch,
        ModelProcess(settings.model, Launch(scratch / "model.log", scratch=scratch, variables=variables)) as model,
    ):
        drawn = model.draw(settings.seed, settings.dtype, loading_s(settings))
        problem = m.problem_of(drawn.problem)
        assert isinstance(problem, UserProblem)  # noqa: S101
        if not settings.backends:
            inputs = recorded.inputs_of(problem)
            recorded.write(file, inputs, recorded.about(problem))
            return f"{len(inputs)} arrays that answers are of"
        (name,) = settings.backends
        registration = settings.registration(name)
        why = missing(registration) or nothing_to_run(name, registration, drawn)
        if why:
            raise InputError(f"--backend {name}", got=why, expected="a backend that is installed and has a loss")
        launch = Launch(
            scratch / "backend.log", threads=settings.threads, scratch=scratch, allowance=settings.allowance
        )
        with started(name, registration, launch, settings.ranks) as worker:
            versions = worker.configured().versions
            worker.ask(m.load_request(problem))
            answer = worker.ask(m.Evaluate())
            if answer.impurity:
                raise WorkerFailed(name, "evaluation", answer.impurity, alive=True)
            traced = worker.ask(m.Trace(problem.seed)) if intermediates else None
        arrays = {
            recorded.named(quantity, parameter): np.asarray(value)
            for quantity, tree in answer.quantities.items()
            if quantity in recorded.QUANTITIES
            for parameter, value in tree.items()
        }
        facts = {"name": f"{name}@{HERE}", "dtype": problem.spec.rounding, "device": HERE}
        facts["versions"] = json.dumps(versions)
        steps, said = _steps(traced, find_model(problem.spec.path)[0].parent)
        recorded.write(file, arrays | steps, recorded.about(problem, **facts, **said))
        without = [quantity for quantity, why in answer.without.items() if why]
        return (
            f"{', '.join([q for q in recorded.QUANTITIES if q in answer.quantities])} of {name}"
            + (f"; {len(traced.results)} results on the way" if traced else "")
            + (f"; not given: {', '.join(without)}" if without else "")
        )


def _steps(traced: m.Traced | None, root: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Every result on the way as tensors, and in JSON what is known of each; files are within the model's folder."""
    if traced is None:
        return {}, {}
    arrays = {}
    for number, each in enumerate(traced.results):
        arrays[f"{recorded.STEP}.{number}"] = each.values
        if each.cotangents is not None:
            arrays[f"{recorded.STEP}.{number}.{COTANGENT}"] = each.cotangents
    kept = m.Traced(
        [_moved(each, lambda file: shown_file(file, root)) for each in traced.results],
        {shown_file(file, root): text for file, text in traced.sources.items()},
        traced.notes,
    )
    return arrays, {"steps": msgspec.json.encode(kept, enc_hook=lambda _array: None).decode()}


def traced_of(reference: recorded.Recorded, root: Path) -> m.Traced:
    """The results on the way that a reference has, whose files are shown as in a folder of its name.

    Raises:
        ValueError: they are not what `record` writes.
    """

    def array(name: str) -> np.ndarray:
        found = reference.steps[name]
        if found.ndim != 2 or len(found) != 2 or found.dtype != np.float64:
            raise ValueError(f"{name} is no float64 of two rows")
        return found

    def there(file: str) -> str:
        return str(root / reference.name / file) if file else ""

    kept = msgspec.json.decode(reference.trace)
    results = []
    for number, each in enumerate(kept["results"]):
        name = f"{recorded.STEP}.{number}"
        behind = f"{name}.{COTANGENT}"
        each |= {"values": array(name), "cotangents": array(behind) if behind in reference.steps else None}
        result = msgspec.convert(each, Result, dec_hook=lambda _kind, value: value)
        if not all(0 <= n < number for n in result.inputs):
            raise ValueError(f"{name} is made of what is not before it")
        results.append(_moved(result, there))
    sources = msgspec.convert(kept["sources"], dict[str, str])
    return m.Traced(results, {there(file): text for file, text in sources.items()})


def _moved(result: Result, place: Callable[[str], str]) -> Result:
    """A result whose files have other names."""
    moved = {
        key: (place(where[0]), *where[1:]) for key in ("place", "caller", "rule") for where in (getattr(result, key),)
    }
    return msgspec.structs.replace(result, **moved)
