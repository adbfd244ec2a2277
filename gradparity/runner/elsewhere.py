"""A backend asked at other points than the problem's, and there once more: what it keeps of a question shows so."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np

from gradparity.judge.verdicts import judge
from gradparity.model_spec.problem import UserProblem
from gradparity.oracle.protocol import NotCertified
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.results import DIFFERS, GOOD, Finding, NotGiven
from gradparity.runner.cases import Cell
from gradparity.runner.record import Recorder
from gradparity.truth.reference import Reference
from gradparity.worker import messages as m
from gradparity.worker.earlier import Answer, kept, moved

if TYPE_CHECKING:
    from gradparity.oracle.client import ModelProcess

#: How far the seeds are that the model draws the other points from, in the order in which they are asked for. The first
#: has the problem's sizes: an earlier answer fits it, and is known for what it is.
AWAY = (2, 1)


class Elsewhere:
    """The other points of one problem and their truths, found for the first backend that is asked there."""

    def __init__(self, cell: Cell, recorder: Recorder) -> None:
        self.cell, self.recorder = cell, recorder
        self._lock = Lock()
        self._known: dict[int, tuple[UserProblem, Reference]] = {}

    def held(self, name: str, worker: WorkerProcess, found: Sequence[Finding], first: Answer) -> Sequence[Finding]:
        """The findings, with what is wrong at other points; of a backend that keeps state that, in place of them all.

        Args:
            name: of the backend.
            worker: its process.
            found: the verdicts on its answer at the problem's point, one a block.
            first: that answer.

        Raises:
            WorkerFailed: it has not answered at the other points.
        """
        self.recorder.begin("evaluation at other points", name)
        home = cast("UserProblem", self.cell.problem)
        right = [(home.seed, first, {each.block for each in found if each.verdict in GOOD})]
        try:
            for away in AWAY:
                point, truth = self._point(worker, home, away)
                answer = self._asked(worker, point, f"the values of seed {point.seed}")
                bad = [each for each in judge(name, answer, truth, point) if each.verdict in DIFFERS]
                if impurity := _repeated(bad, answer, right, point.seed):
                    return _impure(name, found, impurity)
                found = [_also(each, bad, point.seed) for each in found]
                right.append((point.seed, answer, {each.block for each in found} - {each.block for each in bad}))
            again = self._asked(worker, home, f"the values of seed {home.seed} again")
        except NotCertified as error:
            self.recorder.leave_out(f"{name}: at other points, without whose truth it is not judged: {error}")
            self._not_compared(name, str(error))
            return found
        except WorkerFailed as failure:
            self.recorder.found(name, found)  # what it had answered stands
            if isinstance(failure, OutOfTime):
                self._not_compared(name, failure.reason)
            raise
        asked = {quantity: first[quantity] for quantity in again}  # the JVP is made of these
        if differs := moved(kept(asked), kept(again), home.spec.rounding):
            between = " and ".join(str(seed) for seed, *_ in right[1:])
            rule = f"asked again at the values of seed {home.seed}, after those of {between}: {differs}"
            return _impure(name, found, rule)
        return found

    def _not_compared(self, name: str, reason: str) -> None:
        """Have it said where the verdict is said that a backend was not held to all of the other points."""
        known = [each for each in self.recorder.outcome.not_given if each.backend == name]
        cure = "--budget SECONDS allows more."
        said = NotGiven(backend=name, quantity="other points", reason=reason, cure=cure)
        self.recorder.not_given(name, [*known, said])

    def _asked(self, worker: WorkerProcess, point: UserProblem, where: str) -> Answer:
        """Loss and gradient of a backend at a point.

        Raises:
            WorkerFailed: it has not answered; with where that was.
        """
        try:
            (answer,) = worker.ask(m.Points([(dict(point.params), dict(point.data))])).evaluations
        except WorkerFailed as failure:
            failure.reason = f"at {where}: {failure.reason}"
            raise
        return answer

    def _point(self, worker: WorkerProcess, home: UserProblem, away: int) -> tuple[UserProblem, Reference]:
        """One of the other points, and loss and gradient there.

        Raises:
            NotCertified: it has no truth, or no time for it.
            WorkerFailed: the model could not be drawn from another seed.
        """
        with self._lock:
            if away not in self._known:
                drawn = worker.ask(m.Redraw(home.seed + away))
                point = home.at(drawn.params, drawn.data, home.seed + away)
                self._known[away] = point, cast("ModelProcess", self.cell.oracle).at(point)
            return self._known[away]


def _impure(name: str, found: Sequence[Finding], rule: str) -> list[Finding]:
    return [
        Finding(backend=name, quantity=each.quantity, parameter=each.parameter, verdict="impure", rule=rule)
        for each in found
    ]


def _also(found: Finding, bad: Sequence[Finding], seed: int) -> Finding:
    """A finding; where it is good and its block is wrong at another point, that."""
    for other in bad:
        if found.verdict in GOOD and (found.quantity, found.parameter) == (other.quantity, other.parameter):
            where = f", at the values of seed {seed}"
            return msgspec.structs.replace(other, rule=other.rule + where, cause=other.cause and other.cause + where)
    return found


def _repeated(bad: Sequence[Finding], answer: Answer, right: Sequence[tuple[int, Answer, set[str]]], seed: int) -> str:
    """That a wrong block has the bits of the answer to an earlier question, to which it was right; or ``""``.

    Args:
        bad: the findings on blocks that are wrong.
        answer: that has them.
        right: earlier questions by their seeds, the answers to them, and the blocks in which these are right.
        seed: of the question.
    """
    for each in bad:
        value = np.asarray(answer[each.quantity][each.parameter])
        for asked, earlier, blocks in reversed(right):
            if each.block in blocks and value.tobytes() == earlier[each.quantity][each.parameter].tobytes():
                return f"asked at the values of seed {seed}, it answers with the {each.block} of seed {asked}"
    return ""
