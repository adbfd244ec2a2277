"""From a wrong program to its verdicts, the way a run gets there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pytest

from gradparity.backends.protocol import Backend, Data, Loss, Params, Program
from gradparity.judge.causes.precision import may_be_rounding, spacings, with_precision
from gradparity.judge.verdicts import judge, without_answer
from gradparity.model_spec.problem import Problem
from gradparity.numerics.perturbation import along_line
from gradparity.results import Finding
from gradparity.truth.reference import Reference
from gradparity.worker.evaluation import evaluate, evaluations_at
from tests.conftest import configured
from tests.mutants.problems import problem_of

Key: TypeAlias = tuple[str, str]
Host: TypeAlias = dict[str, dict[str, Any]]  #: quantity -> parameter -> array on the host

GW, Gw, HW, Hw = ("gradient", "W"), ("gradient", "w"), ("hvp", "W"), ("hvp", "w")
LOSS, JVP = ("loss", ""), ("jvp", "")

#: What changes the host arrays of one quantity; the problem is there to take factors from.
Change: TypeAlias = Callable[[dict[str, Any], Problem], Mapping[str, Any]]


@dataclass
class Passing:
    """A program that passes every call on: mutants override one."""

    program: Program

    def __getattr__(self, name: str) -> Any:
        return getattr(self.program, name)


@dataclass
class Scaled(Passing):
    """A program whose gradient is ``factor`` times the right one."""

    factor: float

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Params]:
        value, gradient = self.program.value_and_gradient(params, data)
        return value, {name: self.factor * g for name, g in gradient.items()}


@dataclass
class Changed(Passing):
    """A right program whose answers pass through ``changes``, by quantity, on the way out."""

    backend: Backend
    problem: Problem
    changes: Mapping[str, Change]

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Params]:
        value, gradient = self.program.value_and_gradient(params, data)
        return self._out("loss", {"": value})[""], self._out("gradient", gradient)

    def jvp(self, params: Params, data: Data, tangents: Params) -> Any:
        return self._out("jvp", {"": self.program.jvp(params, data, tangents)})[""]

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        return self._out("hvp", self.program.hvp(params, data, tangents))

    def _out(self, quantity: str, tree: Mapping[str, Any]) -> dict[str, Any]:
        if quantity not in self.changes:
            return dict(tree)
        host = {name: np.array(value) for name, value in self.backend.get(tree).items()}
        return self.backend.put({k: np.asarray(v) for k, v in self.changes[quantity](host, self.problem).items()})


@cache
def right(name: str, problem_name: str) -> tuple[Loss, Program]:
    """The backend's own loss and program on a problem; compiled once for all mutants of its answers."""
    problem, _ = problem_of(problem_name)
    loss = configured(name).loss(problem.spec)
    return loss, configured(name).program(loss)


def findings(name: str, loss: Loss, program: Program, problem: Problem, truth: Reference) -> list[Finding]:
    """What a run finds of a loss and its program in a backend."""
    with np.errstate(all="ignore"):
        evaluation = evaluate(configured(name), loss, program, problem)
    if evaluation.impurity:
        return without_answer(name, truth, evaluation.verdict or "impure", evaluation.impurity)
    found, dtype = judge(name, evaluation.quantities, truth, problem), problem.spec.dtype
    if not any(may_be_rounding(each, dtype) for each in found):
        return found
    inputs = problem.params, problem.data, problem.tangents
    with np.errstate(all="ignore"):
        lines = {
            form: evaluations_at(configured(name), program, along_line(*inputs, seed=problem.seed, spacing=spacing))
            for form, spacing in spacings(dtype).items()
        }
    return with_precision(found, {name: evaluation.quantities}, truth.truth, truth.floor, {name: lines}, dtype)


def verdicts(name: str, problem_name: str, loss: Loss, program: Program) -> dict[Key, Finding]:
    """The finding on every block, by block."""
    found = findings(name, loss, program, *problem_of(problem_name))
    return {(finding.quantity, finding.parameter): finding for finding in found}


@contextmanager
def op_by_op(name: str) -> Iterator[None]:
    """JAX without its compiler, for losses that are evaluated once: compiling each would take a second."""
    if name != "jax":
        yield
        return
    jax = pytest.importorskip("jax")
    with jax.disable_jit():
        yield


def changed(name: str, problem_name: str, changes: Mapping[str, Change]) -> dict[Key, Finding]:
    """The findings on a right backend whose answers were changed."""
    problem, _ = problem_of(problem_name)
    loss, program = right(name, problem_name)
    return verdicts(name, problem_name, loss, Changed(program, configured(name), problem, changes))


def assert_found(found: Mapping[Key, Finding], expected: Mapping[Key, str | None]) -> None:
    """Every expected block is off, for its reason (any where it is ``None``), and every other block agrees."""
    off = {block: finding for block, finding in found.items() if finding.verdict != "agrees"}
    assert set(off) == set(expected), {block: (f.verdict, f.floors, f.rule, f.cause) for block, f in found.items()}
    wanted = {block: cause for block, cause in expected.items() if cause is not None}
    assert {block: off[block].cause.partition(" by ")[0] for block in wanted} == {
        block: cause.partition(" by ")[0] for block, cause in wanted.items()
    }
