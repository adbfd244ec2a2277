"""What is timed: of a port with a layout of its own its loss of arrays as it has them, nothing moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradparity.backends.protocol import Backend, Data, Loss, Params, Program
from gradparity.model_spec.problem import AnyProblem
from gradparity.worker.wire import Arrays


def in_its_layout(
    backend: Backend, loss: Loss, program: Program, problem: AnyProblem, placed: tuple[Params, Data]
) -> tuple[Program, Params, Data]:
    """The program to time, and its arguments: those given, where the port has no layout of its own.

    Raises:
        ProgramFailed: it is a program of any language of which no time can be told.
    """
    getattr(program, "require_timed", _nothing)()
    ported = getattr(loss, "ported", None)
    if ported is None:
        return program, *placed
    return backend.program(ported.loss), backend.put(ported.layout.into(problem.params)), placed[1]


def _nothing() -> None:
    """What a program of ours requires to be timed."""


def by_name(loss: Loss, output: Mapping[str, Any]) -> Arrays:
    """Host arrays that such a program gave, by the names of the parameters; a value under no name as it is."""
    ported = getattr(loss, "ported", None)
    if ported is None:
        return dict(output)
    return {"": output[""], **ported.layout.back({name: value for name, value in output.items() if name})}
