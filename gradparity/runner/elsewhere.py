"""A backend asked at other points than the problem's, and there once more: what it keeps of a question shows so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np

from gradparity.judge.verdicts import judge
from gradparity.model_spec.problem import UserProblem
from gradparity.oracle.protocol import NotCertified
from gradparity.processes.backend import WorkerProcess
from gradparity.results import DIFFERS, GOOD, Finding
from gradparity.runner.cases import Cell
from gradparity.runner.record import Recorder
from gradparity.truth.reference import Reference
from gradparity.worker import messages as m
from gradparity.worker.earlier import Answer, kept, moved

if TYPE_CHECKING:
    from gradparity.oracle.client import ModelProcess

#: Points beside the problem's, each drawn by the model from another seed.
POINTS = 2


class Elsewhere:
    """The other points of one problem and their truths, found for the first backend that is asked there."""

    def __init__(self, cell: Cell, recorder: Recorder) -> None:
        self.cell, self.recorder = cell, recorder
        self._lock = Lock()
        self._known: list[tuple[UserProblem, Reference]] = []

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
        try:
            points = self._points(worker)
        except NotCertified as error:
            self.recorder.leave_out(f"{name}: at other points, without whose truth it is not judged: {error}")
            return found
        home = cast("UserProblem", self.cell.problem)
        places = [*(point for point, _ in points), home]
        answers = worker.ask(m.Points([(dict(each.params), dict(each.data)) for each in places])).evaluations
        impurity, right = "", [(home.seed, first, {each.block for each in found if each.verdict in GOOD})]
        again = kept(answers[-1])
        if differs := moved(kept({name: first[name] for name in again}), again, home.spec.rounding):
            between = " and ".join(str(point.seed) for point, _ in points)
            impurity = f"asked again at the values of seed {home.seed}, after those of {between}: {differs}"
        for (point, truth), answer in zip(points, answers, strict=False):
            bad = [each for each in judge(name, answer, truth, point) if each.verdict in DIFFERS]
            impurity = impurity or _repeated(bad, answer, right, point.seed)
            found = [_also(each, bad, point.seed) for each in found]
            right.append((point.seed, answer, {each.block for each in found} - {each.block for each in bad}))
        if not impurity:
            return found
        return [
            Finding(backend=name, quantity=each.quantity, parameter=each.parameter, verdict="impure", rule=impurity)
            for each in found
        ]

    def _points(self, worker: WorkerProcess) -> list[tuple[UserProblem, Reference]]:
        """Loss and gradient at each of the other points.

        Raises:
            NotCertified: one has no truth, or no time for it.
            WorkerFailed: the model could not be drawn from another seed.
        """
        problem, oracle = cast("UserProblem", self.cell.problem), cast("ModelProcess", self.cell.oracle)
        with self._lock:
            for place in range(len(self._known) + 1, POINTS + 1):
                drawn = worker.ask(m.Redraw(problem.seed + place))
                point = replace(problem, params=drawn.params, data=drawn.data, seed=problem.seed + place)
                self._known.append((point, oracle.at(point)))
            return self._known


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
