"""One problem, or a group that shares its workers, through all backends: check and train, judge and save."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from gradparity.benchmark.schedule import is_twin
from gradparity.model_spec.precisions import HALVES
from gradparity.model_spec.problem import UserProblem
from gradparity.numerics.optimisers import OUT_OF_TIME
from gradparity.processes.machine import usable_cores
from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.results import DIFFERS, UNREPEATABLE, Checked, Start
from gradparity.runner.answers import SECOND, Answer, kept
from gradparity.runner.cases import Cell
from gradparity.runner.crew import Crew, Member, patience_s
from gradparity.runner.record import Record, Recorder
from gradparity.runner.resume import JUDGED, untimed
from gradparity.worker import messages as m

if TYPE_CHECKING:
    from gradparity.oracle.messages import DrawnBatches
    from gradparity.runner.judging import Judging

#: Seconds of a first call from which loss and gradient are asked for before the second order.
LONG_CALL_S = 1.0
#: Share of what is left that the second order may then take: what follows is about the gradient.
SECOND_ORDER = 0.5


class ProblemRun:
    """The check of one problem: what each worker answers is judged and saved as it arrives."""

    judging: Judging

    def __init__(self, cell: Cell, crew: Crew, recorder: Recorder) -> None:
        self.cell, self.crew, self.recorder = cell, crew, recorder
        self.reached = False
        #: What each backend has answered so far, and the failures of those that have not.
        self.asked: set[str] = set()
        self.answers: dict[str, Answer] = {}
        self.failures: dict[str, WorkerFailed] = {}

    def find_truth(self) -> None:
        """Compute what the answers will be held to; the workers import meanwhile."""
        from gradparity.runner.judging import Judging

        self.reached = True
        self.judging = Judging(self.cell, self.recorder, self.crew.deadline)
        for absent in self.recorder.outcome.troubles:
            self.recorder.outcome.findings += self.judging.unanswered(absent.backend, "failed", absent.reason)

    def queue(self) -> list[str]:
        """Whom to start: who was not checked yet, and where the same processes are timed, who was not timed."""
        crew, done = self.crew, self.recorder.done
        names = [name for name in self.cell.names if name not in crew.gone and name not in done]
        if self.cell.plan.timed and not self.cell.plan.apart:
            timed = untimed(self.recorder.outcome, crew.present)
            if timed:  # in turns with the reference, whose twin gives the control
                first = [crew.reference] if crew.reference not in crew.gone else []
                names = list(dict.fromkeys([*first, *names, *timed, crew.control]))
        return names

    def follow(self) -> None:
        """Compute the reference runs, unless nobody is left who would need one."""
        if not self.recorder.done >= set(self.cell.names):
            self.judging.follow()
        self.recorder.end()

    def ask(self, name: str) -> None:
        """Import, first call and evaluation of one backend, which need no truth."""
        began_s, deadline = time.monotonic(), self.crew.deadline
        self.asked.add(name)
        try:
            member = self.crew.member(name)
            member.load(self.cell, self.recorder, deadline.stage_s("first call"), early=True)
            if is_twin(name) or name in self.recorder.done:
                return
            start = member.start(None, beside=True)
            peak_bytes, raised = member.peak_bytes(self.cell.problem)
            self.failures |= {name: raised} if raised is not None else {}
            self._evaluate(member, peak_bytes, start)
        except WorkerFailed as failure:
            self._keep(name, failure)
        self.recorder.end(name)
        if name in self.crew.members:
            self.crew.members[name].took_s += time.monotonic() - began_s

    def _keep(self, name: str, failure: WorkerFailed) -> None:
        """Go on with what a backend had answered when it failed, or was cut off, which is judged."""
        member, second_order = self.crew.members.get(name), self.cell.plan.second_order
        answer = kept(self.answers.get(name), member) if member is not None else None
        cut = answer is not None and isinstance(failure, OutOfTime)
        if answer is not None and second_order:
            answer = answer.without(OUT_OF_TIME if cut else f"it failed before: {failure.reason}")
        if answer is not None and cut:
            lacking = " and ".join(what.upper() for what in SECOND if what in answer.evaluation.without)
            more = f", {lacking} {'are' if ' ' in lacking else 'is'} not compared" if lacking else ""
            self.recorder.leave_out(f"{name}: cut off in {failure.stage}{more}")
        else:
            self.failures.setdefault(name, failure)
        if answer is not None and member is not None:
            self.answers[name] = answer
            if not failure.alive:
                member.stop()

    def _evaluate(self, member: Member, peak_bytes: int, start: Start) -> None:
        """Loss and gradient, and the second order; where a call takes long apart, so that it cannot take them along."""
        name, second_order = member.name, self.cell.plan.second_order
        self.recorder.begin("evaluation", name)
        for request in (m.Evaluate(False), m.Evaluate(True)) if second_order else (m.Evaluate(False),):
            if request.second_order:
                member.compile(self.cell, self.recorder, self.crew.deadline.stage_s("compilation"))
                self.recorder.begin("evaluation", name)
            elif second_order and start.first_call_s < LONG_CALL_S:
                continue
            share_s = self.crew.deadline.left_s() * SECOND_ORDER if name in self.answers else None
            timeout_s = patience_s(self.cell.problem, request)
            evaluation = member.worker.ask(request, timeout_s=timeout_s, share_s=share_s)
            whole, answer = request.second_order or not second_order, Answer(evaluation, peak_bytes, start)
            self.answers[name] = answer if whole else answer.without(OUT_OF_TIME)

    def check(self, name: str) -> None:
        """Judgement of what one backend has answered, and its training; its verdicts are saved at once."""
        if name not in self.asked:
            self.ask(name)
        began_s = time.monotonic()
        if name in self.answers:
            self._judge(name, self.crew.members[name])
        if name in self.failures:
            self.lost(name, self.failures[name])
        self.recorder.end(name)
        self.recorder.tell(name)
        if name in self.crew.members:
            self.crew.members[name].took_s += time.monotonic() - began_s
        self.recorder.save()

    def _judge(self, name: str, member: Member) -> None:
        try:
            self._check(member, self.answers.pop(name))
            member = self.crew.members[name]
            if self.cell.plan.apart and not member.ended:  # another process of it is timed
                member.stop()
        except WorkerFailed as failure:
            self.failures.setdefault(name, failure)

    def _check(self, member: Member, answer: Answer) -> None:
        name = member.name
        if self.judging.pairwise is not None and member.ended:  # its noise is that of what another one is asked for
            member, answer = self._living(member), answer.first_order("its process had ended")
        self.recorder.begin("judgement", name)
        found = self.judging.judge(name, member.worker, answer.evaluation)
        self.recorder.found(name, found)
        if found and found[0].verdict not in UNREPEATABLE:
            from gradparity.runner.training import train

            for known in self.judging.runs:
                member = self._living(member)
                self.recorder.trained(train(self.judging, member, known))
        if found:
            self.recorder.found(name, self.judging.tell_apart(member, found))
        if name not in self.failures:
            self.recorder.checked(Checked(backend=name, peak_resident_bytes=answer.peak_bytes, start=answer.start))

    def _living(self, member: Member) -> Member:
        """A backend's process to be asked more: another one, where that was cut off after what it has answered.

        Raises:
            WorkerFailed: it failed before it could be asked.
        """
        if not member.ended:
            return member
        member = self.crew.member(member.name)
        member.load(self.cell, self.recorder, self.crew.deadline.stage_s("first call"))
        request = m.Evaluate(False)  # which it has answered before, and what follows is about
        member.worker.ask(request, timeout_s=patience_s(self.cell.problem, request))
        return member

    def lost(self, name: str, failure: WorkerFailed) -> None:
        """Go on without a backend, and write down why."""
        self.crew.lose(name, failure)
        self.judging.lost(name, failure)

    def conclude(self) -> None:
        """Judge what can only be judged once every backend has answered; and where one differs, ask where."""
        outcome = self.recorder.outcome
        if JUDGED in outcome.stages:
            return
        coarser = []
        if self.cell.references:
            from gradparity.runner.references import hold_to_others, judge_references

            coarser = judge_references(self.judging, self.cell.references)
        self.recorder.begin("comparison")
        self.judging.compare(others=bool(coarser))
        if coarser:
            hold_to_others(self.judging, coarser)
        if self.cell.batches is not None:
            self._as_written(self.cell.batches)
        if not self.cell.problem.on_disk and self._differs():
            self.recorder.begin("where they diverge")
            self._load_again()
            self.judging.find_precision(self.crew.workers)
            if isinstance(self.cell.problem, UserProblem):
                self.judging.find_divergence(self.crew.whole)
        if self.recorder.done | set(outcome.idle) >= set(self.cell.names):
            self.recorder.mark(JUDGED)
        self.recorder.end()
        self.recorder.save()

    def _differs(self) -> bool:
        """Whether a backend gives numbers that disagree, of which it can be asked more; in half precision it cannot."""
        if self.cell.problem.spec.rounding in HALVES:
            return False
        asked = {*self.cell.names, *(each.name for each in self.cell.references if each.trace)}
        return any(f.verdict in DIFFERS and f.backend in asked for f in self.recorder.outcome.findings)

    def _as_written(self, drawn: DrawnBatches) -> None:
        """Run the ports' own steps and initialisers, where there are any."""
        from gradparity.runner.initialisers import compare_initialisers
        from gradparity.runner.own_training import OwnSteps, members_with

        if members_with(lambda loaded: loaded.trains or loaded.initialises, self.crew) or not self.crew.workers:
            self._load_again()
            OwnSteps(self.cell, drawn, self.crew, self.recorder, self.judging.deadline).compare()
            if compare_initialisers(self.cell, self.crew, self.recorder, self.judging.deadline):
                self._load_again()

    def _load_again(self) -> None:
        """Start those whose process has ended, or was of an earlier session, to be asked once more."""
        for name in [name for name in self.cell.names if name in self.recorder.done and name not in self.crew.workers]:
            try:
                self.crew.member(name).load(self.cell, self.recorder)
            except WorkerFailed as failure:
                self.lost(name, failure)


@dataclass
class Group:
    """Problems whose backends are asked in the same processes, one after the other; mostly a single one."""

    crew: Crew
    runs: list[ProblemRun]
    lock: Lock = field(default_factory=Lock)

    def queue(self) -> list[str]:
        """Whom to start, in this order."""
        return self.crew.compilers_first(dict.fromkeys(name for run in self.runs for name in run.queue()))

    def start(self) -> None:
        """Start the workers, so that they import while there is other work."""
        for name in self.queue():
            self.crew.member(name)

    def find_truth(self) -> None:
        """Compute the truth, unless there is one already or it is for several problems.

        Of those each is computed when the first backend needs it, so that a time budget goes as far as it can.
        """
        for run in self.runs:
            if not self.crew.shared and not run.reached:
                run.find_truth()

    @property
    def record(self) -> Record:
        """Where the results of the run are written."""
        return self.runs[0].recorder.record

    def follow(self) -> None:
        """Compute the reference runs of what is trained."""
        for run in self.runs:
            if run.reached:
                run.follow()

    def ask(self, name: str, *, apart: bool = False) -> None:
        """Have one backend answer on its only problem, which takes no truth; not if that is to be ``apart``."""
        if not self.crew.shared and not apart:
            self.runs[0].ask(name)

    def check(self, name: str) -> None:
        """Check one backend on every problem; one that raises goes on, one that is gone has failed the rest."""
        runs = [run for run in self.runs if name in run.queue()]
        for place, run in enumerate(runs):
            if self.crew.shared and self.crew.deadline.passed():  # one alone is cut off where it is
                self.record.leave_out(f"{name}: {len(runs) - place} of {len(runs)} problems")
                return
            with self.lock:
                if not run.reached:
                    run.find_truth()
            if name not in self.crew.gone:
                run.check(name)
                continue
            rule = f"the worker was lost: {self.crew.gone[name]}"
            run.recorder.found(name, run.judging.unanswered(name, "failed", rule))
            run.recorder.save()

    def checked(self) -> list[ProblemRun]:
        """The problems whose turn came; others, of which nothing is known, are taken out of the results."""
        result, outcomes = self.record.result, [run.recorder.outcome for run in self.runs if not run.reached]
        unknown = {id(outcome) for outcome in outcomes if not outcome.truth}
        result.problems = [problem for problem in result.problems if id(problem) not in unknown]
        return [run for run in self.runs if run.reached]

    def abandon(self) -> None:
        """Kill the workers, so that threads that wait for their answers get none; what is missing is no failure."""
        self.record.end()
        self.crew.kill()
        for run in self.runs:
            run.cell.oracle.abandon()


def _finish(group: Group, name: str, answer: Future[None]) -> None:
    """Check a backend that answers now, if it has not begun to."""
    if not answer.cancel():
        answer.result()
    group.check(name)


def check_all(groups: Sequence[Group], threads: int, *, apart: bool) -> None:
    """Find the truth and check every backend on every problem, as many busy as can have their threads to themselves.

    Unless they are to be ``apart``, backends answer while the truth is computed.
    """
    slots = max(1, usable_cores() // threads)
    pool = ThreadPoolExecutor(slots)
    ahead = ThreadPoolExecutor(max(1, slots - 1))  # this thread has the truth meanwhile
    try:
        queues = [(group, group.queue()) for group in groups]
        tasks = [(group, name, ahead.submit(group.ask, name, apart=apart)) for group, queue in queues for name in queue]
        for group in groups:
            group.find_truth()
            group.follow()
        checks = [pool.submit(_finish, *task) for task in tasks]
        for check in checks:
            check.result()
    except BaseException:  # Ctrl-C among them: threads that wait for an answer get none once the workers are gone
        for group in groups:
            group.abandon()
        for each in (ahead, pool):
            each.shutdown(wait=False, cancel_futures=True)  # a thread that is judging need not be waited for
        raise
    pool.shutdown()
