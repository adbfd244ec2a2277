"""A backend as a tool of GradBench: ``python -P -m gradparity.worker.gradbench NAME TARGET`` answers JSON lines.

Each message on standard input has one response on standard output, and what else is printed in this process goes to
standard error. Reference: GradBench's CONTRIBUTING.md, "Protocol".
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gradparity.backends import load, place
from gradparity.backends.gradbench import EVALS, module_of
from gradparity.backends.gradbench.wire import Arrays, Tree, Wire, shown
from gradparity.backends.names import of_dtype
from gradparity.backends.protocol import Backend, HostArray, Program
from gradparity.formatting import first_line, printable, shortened
from gradparity.model_spec.errors import InputError
from gradparity.version import __version__
from gradparity.worker.evaluation import timed_call
from gradparity.worker.user_loss import HandWrittenLoss, UserLoss

#: Rounds of a loop from which a framework that compiles evaluates operation by operation: it would unroll them all.
LONG_LOOP = 12
#: Times of one evaluation that are kept at most, however long it is to be repeated.
MOST_RUNS = 10**6


class Refused(Exception):
    """A message that has no answer: the order of message and response is broken."""


class Tool:
    """One backend, and the evaluations that it was asked to define."""

    def __init__(self, name: str, backend: Backend) -> None:
        self.name, self.backend = name, backend
        self._defined: dict[str, Evaluation] = {}

    def respond(self, line: bytes) -> dict[str, Any]:
        """The response to a message.

        Raises:
            Refused: it is no JSON object with a whole number as its id.
        """
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or type(message.get("id")) is not int:
            got = shortened(printable(line[:200].decode(errors="replace").strip()), 60)
            raise Refused(f"got '{got}', expected a JSON object on one line, with a whole number as its id")
        found: dict[str, Any] = {}
        try:
            match message.get("kind"):
                case "start":
                    found = self._started()
                case "define":
                    found = self._define(message)
                case "evaluate":
                    found = self._evaluate(message)
        except Exception as error:  # whatever a framework raises is an answer
            words = printable(first_line(str(error))) or type(error).__name__
            found = {"success": False, "error": shortened(words, 500)}
        return {"id": message["id"], **found}

    def _started(self) -> dict[str, Any]:
        versions = {"gradparity": __version__, **self.backend.versions()}
        return {"tool": f"gradparity-{self.name}", "config": versions}

    def _define(self, message: Mapping[str, Any]) -> dict[str, Any]:
        name = message.get("module")
        if name not in EVALS:
            return {"success": False, "error": f"no model of it: {', '.join(EVALS)}"}
        self._defined[str(name)] = Evaluation(str(name), self.name, self.backend)
        return {"success": True}

    def _evaluate(self, message: Mapping[str, Any]) -> dict[str, Any]:
        evaluation = self._defined.get(str(message.get("module")))
        if evaluation is None:
            return {"success": False, "error": "its module was not defined"}
        with np.errstate(all="ignore"):  # what is not finite is said
            output, timings = evaluation.run(message.get("function"), message.get("input"))
        if not all(map(np.all, map(np.isfinite, output.values() if isinstance(output, dict) else [output]))):
            return {"success": False, "error": "the answer is not finite, which JSON has no number for"}
        listed = {n: v.tolist() for n, v in output.items()} if isinstance(output, dict) else output.tolist()
        return {"success": True, "output": listed, "timings": timings}


class Evaluation:
    """One evaluation in one backend.

    Raises:
        ValueError: the backend has no array namespace, or differentiates nothing and nobody derived this one by hand.
    """

    def __init__(self, name: str, backend_name: str, backend: Backend) -> None:
        model = module_of(name)
        self.wire: Wire = model.WIRE
        self.backend = backend
        namespace = getattr(backend, "namespace", None)
        if namespace is None:
            raise ValueError(f"undefined: {backend_name} has no array namespace")
        xp, gradient = of_dtype(namespace(), "float64"), getattr(model, "gradient", None)

        def loss(params: Any, data: Any) -> Any:
            return model.loss(params, data, xp)

        def primal(params: Any, data: Any) -> Any:  # of a vector: the gradient of what is linear in the one parameter
            return model.loss({**{name: data[name] for name in self.wire.params}, **params}, data, xp)

        self.loss = HandWrittenLoss(loss, "", gradient) if gradient is not None else UserLoss(loss, "")
        self.primal = UserLoss(primal, "") if self.wire.vector else self.loss
        self._programs: dict[tuple[UserLoss, bool], Program] = {}
        self._program(self.loss, 0)

    def run(self, function: Any, given: Any) -> tuple[Tree, list[dict[str, Any]]]:
        """What a function gives, as arrays, and how long each of the calls took, after one that is not counted.

        Raises:
            InputError: the input is at fault.
            ValueError: the evaluation has no such function, or the backend no such derivative.
        """
        if function not in (self.wire.primal, self.wire.derivative):
            raise ValueError(f"no function {function!r}: {self.wire.primal}, {self.wire.derivative}")
        params, data = self.wire.read(given)
        runs, seconds = (_number(given, name) for name in ("min_runs", "min_seconds"))
        call, finish = self._call(function == self.wire.primal, params, data)
        timings: list[dict[str, Any]] = []
        total_s = 0.0
        result, first_ns = _timed(call)
        while not timings or ((len(timings) < runs or total_s < seconds) and len(timings) < MOST_RUNS):
            result, took_ns = _timed(call)
            timings.append({"name": "evaluate", "nanoseconds": took_ns})
            total_s += took_ns / 1e9
        return finish(result), [{"name": "first call", "nanoseconds": first_ns}, *timings]

    def _call(self, primal: bool, params: Arrays, data: Arrays) -> tuple[Callable[[], Any], Callable[[Any], Tree]]:
        """What is timed, on arrays that are placed already, and what makes its result an answer."""
        wire, get, vector = self.wire, self.backend.get, self.wire.vector
        loss = self.primal if primal else self.loss
        rounds = max((len(value) for value in data.values() if value.ndim), default=0) if wire.loops else 0
        if primal and vector:
            data = {**data, **{name: value for name, value in params.items() if name != vector}}
            params = {vector: params[vector]}
        program = self._program(loss, rounds)
        placed = self.backend.put(dict(params)), place(self.backend, program, dict(data))
        if primal and not vector:
            return timed_call(self.backend, program.value, *placed), lambda found: _host(get({"": found}))
        slopes = timed_call(self.backend, program.value_and_gradient, *placed)
        if primal:
            return slopes, lambda found: _host(get({"": found[1][vector]}))
        if not wire.curvature:
            return slopes, lambda found: wire.answer(get(found[1]), {})
        if program.hvp is None:
            raise ValueError("undefined: a gradient written by hand has no Hessian-vector product")
        ones = self.backend.put({name: np.ones_like(value) for name, value in params.items()})
        product = timed_call(self.backend, program.hvp, *placed, ones)
        return lambda: (slopes()[1], product()), lambda found: wire.answer(get(found[0]), get(found[1]))

    def _program(self, loss: UserLoss, rounds: int) -> Program:
        """The program of a loss with a loop of so many rounds, compiled if it is not long."""
        key = loss, rounds > LONG_LOOP
        if key not in self._programs:
            uncompiled = getattr(self.backend, "uncompiled", None)
            if rounds <= LONG_LOOP:
                self._programs[key] = self.backend.program(loss)
            elif uncompiled is not None:
                self._programs[key] = uncompiled(loss, ("value_and_gradient", "hvp"))
            elif hasattr(self.backend, "eager"):
                raise ValueError(f"undefined: a loop of {rounds} rounds, all of which would be compiled")
            else:
                self._programs[key] = self.backend.program(loss)
        return self._programs[key]


def _timed(call: Callable[[], Any]) -> tuple[Any, int]:
    began_ns = time.perf_counter_ns()
    result = call()
    return result, time.perf_counter_ns() - began_ns


def _host(found: Mapping[str, HostArray]) -> HostArray:
    return np.asarray(found[""])


def _number(given: Any, name: str) -> float:
    """How often, or how long, an input wants its function evaluated; 0 where it does not say.

    Raises:
        InputError: it is no finite number of 0 or more.
    """
    value = given.get(name, 0) if isinstance(given, dict) else 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise InputError(f"input {name}", got=shown(value), expected="a finite number of 0 or more")
    return float(value)


def serve(tool: Tool, questions: BinaryIO, answers: BinaryIO) -> int:
    """Answer each line until there are no more, or one that has no answer; the exit code."""
    for number, line in enumerate(questions, 1):
        try:
            response = tool.respond(line)
        except Refused as refused:
            sys.stderr.write(f"gradparity: line {number}: {refused}.\n")
            return 2
        try:
            answers.write(json.dumps(response).encode() + b"\n")
            answers.flush()
        except BrokenPipeError:  # nobody reads
            return 0
        except OSError as error:
            sys.stderr.write(f"gradparity: line {number}: no answer could be written: {error.strerror}.\n")
            return 2
    return 0


def main(name: str, target: str) -> int:
    """Import the backend, and be the tool; its exit code."""
    if getattr(sys, "stderr", None) is None:  # closed: its number would be that of the next file that is opened
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        os.dup2(sys.stderr.fileno(), 2)
    for what in ("stdin", "stdout"):
        if getattr(sys, what) is None:
            sys.stderr.write(f"gradparity: {what} is closed, expected one end of a pipe to GradBench.\n")
            return 2
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a framework prints is no response
    try:
        backend = load(target)
        backend.configure(int(os.environ["OMP_NUM_THREADS"]))
        return serve(Tool(name, backend), sys.stdin.buffer, answers)
    except KeyboardInterrupt:
        return 130
    except (ImportError, AttributeError) as error:
        sys.stderr.write(f"gradparity: {name} does not import: {printable(first_line(str(error)))}.\n")
        return 3


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2])
    sys.stderr.flush()
    os._exit(code)  # whoever reads may be gone, and threads of a framework may not end
