"""A model whose truth nobody knows: every backend's answers, noise and own derivatives, then all against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from gradparity.judge.causes.precision import PARTLY, SCATTER, with_precision
from gradparity.judge.consensus import judge_pairwise
from gradparity.judge.own import Answers, denies
from gradparity.judge.verdicts import judge_values, lengths
from gradparity.model_spec.precisions import PRECISIONS
from gradparity.numerics.beside import Sides, sides_from, without_steps
from gradparity.numerics.perturbation import Floors, floor_from
from gradparity.numerics.richardson import block_directions
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import UNLIMITED, Deadline, waited_s
from gradparity.processes.peer import WorkerFailed
from gradparity.results import Finding, Pairwise
from gradparity.results.recorded import Recorded
from gradparity.truth.reference import Reference
from gradparity.worker import messages as m

if TYPE_CHECKING:
    from gradparity.model_spec.problem import UserProblem

#: What the truth is called in a report.
NO_TRUTH = "not known: backends are held against each other, and each against its own loss; nothing is certified"

_Values = Mapping[str, Mapping[str, np.ndarray]]


def unknown(problem: UserProblem, *, second_order: bool) -> Reference:
    """A reference that has every block's name and shape, and no value."""
    shapes: dict[tuple[str, str], tuple[int, ...]] = {("loss", ""): ()}
    shapes |= {("gradient", name): shape for name, shape in problem.spec.shapes.items()}
    if second_order:
        shapes["jvp", ""] = ()
        shapes |= {("hvp", name): shape for name, shape in problem.spec.shapes.items()}
    blank = {key: np.full(shape, np.nan, np.longdouble) for key, shape in shapes.items()}
    return Reference(blank, blank, NO_TRUTH)


def times_as_noisy(precision: str, than: str) -> float:
    """How many times as much as another a precision rounds, in results or in the factors of products."""
    one = PRECISIONS[precision]
    return max(one.unit, one.unit_of_factors) / PRECISIONS[than].unit


def _without(values: _Values, quantities: Collection[str]) -> _Values:
    return {quantity: tree for quantity, tree in values.items() if quantity not in quantities}


class PairwiseRun:
    """What the backends of one problem have answered so far; safe to add to from several threads."""

    def __init__(self, problem: UserProblem) -> None:
        self.problem = problem
        self.answers: dict[str, Answers] = {}
        #: What the loss raises beside the parameters, by backend.
        self.raised: dict[str, str] = {}
        #: Backends that compute in a lower precision, with the words for it in each block that says so.
        self.leaks: dict[str, dict[str, str]] = {}
        self._lock = Lock()
        #: Blocks of which a backend's two ways to the HVP give two answers, by backend and block.
        self._apart: dict[tuple[str, str], Finding] = {}

    def ask(self, name: str, worker: WorkerProcess, evaluation: m.Evaluated, deadline: Deadline = UNLIMITED) -> str:
        """Evaluate a backend at inputs off by a rounding, and differentiate its own loss by differences.

        Returns:
            Why there is no time for that, without which its answers are not judged; or ``""``.

        Raises:
            WorkerFailed: the worker failed.
        """
        seconds = deadline.stage_s("moved inputs")
        moved = worker.ask(m.Perturb(seconds), share_s=2 * waited_s(seconds))
        if moved.raised:
            self.raised[name] = moved.raised
        if moved.missing:
            return moved.missing
        values = _without(evaluation.quantities, {m.OTHER_HVP})
        sides = sides_from(moved.beside, self.problem.tangents)
        drawn = floor_from(values, moved.evaluations, self.problem.spec.dtype)
        floors = without_steps(floor_from(values, moved.evaluations, self.problem.spec.dtype, moved.line), sides, drawn)
        if m.OTHER_HVP in evaluation.quantities:
            self._hold_together(name, evaluation, floors, sides)
        answer = Answers(values, floors, sides=sides)
        try:
            own = worker.ask(m.Extrapolate(seconds=deadline.stage_s("moved inputs")))
            answer = Answers(
                values, floors, own.slopes, own.jvp, own.hvp, sides=sides, slopes=own.sides, through=own.through
            )
            if denies(answer, self._directions, self.problem.spec.dtype):
                more = m.Extrapolate(taps=True, seconds=deadline.stage_s("moved inputs"))
                answer = replace(answer, held=worker.ask(more).held)
        except WorkerFailed as failure:  # at other points, and in float64: a run of ours, which nobody asked for
            if not failure.alive:
                raise
        with self._lock:
            self.answers[name] = answer
        return ""

    def add(self, recorded: Recorded) -> bool:
        """Take answers recorded elsewhere among the others, as noisy as the noisiest of these; whether they were taken.

        Those of a coarser precision are no voters: their noise would hide what others differ by.
        """
        spec = self.problem.spec
        if times_as_noisy(recorded.dtype, spec.rounding) > 1:
            return False
        others = [answer.floors for answer in self.answers.values()]
        values: dict[str, dict[str, Any]] = {}
        floors: dict[tuple[str, str], Any] = {}
        for quantity, tree in recorded.quantities.items():
            for name, value in tree.items():
                known = [each[quantity, name] for each in others if (quantity, name) in each]
                if known:
                    values.setdefault(quantity, {})[name] = value.astype(spec.dtypes.get(name, spec.dtype))
                    floors[quantity, name] = np.max(known, 0)
        if floors:
            self.answers[recorded.name] = Answers(values, floors)
        return True

    @property
    def _directions(self) -> dict[str, Any]:
        return dict(block_directions(self.problem.params, self.problem.seed))

    def _hold_together(
        self, name: str, evaluation: m.Evaluated, floors: Floors, sides: Mapping[tuple[str, str], Sides]
    ) -> None:
        """Find the blocks in which two ways to a backend's HVP are further apart than both their floors.

        At a kink each may take another side; and where one is no number, or the floor too wide, they are not apart.
        """
        first, second = (evaluation.quantities[each] for each in ("hvp", m.OTHER_HVP))
        truth = {("hvp", parameter): np.asarray(value, np.longdouble) for parameter, value in first.items()}
        both = {key: np.sqrt(np.longdouble(2)) * floors[key] for key in truth}
        for key in truth.keys() & sides.keys():
            other, between = second[key[1]], sides[key]
            if other.shape == between.low.shape == truth[key].shape:
                free = between.kinks & (other >= between.low - both[key]) & (other <= between.high + both[key])
                truth[key] = np.where(free, other, truth[key])
        one, two = evaluation.hvps
        reference = Reference(truth, both, NO_TRUTH)
        spec = self.problem.spec
        seconds = judge_values(name, {"hvp": second}, reference, spec.dtype, dtypes=spec.dtypes, against=one)
        for found in seconds:
            if found.verdict in ("wrong", "nonfinite"):
                rule = f"two answers, and users get the first: {one} and {two} differ: {found.rule}"
                self._apart[name, found.block] = msgspec.structs.replace(found, verdict="wrong", rule=rule, cause="")

    def judge(self) -> tuple[Pairwise, list[Finding]] | None:
        """The comparison, or ``None`` where fewer than two backends have answered."""
        if len(self.answers) < 2:
            return None
        problem, lone = self.problem, self.alone()
        answers = {
            name: replace(answer, values=_without(answer.values, lone[name]))
            for name, answer in sorted(self.answers.items())
        }
        found, findings = judge_pairwise(
            answers,
            self._directions,
            dtype=problem.spec.dtype,
            sizes=lengths(problem.data),
            leaks=self.leaks,
            dtypes=problem.spec.dtypes,
        )
        return found, [self._apart.get((each.backend, each.block), each) for each in findings]

    def find_leaks(
        self,
        findings: Sequence[Finding],
        lines: Mapping[str, Mapping[str, Sequence[_Values]]],
        seen: Mapping[str, Collection[str]],
    ) -> dict[str, dict[str, str]]:
        """Backends that scatter as a lower precision does, which another's answers do not: they are judged without."""
        dtype = self.problem.spec.dtype
        for name in lines:
            other = next((each for each in sorted(self.answers) if each not in lines), None) or next(
                each for each in sorted(self.answers) if each != name
            )
            held = self.reference_of(other)
            assert held is not None  # noqa: S101
            mine = [  # at a kink, answers along a line scatter by its step
                each
                for each in findings
                if each.backend == name
                and not any(a.steps((each.quantity, each.parameter)) for a in self.answers.values())
            ]
            values = {name: self.answers[name].values}
            found = with_precision(mine, values, held.truth, held.floor, {name: lines[name]}, dtype, seen, partly=True)
            named = {each.block: each.cause for each in found if SCATTER in each.cause}
            self.leaks |= {name: named} if named else {}
        if len(self.answers) - len(self.leaks) < 2:  # one alone is no judge of what a leak does not explain
            wholly = {n: {b: c for b, c in named.items() if PARTLY not in c} for n, named in self.leaks.items()}
            self.leaks = {name: named for name, named in wholly.items() if named}
        return self.leaks

    def alone(self) -> dict[str, list[str]]:
        """The quantities of each backend that no other gives, and that are held against nothing."""
        given = Counter(quantity for answer in self.answers.values() for quantity in answer.values)
        return {name: [q for q in answer.values if given[q] < 2] for name, answer in self.answers.items()}

    def reference_of(self, name: str) -> Reference | None:
        """A backend's own answers as what its later ones are held to."""
        answer = self.answers.get(name)
        if answer is None:
            return None
        truth = {(q, p): v.astype(np.longdouble) for q, tree in answer.values.items() for p, v in tree.items()}
        return Reference(truth, dict(answer.floors), NO_TRUTH)
