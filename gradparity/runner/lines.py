"""Where two ports diverge, to the line: their operations are recorded once something disagrees, and never before."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.alignment import FirstDivergence, first_divergence
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user.model import find_model
from gradparity.oracle.protocol import NotCertified
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import Deadline, waited_s
from gradparity.processes.machine import usable_cores
from gradparity.processes.peer import WorkerFailed
from gradparity.results import DIFFERS, Diagnosis, Finding
from gradparity.results.lines import Lines
from gradparity.results.recorded import Recorded
from gradparity.runner.recording import traced_of
from gradparity.runner.sites import at_its_cures, beside_cures, in_words
from gradparity.worker import messages as m

if TYPE_CHECKING:
    from gradparity.oracle.client import ModelProcess

#: What a neutral loss is called where a port is held against it.
TRUTH = "truth"
#: Quantities that a cure is held to.
WHICH = ("loss", "gradient")
#: Lines that are under suspicion at most.
MOST_PLACES = 12
#: Seconds that recording a port may take; that all of it may take at least, and at most.
TRACE_S, LEAST_S, MOST_S = 30.0, 4.0, 60.0
#: That all of it may take, of what the check has taken so far.
SHARE = 0.8
#: What a file of another hand raises that has not the results on the way as `record` writes them.
UNREADABLE = (ValueError, KeyError, TypeError)  # of msgspec's errors the first is the kind


def find_lines(
    workers: Mapping[str, WorkerProcess],
    problem: UserProblem,
    findings: Iterable[Finding],
    oracle: ModelProcess | None,
    deadline: Deadline,
    took_s: float,
    references: Sequence[Recorded] = (),
) -> tuple[list[Lines], list[str]]:
    """Where each backend that disagrees diverges from what it is held against, and why that is not known of some.

    Args:
        workers: by backend; each has the problem loaded.
        problem: the problem.
        findings: the verdicts on it.
        oracle: the truth, where the backends are held to one.
        deadline: of the problem's budget.
        took_s: seconds that the check took so far: it takes `SHARE` of that again, or `LEAST_S`.
        references: answers recorded elsewhere; those with results on the way diverge at a line, too.
    """
    seconds = max(0.0, min(deadline.left_s(), max(LEAST_S, SHARE * took_s), MOST_S))
    search = Search(workers, problem, oracle, seconds, references)
    try:
        return search.run(findings), search.notes
    except Exception as error:  # it explains verdicts that stand without it
        return [], [*search.notes, f"where ports diverge was not told: {type(error).__name__}: {error}"]


def without_steps(names: Sequence[str]) -> Diagnosis:
    """What keeps a check from naming lines: references of these names have no results on the way."""
    who, have = " and ".join(names), "has" if len(names) == 1 else "have"
    finding = f"{who} {have} no results on the way, so no line is named at which a port diverges from it"
    return Diagnosis(name="lines", finding=finding, cure="`gradparity record --intermediates` writes them.")


@dataclass
class _Diverging:
    """Where two ports diverge, in words and in numbers of their results."""

    lines: Lines
    divergence: FirstDivergence


class Search:
    """Where each backend that disagrees diverges from one that does not, or from the neutral loss; and a cure.

    Args:
        workers: by backend; each has the problem loaded.
        problem: the problem.
        oracle: the truth, where the backends are held to one.
        seconds: that all of it may take.
        references: answers recorded elsewhere. What they are made by is not here: no edit of it is tried.
    """

    def __init__(
        self,
        workers: Mapping[str, WorkerProcess],
        problem: UserProblem,
        oracle: ModelProcess | None,
        seconds: float,
        references: Sequence[Recorded] = (),
    ) -> None:
        self._workers, self._problem, self._oracle = workers, problem, oracle
        self._references = {each.name: each for each in references if each.trace}
        self._record_s, self._ends_s = min(TRACE_S, seconds / 3), time.monotonic() + seconds
        self._root = find_model(problem.spec.path)[0].parent
        self._recorded: dict[str, m.Traced] = {}
        self._wide = problem.cast("float64")  # in which edits are tried: roundings of less would pass for faults
        self._other: m.Redrawn | None = None
        self._expected: dict[str, list[m.Wanted]] = {}
        self.notes: list[str] = []

    def run(self, findings: Iterable[Finding]) -> list[Lines]:
        """Of two backends that disagree with each other, neither is the odd one: said once."""
        findings = list(findings)
        names = [*(name for name in self._workers if not is_twin(name)), *self._references]
        bad = list(dict.fromkeys(f.backend for f in findings if f.verdict in DIFFERS and f.backend in names))
        known = [TRUTH] if self._oracle is not None and self._record(TRUTH).results else []
        good = [*known, *(name for name in names if name not in bad)]
        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(self._record, dict.fromkeys([*bad, *good[:1]])))
            diverging = self._diverging(bad, good)
            # Cotangents of a gradient that agrees differ where its sum is taken in other terms, and by no fault.
            odd = {f.backend for f in findings if f.verdict in DIFFERS and f.quantity.startswith(WHICH)}
            backward = [each for each in diverging if each.lines.direction == "backward"]
            diverging = [d for d in diverging if d not in backward or {d.lines.backend, *d.lines.also} & odd]
            asked = [self._sides(each.lines, good) for each in diverging]
            for other in dict.fromkeys(other for sides in asked for _, other in sides):
                if other not in self._references:
                    self._expect(other)  # one after the other, and each once: a process answers one request at a time
            cures = self._cured(diverging, asked, pool)
        self.notes += [f"{name}: {note}" for name, traced in self._recorded.items() for note in traced.notes]
        sources = {file: text for traced in self._recorded.values() for file, text in traced.sources.items()}
        return [
            at_its_cures(
                beside_cures(each.lines, found, self._recorded, self._problem.params, self._root),
                found,
                self._root,
                sources,
            )
            for each, found in zip(diverging, cures, strict=True)
        ]

    def _diverging(self, bad: Sequence[str], good: Sequence[str]) -> list[_Diverging]:
        """Where each of the bad diverges from the first that it can be held against; those of one source together."""
        found: list[_Diverging] = []
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
                divergence = first_divergence(mine, theirs, self._problem.params)
                if divergence is not None:
                    found.append(
                        _Diverging(in_words(divergence, (name, other), (mine, theirs), self._root), divergence)
                    )
                break
        return found

    def _record(self, name: str) -> m.Traced:
        """The record of a backend's port, or of the neutral loss; empty where there is none, which is noted."""
        if name not in self._recorded:
            try:
                self._recorded[name] = self._trace(name)
            except (WorkerFailed, NotCertified, *UNREADABLE) as failure:
                self.notes.append(f"{name} cannot be recorded: {getattr(failure, 'reason', failure)}")
                self._recorded[name] = m.Traced()
        return self._recorded[name]

    def _trace(self, name: str) -> m.Traced:
        if name == TRUTH and self._oracle is not None:
            return self._oracle.trace(self._problem, self._problem.seed, self._record_s)
        if name in self._references:
            return traced_of(self._references[name], self._root)
        return self._workers[name].ask(m.Trace(self._problem.seed), share_s=waited_s(self._record_s))

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

    def _cured(
        self, diverging: Sequence[_Diverging], asked: Sequence[list[tuple[str, str]]], pool: ThreadPoolExecutor
    ) -> list[list[tuple[str, m.Cured]]]:
        """What makes one port agree with the other, of each side of each divergence: ports beside each other."""
        of_ports: dict[str, list[tuple[int, int]]] = {}
        for n, sides in enumerate(asked):
            for side, (port, _) in enumerate(sides):
                of_ports.setdefault(port, []).append((n, side))

        def answers(port: str) -> list[m.Cured]:  # one after the other, with equal shares of the time
            return [
                self._ask(port, asked[n][side][1], diverging[n], len(of_ports[port]) - place)
                for place, (n, side) in enumerate(of_ports[port])
            ]

        found = dict(zip(of_ports, pool.map(answers, of_ports), strict=True))
        return [
            [(port, found[port][of_ports[port].index((n, side))]) for side, (port, _) in enumerate(sides)]
            for n, sides in enumerate(asked)
        ]

    def _ask(self, port: str, other: str, diverging: _Diverging, shares: int) -> m.Cured:
        left_s = (self._ends_s - time.monotonic()) / shares
        suspects = diverging.divergence.suspects[0 if port == diverging.lines.backend else 1]
        places = self._places(port, suspects)
        if not places or port not in self._workers or other not in self._expected or left_s <= 0:
            return m.Cured([], 0)
        try:
            request = m.Cure(places, self._expected[other], left_s)
            answer = self._workers[port].ask(request, share_s=waited_s(left_s))
        except WorkerFailed as failure:
            self.notes.append(f"what would make {port} agree was not found: {failure.reason}")
            return m.Cured([], 0)
        if answer.cut:
            self.notes.append(f"edits of {port} were tried for {left_s:.0f} s, {answer.tried} of them, and not all")
        return answer

    def _wanted(self, other: str) -> list[m.Wanted]:
        """Loss and gradient of the other at the problem's parameters and data, and at those of another seed.

        What makes ports agree on one draw of the data may do so by chance.

        Raises:
            WorkerFailed: it cannot be evaluated there, or the model not be drawn once more.
            NotCertified: the truth has no value there, or no time for one.
        """
        if self._other is None:
            worker = self._workers[other] if other in self._workers else next(iter(self._workers.values()))
            self._other = worker.ask(m.Redraw(self._problem.seed + 1), share_s=waited_s(self._record_s))
        drawn = self._other.params, self._other.data
        points = [(dict(self._wide.params), dict(self._wide.data)), drawn]
        if other != TRUTH:
            answers = self._workers[other].ask(m.Points(points), share_s=waited_s(self._record_s)).evaluations
        else:
            assert self._oracle is not None  # noqa: S101  # it has given its record
            there = self._wide.at(*drawn, self._problem.seed + 1)  # where shapes may be others
            truths = [self._oracle.at(each).truth for each in (self._wide, there)]
            answers = [
                {which: {n: np.asarray(v, np.float64) for (q, n), v in truth.items() if q == which} for which in WHICH}
                for truth in truths
            ]
        return [
            m.Wanted(float(answer["loss"][""]), answer["gradient"], *point)
            for answer, point in zip(answers, ((None, None), drawn), strict=True)
        ]

    def _places(self, port: str, suspects: Sequence[int]) -> list[tuple[str, int, int]]:
        """Lines of the results under suspicion, the likeliest first, each once."""
        traced, found = self._recorded[port], dict[tuple[str, int, int], None]()
        for number in suspects:
            result = traced.results[number]
            for file, line, end_line, *_ in (result.rule, result.place):
                if line:
                    found.setdefault((file, line, end_line))
        return list(found)[:MOST_PLACES]


def _same_source(one: m.Traced, two: m.Traced) -> bool:
    """Whether two backends run one port."""
    return bool(one.results) and [r.place for r in one.results] == [r.place for r in two.results]
