"""Where two ports part, to the line: their operations are recorded once something disagrees, and never before."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.alignment import Parting, part
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user.model import find_model
from gradparity.oracle.protocol import NotCertified, Oracle
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import Deadline, waited_s
from gradparity.processes.machine import usable_cores
from gradparity.processes.peer import WorkerFailed
from gradparity.results import DIFFERS, Finding
from gradparity.results.lines import Lines
from gradparity.runner.sites import at_its_cures, in_words
from gradparity.truth.reference import Reference
from gradparity.worker import messages as m

#: What a neutral loss is called where a port is held against it.
TRUTH = "truth"
#: Quantities that a cure is held to.
WHICH = ("loss", "gradient")
#: Lines that are under suspicion at most, and how far beside the parameters the second point is, relative: what makes
#: ports agree at one point may do so by chance.
MOST_PLACES, BESIDE = 12, 0.1
#: Seconds that recording a port may take; that all of it may take at least, and at most.
TRACE_S, LEAST_S, MOST_S = 30.0, 8.0, 60.0
#: Seconds by the clock that a second of trying edits may take, beside other processes.
CLOCK = 1.5


def find_lines(
    workers: Mapping[str, WorkerProcess],
    problem: UserProblem,
    findings: Iterable[Finding],
    oracle: Oracle | None,
    deadline: Deadline,
    took_s: float,
) -> tuple[list[Lines], list[str]]:
    """Where each backend that disagrees parts from what it is held against, and why that is not known of some.

    Args:
        workers: by backend; each has the problem loaded.
        problem: the problem.
        findings: the verdicts on it.
        oracle: the truth, where the backends are held to one.
        deadline: of the problem's budget.
        took_s: seconds that the check took so far: it takes no more than that again, nor less than `LEAST_S`.
    """
    left_s, truth = max(0.0, min(deadline.left_s(), max(LEAST_S, took_s), MOST_S)), None
    ends_s = time.monotonic() + left_s
    tell = getattr(oracle, "trace", None)
    if tell is not None:
        with contextlib.suppress(NotCertified):
            truth = tell(problem, problem.seed, min(TRACE_S, left_s / 3))
    search = Search(workers, problem, truth, None if oracle is None else oracle.at, ends_s - time.monotonic())
    try:
        return search.run(findings), search.notes
    except Exception as error:  # it explains verdicts that stand without it
        return [], [*search.notes, f"where ports diverge was not told: {type(error).__name__}: {error}"]


@dataclass
class _Parted:
    """Where two ports part, in words and in numbers of their results."""

    lines: Lines
    parting: Parting


class Search:
    """Where each backend that disagrees parts from one that does not, or from the neutral loss; and what would cure it.

    Args:
        workers: by backend; each has the problem loaded.
        problem: the problem.
        truth: the record of the neutral loss, if there is one.
        at: the truth of the loss and gradient of a problem.
        seconds: that all of it may take.
    """

    def __init__(
        self,
        workers: Mapping[str, WorkerProcess],
        problem: UserProblem,
        truth: m.Traced | None = None,
        at: Callable[[UserProblem], Reference] | None = None,
        seconds: float = math.inf,
    ) -> None:
        self._workers, self._problem, self._at = workers, problem, at
        self._record_s, self._ends_s = min(TRACE_S, seconds / 2), time.monotonic() + seconds
        self._root = find_model(problem.spec.path)[0].parent
        self._recorded: dict[str, m.Traced] = {} if truth is None or not truth.results else {TRUTH: truth}
        self._wide = problem.cast("float64")  # in which edits are tried: roundings of less would pass for faults
        self._other: tuple[dict[str, Any], dict[str, Any]] | None = None
        self._expected: dict[str, list[m.Wanted]] = {}
        self.notes: list[str] = []

    def run(self, findings: Iterable[Finding]) -> list[Lines]:
        """Of two backends that disagree with each other, neither is the odd one: said once."""
        names = [name for name in self._workers if not is_twin(name)]
        bad = list(dict.fromkeys(f.backend for f in findings if f.verdict in DIFFERS and f.backend in names))
        good = [TRUTH] * (TRUTH in self._recorded) + [name for name in names if name not in bad]
        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(self._record, dict.fromkeys([*bad, *good[:1]])))
            parted = self._parted(bad, good)
            asked = [self._sides(each.lines, good) for each in parted]
            for other in dict.fromkeys(
                other for sides in asked for _, other in sides
            ):  # one after the other, each once
                self._expect(other)
            cures = list(pool.map(self._cured, parted, asked))
        self.notes += [f"{name}: {note}" for name, traced in self._recorded.items() for note in traced.notes]
        sources = {file: text for traced in self._recorded.values() for file, text in traced.sources.items()}
        return [at_its_cures(each.lines, found, self._root, sources) for each, found in zip(parted, cures, strict=True)]

    def _parted(self, bad: Sequence[str], good: Sequence[str]) -> list[_Parted]:
        """Where each of the bad parts from the first that it can be held against; those of one source together."""
        found: list[_Parted] = []
        for name in bad:
            mine = self._record(name)
            same = next((each for each in found if _same_source(self._recorded[each.lines.backend], mine)), None)
            if same is not None and same.lines.against in good:
                same.lines = msgspec.structs.replace(same.lines, also=[*same.lines.also, name])
                continue
            for other in (*good, *(each for each in bad if each != name)):
                if any({each.lines.backend, each.lines.against} == {name, other} for each in found):
                    break
                theirs = self._record(other)
                if not (mine.results and theirs.results):
                    continue
                parting = part(mine, theirs, self._problem.params)
                if parting is not None:
                    found.append(_Parted(in_words(parting, (name, other), (mine, theirs), self._root), parting))
                break
        return found

    def _record(self, name: str) -> m.Traced:
        if name not in self._recorded:
            request, share_s = m.Trace(self._problem.seed), waited_s(self._record_s)
            try:
                self._recorded[name] = self._workers[name].ask(request, share_s=share_s)
            except WorkerFailed as failure:
                self.notes.append(f"{name} cannot be recorded: {failure.reason}")
                self._recorded[name] = m.Traced()
        return self._recorded[name]

    def _sides(self, lines: Lines, good: Sequence[str]) -> list[tuple[str, str]]:
        """Which port is to agree with which: where neither is known to be right, either with either."""
        one, two = lines.backend, lines.against
        return [(one, two)] if two in good else [(one, two), (two, one)]

    def _expect(self, other: str) -> None:
        """Ask once what a port would have to give to agree with another."""
        try:
            self._expected[other] = self._wanted(other)
        except (WorkerFailed, NotCertified) as failure:  # the truth has no value at the other point, or no time
            words = getattr(failure, "reason", failure)
            self.notes.append(f"what would make ports agree with {other} was not found: {words}")

    def _cured(self, parted: _Parted, sides: Sequence[tuple[str, str]]) -> list[tuple[str, m.Cured]]:
        """What makes one port agree with the other, of each side."""
        numbers = dict(zip((parted.lines.backend, parted.lines.against), parted.parting.suspects, strict=True))
        return [(port, self._ask(port, other, self._places(port, numbers[port]))) for port, other in sides]

    def _ask(self, port: str, other: str, places: list[tuple[str, int, int]]) -> m.Cured:
        left_s = self._ends_s - time.monotonic()
        if not places or port not in self._workers or other not in self._expected or left_s <= 0:
            return m.Cured([], 0)
        try:
            request = m.Cure(places, self._expected[other], left_s)
            return self._workers[port].ask(request, share_s=waited_s(CLOCK * left_s))
        except WorkerFailed as failure:
            self.notes.append(f"what would make {port} agree was not found: {failure.reason}")
            return m.Cured([], 0)

    def _beside(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and data of another seed: what makes ports agree on one draw of the data may do so by chance.

        Where they cannot be drawn the parameters are moved.
        """
        if self._other is None:
            try:
                drawn = next(iter(self._workers.values())).ask(m.Redraw(self._problem.seed + 1))
                self._other = drawn.params, drawn.data
            except WorkerFailed:
                rng, params = np.random.default_rng([self._problem.seed, 16]), self._wide.params
                moved = {name: v * (1 + BESIDE * rng.standard_normal(v.shape)) for name, v in params.items()}
                self._other = moved, dict(self._wide.data)
        return self._other

    def _wanted(self, other: str) -> list[m.Wanted]:
        """Loss and gradient of the other at the problem's parameters and data, and at others."""
        points = [(dict(self._wide.params), dict(self._wide.data)), self._beside()]
        if other != TRUTH:
            answers = self._workers[other].ask(m.Points(points), share_s=waited_s(self._record_s)).evaluations
        else:
            assert self._at is not None  # noqa: S101  # whoever has its record has its truth
            truths = [self._at(replace(self._wide, params=params, data=data)).truth for params, data in points]
            answers = [
                {which: {n: np.asarray(v, np.float64) for (q, n), v in truth.items() if q == which} for which in WHICH}
                for truth in truths
            ]
        return [
            m.Wanted(float(answer["loss"][""]), answer["gradient"], *point)
            for answer, point in zip(answers, ((None, None), points[1]), strict=True)
        ]

    def _places(self, port: str, suspects: Sequence[int]) -> list[tuple[str, int, int]]:
        """Lines of the results under suspicion, the likeliest first, each once."""
        traced, found = self._recorded[port], dict[tuple[str, int, int], None]()
        for number in suspects:
            file, line, end_line, _, _ = traced.results[number].place
            if line:
                found.setdefault((file, line, end_line))
        return list(found)[:MOST_PLACES]


def _same_source(one: m.Traced, two: m.Traced) -> bool:
    """Whether two backends run one port."""
    return bool(one.results) and [r.place for r in one.results] == [r.place for r in two.results]
