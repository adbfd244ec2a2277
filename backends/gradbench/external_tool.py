"""A tool of GradBench as a backend: a program that speaks its protocol, asked for the two functions of an evaluation.

It is told ``start`` and ``define`` once, and ``evaluate`` for each function; ``analysis`` is not sent, since a verdict
takes all of a check. Reference: GradBench's CONTRIBUTING.md, "Protocol".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradparity.backends.asked_by_line import AskedByLine, ProgramFailed, quoted
from gradparity.backends.external_program import (
    NUMBER_BYTES,
    OTHER_BYTES,
    AnsweredLoss,
    ExternalProgram,
    array_of,
    read_object,
)
from gradparity.backends.gradbench import EVALS, wire_of
from gradparity.backends.gradbench.wire import Wire
from gradparity.backends.protocol import Array, Data, NothingToRun, Params
from gradparity.formatting import printable, shortened
from gradparity.model_spec.spec import Logistic, UserSpec

#: How often, and how long, a tool is to evaluate a function: no time is taken of it.
RUNS = {"min_runs": 1, "min_seconds": 0}


class Conversation:
    """Messages to one tool, and its responses."""

    def __init__(self, program: AskedByLine) -> None:
        self.program, self._id = program, -1

    def say(self, kind: str, most: int, **more: Any) -> tuple[dict[str, Any], bytes]:
        """The response to a message, at most so many bytes, and its line.

        Raises:
            ProgramLost: the tool has ended, or its answer is no response to this message.
        """
        self._id += 1
        line = self.program.ask(json.dumps({"id": self._id, "kind": kind, **more}).encode(), most)
        found = read_object(self.program, line)
        if type(found.get("id")) is not int or found["id"] != self._id:
            raise self.program.broken(f"answers message {self._id} with another id: {quoted(line)}")
        return found, line

    def succeeded(self, what: str, found: Mapping[str, Any], line: bytes) -> bool:
        """Whether a response says so.

        Raises:
            ProgramFailed: it does not say.
        """
        if not isinstance(found.get("success"), bool):
            raise ProgramFailed(f"the program answers {what} without success true or false: {quoted(line)}")
        return bool(found["success"])


def said(found: Mapping[str, Any]) -> str:
    """What a response says of its failure: of a traceback the last line, where the error is."""
    lines = str(found.get("error") or "").strip().splitlines()
    return f": {shortened(printable(lines[-1].strip()), 200)}" if lines else ", and not why"


class EvaluatedLoss(AnsweredLoss):
    """The loss and the gradient of an evaluation as the tool gives them."""

    lacks = "no evaluation of GradBench has a function for the {}"

    def __init__(self, conversation: Conversation, name: str, spec: UserSpec) -> None:
        super().__init__(conversation.program, spec, set())
        self._conversation, self._name, self._wire = conversation, name, wire_of(name)
        self._asked_last: Any = None
        self._backwards = True

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        """Loss and gradient, float64, by the two functions of the evaluation.

        Which comes first changes with the input: what one of them keeps for the other is not there then.

        Raises:
            ProgramFailed: the tool said that it cannot, or answered what is not that.
            ProgramLost: it ended, or answered what is no response.
            InputError: the evaluation has no gradient at these parameters.
        """
        wire: Wire = self._wire
        written = wire.written(params, data)
        asked = {**written, **RUNS} if isinstance(written, dict) else written
        if asked != self._asked_last:
            self._asked_last, self._backwards = asked, not self._backwards
        shapes = {wire.primal: wire.primal_shape(params), wire.derivative: wire.shapes(params)}
        order = reversed(shapes) if self._backwards else shapes
        found = {function: self._evaluate(function, asked, shapes[function]) for function in order}
        loss, gradient = wire.understood(found[wire.primal], found[wire.derivative], params, data)
        return loss, dict(gradient)

    def _evaluate(self, function: str, asked: Any, shapes: Any) -> Any:
        """What a function gives, as an array or as arrays by name."""
        talk = self._conversation
        found, line = talk.say("evaluate", self._most, module=self._name, function=function, input=asked)
        if not talk.succeeded(function, found, line):
            raise ProgramFailed(f"the program could not evaluate {function}{said(found)}")
        if "output" not in found:
            raise ProgramFailed(f"the program's {function}: got none, expected an output: {quoted(line)}")
        output = found["output"]
        if not isinstance(shapes, dict):
            return array_of(function, output, shapes, "float64", sure=False)
        if not isinstance(output, dict) or output.keys() != shapes.keys():
            got = f"those of {', '.join(map(str, output))}" if isinstance(output, dict) else "no object"
            raise ProgramFailed(f"the program's {function}: got {got}, expected those of {', '.join(shapes)}")
        return {
            name: array_of(f"{function} {name}", output[name], shape, "float64", sure=False)
            for name, shape in shapes.items()
        }


class GradBenchTool(ExternalProgram):
    """A tool behind the protocol of the others; GradBench has no other precision."""

    precisions = ("float64",)
    without = ("JAX_ENABLE_X64",)  # its precision is the tool's own affair

    def loss(self, spec: Logistic | UserSpec) -> EvaluatedLoss:
        """The evaluation that a model's file is named after.

        Raises:
            NothingToRun: there is none, or the tool does not define it.
        """
        name = Path(spec.path.partition("::")[0]).stem if isinstance(spec, UserSpec) else ""
        if name not in EVALS or not isinstance(spec, UserSpec):
            raise NothingToRun(f"the model's file is named after no evaluation of GradBench: {', '.join(EVALS)}")
        talk = Conversation(self._asked)
        talk.say("start", OTHER_BYTES, eval=name)
        found, line = talk.say("define", OTHER_BYTES + NUMBER_BYTES, module=name)
        if not talk.succeeded("define", found, line):
            raise NothingToRun(f"the tool does not define {name}{said(found)}")
        return EvaluatedLoss(talk, name, spec)

    user_loss = loss
