"""The smallest relative error in a derivative rule that a check still catches: ours, and the frameworks' own.

    python -m tests.evidence.detection_limits [--json PATH] [--scheduler local:2]

In each framework the same model is written with the same wrong rule: the derivative of softplus, which every gradient
of the model passes through, is ``(1 + d) sigmoid``, for all rows or for the first row only, or the derivative through
W alone is scaled. ``d`` is raised by decades until it is caught, and the decade is then halved in logarithm.
The frameworks' checkers are called as their documentation does, with their defaults, on the same loss.

The harness is imported inside functions: it is built on this package, and not the other way round.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gradparity.backends import BACKENDS, load, missing
from gradparity.model_spec.data.datasets import load as load_data
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from tests.evidence import shares
from tests.evidence.wrong_rules import wrong_loss

SIZES = {"4x3x3": ("toy", 3), "200x20x10": ("synthetic:200x20", 10), "569x30x5": ("breast_cancer", 5)}
PLACES = ("every row", "one row", "W only")
CORE = ("numpy", "autograd", "jax", "torch")
#: Halvings of the decade that the limit lies in: to a factor of 10^(1/16).
HALVINGS = 4

#: Whether a check that was given a problem with this error in its rule refused it.
Caught = Callable[[float], bool]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The smallest ``error`` caught, ``None`` where a check refuses the right rule too, or accepts every error."""

    size: str
    dtype: str
    place: str
    check: str
    error: float | None
    note: str = ""


def with_error(problem: Problem, place: str, d: float) -> Problem:
    """The problem with the scales of its rules among its data."""
    scale, block = np.ones(problem.rows), np.ones(())
    if place == "W only":
        block += d
    else:
        scale[: 1 if place == "one row" else None] += d
    extra = {"scale": scale.astype(problem.spec.dtype), "block": block.astype(problem.spec.dtype)}
    return replace(problem, data={**problem.data, **extra})


def ours(name: str, problem: Problem, truth: Any) -> Iterator[tuple[str, Caught]]:
    """Our check of one backend, for each place of the error."""
    from gradparity.judge.verdicts import judge
    from gradparity.worker.evaluation import evaluate

    backend = load(BACKENDS[name].target)
    loss = wrong_loss(name, problem.spec)
    program = backend.program(loss)

    def caught(place: str, d: float) -> bool:
        evaluation = evaluate(backend, loss, program, with_error(problem, place, d))
        quantities = evaluation.quantities
        return any(finding.verdict != "agrees" for finding in judge(name, quantities, truth, problem))

    for place in PLACES:
        yield place, partial(caught, place)


def by_own_loss(name: str, problem: Problem) -> Iterator[tuple[str, Caught]]:
    """The check of one backend's gradient against values of its own loss, for each place of the error."""
    from gradparity.judge.distances import BlockAnswers
    from gradparity.judge.own import own_derivative
    from gradparity.numerics.perturbation import floor_from, perturbed
    from gradparity.numerics.richardson import along, block_directions, derivative

    backend = load(BACKENDS[name].target)
    program = backend.program(wrong_loss(name, problem.spec))

    def gradient(params: Any, data: Any) -> Any:
        return backend.get(program.value_and_gradient(backend.put(params), backend.put(data))[1])

    def caught(place: str, d: float) -> bool:
        wrong = with_error(problem, place, d)
        found = gradient(wrong.params, wrong.data)
        # The factors of the rules are no inputs of the model: they stay.
        inputs = {key: wrong.data[key] for key in problem.data}
        moved = perturbed(wrong.params, inputs, {}, seed=problem.seed)
        drawn = [{"gradient": gradient(p, {**wrong.data, **moved_inputs})} for p, moved_inputs, _ in moved]
        floors = floor_from({"gradient": found}, drawn, problem.spec.dtype)
        data = backend.put({key: np.asarray(value, np.float64) for key, value in wrong.data.items()})
        for parameter, direction in block_directions(problem.params, problem.seed):
            value = partial(_value, backend, program, data)
            own = derivative(along(value, problem.params, direction))
            key = ("gradient", parameter)
            block = BlockAnswers(key, {name: found[parameter]}, {name: floors[key]}, problem.spec.dtype)
            if own_derivative(name, parameter, block, direction[parameter], own).consistent is False:
                return True
        return False

    for place in PLACES:
        yield place, partial(caught, place)


def _value(backend: Any, program: Any, data: Any, params: Any) -> Any:
    return backend.get({"": program.value(backend.put(params), data)})[""]


def theirs(name: str, problem: Problem) -> Iterator[tuple[str, Caught]]:
    """The framework's own checker, for each place of the error."""
    backend = load(BACKENDS[name].target)
    loss = wrong_loss(name, problem.spec)
    check = {"autograd": _autograd_check, "jax": _jax_check, "torch": _torch_check}[name]

    def caught(place: str, d: float) -> bool:
        wrong = with_error(problem, place, d)
        params, data = backend.put(wrong.params), backend.put(wrong.data)
        try:
            check(lambda w, W: loss({"w": w, "W": W}, data), params["w"], params["W"])
        except (AssertionError, RuntimeError, TypeError, ValueError):
            return True
        return False

    for place in PLACES:
        yield place, partial(caught, place)


def _autograd_check(f: Any, w: Any, W: Any) -> None:
    from autograd.test_util import check_grads

    np.random.seed(0)  # noqa: NPY002 - the direction comes from this generator, unseeded by default
    # One argument that holds both: of several, it checks the first.
    check: Any = check_grads(lambda params: f(params["w"], params["W"]), modes=["fwd", "rev"], order=1)
    check({"w": w, "W": W})


def _jax_check(f: Any, w: Any, W: Any) -> None:
    from jax import test_util

    check: Any = test_util.check_grads
    check(f, (w, W), order=1)


def _torch_check(f: Any, w: Any, W: Any) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that float32 is too coarse for it: the table says so
        torch.autograd.gradcheck(f, (w.requires_grad_(), W.requires_grad_()))


CHECKERS = {"autograd": "autograd check_grads", "jax": "jax check_grads", "torch": "torch gradcheck"}


def limit(caught: Caught) -> tuple[float | None, str]:
    """The smallest error caught, to a factor of 10^(1/16), or none and why."""
    if caught(0.0):
        return None, "refuses the right rule"
    exponent = -17.0
    while not caught(10**exponent):
        exponent += 1
        if exponent > 0:
            return None, "accepts a factor of 2"
    width = 1.0
    for _ in range(HALVINGS):
        width /= 2
        if caught(10 ** (exponent - width)):
            exponent -= width
    return 10**exponent, ""


def problem_of(size: str, dtype: Any) -> Problem:
    """A bundled or synthetic data set, standardised, with the default random start."""
    source, projection = SIZES[size]
    data = load_data(source, standardise=source == "breast_cancer")
    spec = ProjectedLogistic(features=data.X.shape[1], projection=projection, dtype=dtype)
    return make_problem(data.name, spec, data.X, data.y)


def limits(size: str, dtype: str) -> Iterator[Limit]:
    """Every check's limit at one size and dtype, for every place of the error."""
    from gradparity.truth.logistic.truth import reference

    problem = problem_of(size, dtype)
    truth = reference(problem)
    for name in [name for name in CORE if missing(BACKENDS[name]) is None]:
        for place, caught in ours(name, problem, truth):
            error, note = limit(caught)
            yield Limit(size=size, dtype=dtype, place=place, check=f"gradparity: {name}", error=error, note=note)
        for place, caught in by_own_loss(name, problem):
            error, note = limit(caught)
            check = f"gradparity: {name} by its own loss"
            yield Limit(size=size, dtype=dtype, place=place, check=check, error=error, note=note)
        for place, caught in theirs(name, problem) if name in CHECKERS else ():
            error, note = limit(caught)
            yield Limit(size=size, dtype=dtype, place=place, check=CHECKERS[name], error=error, note=note)


def limits_of(size: str, dtype: str) -> list[Limit]:
    """All of these, in a process that may have no framework yet."""
    os.environ.update(JAX_ENABLE_X64="1", JAX_PLATFORMS="cpu")  # before JAX is imported
    for name in [name for name in CORE if missing(BACKENDS[name]) is None]:
        load(BACKENDS[name].target).configure(threads=1)
    return list(limits(size, dtype))


def show(found: list[Limit]) -> None:
    """A table: a row for each size, dtype and check, ours first, a column for each place of the error."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "size", "dtype", "check", *PLACES, title="Smallest relative error of a derivative rule that is caught"
    )
    cells = {(f.size, f.dtype, f.check, f.place): f for f in found}
    rows = dict.fromkeys((f.size, f.dtype, f.check) for f in found)
    for row in sorted(
        rows, key=lambda row: (list(SIZES).index(row[0]), row[1] != "float64", "gradparity" not in row[2])
    ):
        each = [cells[*row, place] for place in PLACES]
        table.add_row(*row, *(f"{f.error:.1e}" if f.error is not None else f.note for f in each))
    Console(width=150).print(table)


def main(arguments: list[str] | None = None) -> None:
    """Find every limit, show them, and write them down where asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.detection_limits", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--json", type=Path, help="also write the limits to this file")
    parser.add_argument("--size", choices=SIZES, action="append", help="only this size; may be given more than once")
    shares.add_option(parser)
    chosen = parser.parse_args(arguments)
    pieces = [(size, dtype) for size in chosen.size or SIZES for dtype in ("float64", "float32")]
    found = [each for some in shares.over(chosen.scheduler, limits_of, pieces) for each in some]
    show(found)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")


if __name__ == "__main__":
    from tests.evidence import detection_limits  # by whose name workers find what they run

    detection_limits.main()
