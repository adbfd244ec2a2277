"""What one problem's answers are held to, and the verdicts on them.

It is imported once the workers are on their way: what it takes to compute and to compare the truth is slow to import.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, cast

import msgspec

from gradparity.judge.diagnoses import diagnose
from gradparity.judge.other_precision import Pair, needs_other_precision, told_apart, usual_sizes
from gradparity.judge.steady import Answered, beneath, with_steady
from gradparity.judge.training import as_at_the_start
from gradparity.judge.verdicts import judge, without_answer
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.precisions import HALVES
from gradparity.model_spec.problem import AnyProblem, UserProblem, in_other_precision
from gradparity.numerics.optimisers import GradientDescent
from gradparity.oracle.protocol import NotCertified, NoTimeForTruth
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.deadline import UNLIMITED, Deadline, Stage
from gradparity.processes.peer import WorkerFailed
from gradparity.results import GOOD, Diagnosis, Finding, Verdict
from gradparity.runner.cases import Cell, unreached
from gradparity.runner.crew import Member, patience_s
from gradparity.runner.elsewhere import Elsewhere
from gradparity.runner.ranks import of_all_ranks, with_shares, with_stale
from gradparity.runner.record import Recorder
from gradparity.runner.resume import NOTHING_TO_COMPARE, UNCERTIFIED, UNTIMELY
from gradparity.runner.ways import both, differing, explained, left_open, narrowed, not_given, prints, wider
from gradparity.truth.reference import VERY_LARGE, Reference
from gradparity.truth.trajectory import Trajectory
from gradparity.worker import messages as m
from gradparity.worker.wire import Arrays

if TYPE_CHECKING:
    from gradparity.oracle.client import ModelProcess
    from gradparity.runner.pairwise import PairwiseRun

#: Gradient steps of every backend's own loop that are held to the reference before it is timed.
LOOP_STEPS_CHECKED = 5
#: What to do where training leaves where the loss has a truth.
UNHELD = "Training is not compared. --steps N allows fewer, --lr RATE smaller ones."


def _truth_of(problem: AnyProblem) -> Stage:
    """What the truth is called among stages: of a very large model it takes most of the time that there is."""
    size = sum(value.size for value in problem.params.values())
    return "very large truth" if size >= VERY_LARGE else "truth"


class Judging:
    """The truth of one problem, found when this is made, and what is judged by it; safe to use from several threads.

    Where there is no truth, ``pairwise`` has the backends' answers, to be held against each other. ``runs`` are the
    reference runs of ``steps`` steps that training is held to. ``deadline`` is that of the problem's budget.
    """

    def __init__(self, cell: Cell, recorder: Recorder, deadline: Deadline = UNLIMITED) -> None:
        self.cell, self.recorder, self.deadline = cell, recorder, deadline
        self._began_s = time.monotonic()
        self.pairwise: PairwiseRun | None = None
        self.runs: list[Trajectory] = []
        self.steps = cell.settings.steps
        self._lock = Lock()
        self._other: tuple[AnyProblem, Reference] | None = None
        self.values: dict[str, dict[str, Arrays]] = {}  #: what each backend gave, by quantity
        self._elsewhere = Elsewhere(cell, recorder)
        recorder.begin("truth")
        self.truth = self._asked(self._find_truth())
        recorder.outcome.truth = self.truth.method
        if self.truth.untimely:
            recorder.not_given("", not_given("", self.truth.untimely))
            recorder.mark(UNTIMELY)

    def _find_truth(self) -> Reference:
        """Certified where the model can be; where not, backends will be held against each other."""
        problem = self.cell.problem
        try:
            return self.cell.oracle.reference(problem, self.deadline.stage_s(_truth_of(problem)))
        except NotCertified as error:
            assert isinstance(problem, UserProblem)  # noqa: S101
            if str(error):
                cure = "Backends are compared with each other instead."
                if isinstance(error, NoTimeForTruth):
                    cure = "Backends are compared with each other instead. --budget SECONDS allows more."
                    self.recorder.leave_out(str(error))
                    self.recorder.mark(UNTIMELY)
                self.recorder.diagnose(Diagnosis(name="no certified truth", finding=str(error).rstrip("."), cure=cure))
            self.recorder.mark(UNCERTIFIED)
            from gradparity.runner.pairwise import PairwiseRun, unknown

            self.pairwise = PairwiseRun(problem)
            return unknown(problem, second_order=True)

    def _asked(self, truth: Reference) -> Reference:
        return truth if self.cell.plan.second_order else truth.only("loss", "gradient")

    def unanswered(self, name: str, verdict: Verdict, rule: str) -> list[Finding]:
        """The same verdict for every block, of a backend that gave no values."""
        return without_answer(name, self.truth, verdict, rule)

    def lost(self, name: str, failure: WorkerFailed) -> None:
        """Write down that a backend failed, in place of findings where it has none."""
        unanswered = self.unanswered(name, "failed", f"{failure.stage}: {failure.reason}")
        self.recorder.lost(name, failure, unanswered)

    def follow(self) -> None:
        """Find the reference runs, and say what is the matter with the problem itself."""
        cell, problem = self.cell, self.cell.problem
        if self.pairwise is not None or cell.plan.trains == "nothing":  # a path has no reference either
            return
        if problem.spec.rounding in HALVES:  # a run in it drifts by percents within a few steps
            return
        if problem.on_disk:  # an extended-precision run would read the file for every step and every draw
            self.recorder.diagnose(*diagnose(problem, self.truth))
            said = "training and loops are not held to a reference: the data are read from a file in pieces"
            cure = "Check a part of the rows that fits into memory."
            self.recorder.diagnose(Diagnosis(name="no reference run", finding=said, cure=cure))
        elif cell.plan.trains == "all" and self.truth.untimely:
            self.recorder.diagnose(*diagnose(problem, self.truth))
            self.recorder.leave_out("reference run, since there was no time for all of the truth at its start")
        elif cell.plan.trains == "all":
            with self.where_known("reference run"):
                optimisers = cell.settings.optimisers()
                for place, each in enumerate(optimisers):
                    seconds = self.deadline.stage_s("reference runs") / (len(optimisers) - place)
                    self.recorder.begin(f"reference run of {each.name}")
                    self.runs.append(cell.oracle.trajectory(problem, each, self.steps, seconds))
            self.recorder.diagnose(*diagnose(problem, self.truth, self.runs))
        else:  # where the reference cannot afford some steps, the loss of the first is judged when it is timed
            descent, seconds = GradientDescent(cell.settings.learning_rate), self.deadline.stage_s("reference runs")
            with self.where_known("reference run"):
                self.steps = min(LOOP_STEPS_CHECKED, cell.oracle.affordable_steps(problem, descent, seconds))
                if self.steps > 1:
                    self.runs = [cell.oracle.trajectory(problem, descent, self.steps, seconds)]

    @contextmanager
    def where_known(self, what: str, whose: str = "") -> Iterator[None]:
        """What the oracle has no time for is written down as left out; where the loss has no truth, that is said."""
        try:
            yield
        except NoTimeForTruth as error:
            self.recorder.leave_out(f"{whose}{error}")
        except NotCertified as error:
            self.recorder.diagnose(Diagnosis(name=f"no {what}", finding=f"{whose}{error}".rstrip("."), cure=UNHELD))

    def judge(self, name: str, worker: WorkerProcess, evaluation: m.Evaluated) -> list[Finding]:
        """The verdicts on what a backend has answered; none yet where there is no truth.

        Raises:
            WorkerFailed: it failed when it was asked for more.
        """
        return self._judge(name, worker, evaluation, self.cell.problem, self.truth)

    def tell_apart(self, member: Member, found: Sequence[Finding]) -> Sequence[Finding]:
        """The same verdicts, held elsewhere too; ``unstable`` told from ``wrong`` by a run in the other precision.

        That run is ours, and nobody asked for it: a loss that has one precision only is no worse for it, and what the
        run would have told is left open.
        """
        if self.cell.plan.elsewhere and member.name in self.values and not member.ended:
            found = self._elsewhere.held(member.name, member.worker, found, self.values[member.name])
        problem, held = self.cell.problem, self.pairwise is None and not self.cell.expected
        here = Answered.of(self.values.get(member.name, {}), self.truth, problem)
        if not held or not (needs_other_precision(found) or beneath(found, here)):
            return found
        self.recorder.begin("evaluation in the other precision", member.name)
        try:
            pair = Pair(problem.spec.rounding, in_other_precision(problem).spec.rounding)
            sizes = usual_sizes(self.truth.truth["loss", ""], problem)
            other, there = self._in_other_precision(member)
            found = known = with_steady(told_apart(found, other, pair=pair, sizes=sizes), here, there)
            self.recorder.trained_anew(lambda ran: as_at_the_start(ran, known))
            member.load(self.cell, self.recorder)
        except (WorkerFailed, InputError, NotCertified) as failure:
            dtype = in_other_precision(self.cell.problem).spec.rounding
            found = left_open(found, f"{dtype}: {getattr(failure, 'reason', failure)}")
            if isinstance(failure, WorkerFailed) and not failure.alive:
                member.stop()
            else:
                member.load(self.cell, self.recorder)
        return found

    def _in_other_precision(self, member: Member) -> tuple[list[Finding], Answered]:
        with self._lock:  # its truth is computed once, when first needed
            if self._other is None:
                other = in_other_precision(self.cell.problem)
                seconds = self.deadline.stage_s(_truth_of(other))
                self._other = other, self._asked(self.cell.oracle.reference(other, seconds))
        problem, truth = self._other
        member.worker.ask(msgspec.structs.replace(m.load_request(problem), eager=member.eager))
        request = m.Evaluate(self.cell.plan.second_order)
        answer = member.worker.ask(request, timeout_s=patience_s(problem, request))
        found = self._judge(member.name, member.worker, answer, problem, truth)
        return found, Answered.of(answer.quantities, truth, problem)

    def _judge(
        self, name: str, worker: WorkerProcess, evaluation: m.Evaluated, problem: AnyProblem, truth: Reference
    ) -> list[Finding]:
        if evaluation.impurity:
            found = without_answer(name, truth, evaluation.verdict or "impure", evaluation.impurity)
            return with_stale(found, self._shared(name, evaluation, problem, truth)) if evaluation.quantities else found
        asked_for = problem is self.cell.problem
        if asked_for:
            self.recorder.not_given(name, not_given(name, evaluation.without))
        if evaluation.printed:
            self.recorder.diagnose(prints(name, worker.launch.log.name))
        self.recorder.diagnose(*unreached(evaluation.missed))
        if asked_for:
            self.recorder.diagnose(*wider(name, evaluation.quantities, problem))
        if self.pairwise is not None:
            evaluation = msgspec.structs.replace(evaluation, quantities=narrowed(evaluation.quantities, problem))
            self.recorder.begin("evaluation at moved inputs", name)
            missing = self.pairwise.ask(name, worker, evaluation, self.deadline)
            if name in self.pairwise.raised:
                said = (
                    f"beside the parameters, where {name}'s noise is measured, it raises {self.pairwise.raised[name]}"
                )
                cure = "What it gives at the parameters is compared; a kink there is not seen."
                self.recorder.diagnose(Diagnosis(name=f"the loss raises on {name}", finding=said, cure=cure))
            if missing:
                self.recorder.leave_out(f"{name}: at moved inputs, without which it is not judged: {missing}")
            return []
        if problem is self.cell.problem:
            self.values[name] = evaluation.quantities
        if evaluation.without:
            truth = truth.only(*({quantity for quantity, _ in truth.truth} - set(evaluation.without)))
        found = explained(self._shared(name, evaluation, problem, truth), evaluation.instead)
        if m.OTHER_HVP not in evaluation.quantities:
            return found
        otherwise = {**evaluation.quantities, "hvp": evaluation.quantities[m.OTHER_HVP]}
        second = judge(name, otherwise, truth, problem)
        if asked_for:
            self.recorder.diagnose(*differing(name, found, second, evaluation.hvps))
        return list(both(found, second, evaluation.hvps))

    def _shared(self, name: str, answer: m.Evaluated, problem: AnyProblem, truth: Reference) -> list[Finding]:
        """The verdicts on the values of a backend; of a sharded one on all ranks', with what their shares say."""
        found, said = of_all_ranks(answer, lambda quantities: judge(name, quantities, truth, problem))
        self.recorder.diagnose(*said)
        return with_shares(found, answer, problem, truth, self.cell.oracle, self.cell.settings.ranks)

    def judge_output(self, call: m.Call, name: str, output: Arrays) -> None:
        """Judge the last output that was timed like any other; only what does not agree is written down.

        Of a step it is the loss and the gradient; of a loop the loss of its first step, which is that of the start.
        """
        truth = self.truth if self.pairwise is None else self.pairwise.reference_of(name)
        if truth is None:
            return
        gradient = {parameter: value for parameter, value in output.items() if parameter}
        quantities = {"loss": {"": output[""]}} | ({"gradient": gradient} if call == "step" else {})
        found = judge(name, quantities, truth.only(*quantities), self.cell.problem)
        outcome, rule = self.recorder.outcome, f"last timed {call}: "
        known = [each for each in outcome.findings if each.backend == name]
        agreed = {(each.quantity, each.parameter) for each in known if each.verdict in GOOD}
        said = {(each.quantity, each.parameter) for each in known if each.rule.startswith(rule)}  # of an earlier pair
        outcome.findings += [
            msgspec.structs.replace(finding, rule=rule + finding.rule)
            for finding in found
            if finding.verdict not in GOOD and (finding.quantity, finding.parameter) in agreed - said
        ]

    def compare(self, *, others: bool = False) -> None:
        """Without a truth, judge the backends by each other's answers, once all are there.

        ``others``: there are answers more that the backends are held to afterwards.
        """
        if self.pairwise is None:
            self._suspect_neutral()
            return
        judged = self.pairwise.judge()
        if judged is None:
            if others:
                return
            said = "fewer than two backends have answered all that it takes, and there is no truth to hold one against"
            cure = "See what failed or was left out."
            self.recorder.diagnose(Diagnosis(name=NOTHING_TO_COMPARE, finding=said, cure=cure))
            return
        self.recorder.outcome.pairwise, found = judged
        if judged[0].stopped:
            cure = "Declare it with gradparity.stop(value), or let the gradient through."
            self.recorder.diagnose(Diagnosis(name="a stopped gradient", finding=judged[0].stopped, cure=cure))
        self.recorder.outcome.findings += found
        for name, quantities in self.pairwise.alone().items():
            alone = dict.fromkeys(quantities, "no other backend gives one to hold it against")
            known = [each for each in self.recorder.outcome.not_given if each.backend == name]
            self.recorder.not_given(name, [*known, *not_given(name, alone)])

    def _suspect_neutral(self) -> None:
        """Say so where ports of their own agree with each other and not with the neutral loss."""
        from gradparity.judge.neutral import diagnosis, odd_neutral, with_odd_neutral

        outcome, ported = self.recorder.outcome, set(getattr(self.cell.oracle, "ported", ()))
        called = {name: (self.cell.settings.registration(name).family, name) for name in self.values}
        ports = {name: loss for name, both in called.items() for loss in both if loss.replace("-", "_") in ported}
        odd = odd_neutral(ports, self.values, self.truth)
        if odd:
            outcome.findings = with_odd_neutral(outcome.findings, odd)
            self.recorder.diagnose(diagnosis(odd))

    def find_precision(self, workers: Mapping[str, WorkerProcess]) -> None:
        """Find which backend computes in a lower precision than asked for, where nothing else explains its error."""
        from gradparity.judge.causes.precision import with_precision
        from gradparity.runner.divergence import scattered

        outcome, dtype = self.recorder.outcome, self.cell.problem.spec.dtype
        lines, seen = scattered(workers, outcome.findings, dtype)
        if lines and self.pairwise is not None and self.pairwise.find_leaks(outcome.findings, lines, seen):
            judged = self.pairwise.judge()
            if judged is not None:
                mine = set(self.pairwise.answers)
                outcome.pairwise = judged[0]
                outcome.findings = [each for each in outcome.findings if each.backend not in mine] + judged[1]
        elif lines and self.pairwise is None:
            outcome.findings = with_precision(
                outcome.findings, self.values, self.truth.truth, self.truth.floor, lines, dtype, seen
            )

    def find_divergence(self, workers: Mapping[str, WorkerProcess]) -> None:
        """Find where tapped values diverge, which is the cause of what differs for no reason known so far."""
        from gradparity.results.divergence import Divergences
        from gradparity.runner.divergence import find_divergences, with_places
        from gradparity.runner.lines import find_lines, without_steps

        outcome, problem = self.recorder.outcome, self.cell.problem
        assert isinstance(problem, UserProblem)  # noqa: S101  # the built-in models have one source for all
        found = find_divergences(workers, outcome.findings, problem.seed)
        if found is not None:
            outcome.divergences, lies = found
            outcome.findings = with_places(outcome.findings, outcome.divergences, lies)
        oracle = cast("ModelProcess", self.cell.oracle) if self.pairwise is None else None
        took_s = time.monotonic() - self._began_s
        references = self.cell.references
        lines, notes = find_lines(workers, problem, outcome.findings, oracle, self.deadline, took_s, references)
        bare = [each.name for each in references if not each.trace]
        if bare and not lines and oracle is None:
            self.recorder.diagnose(without_steps(bare))
        if not lines and self.deadline.passed():
            self.recorder.leave_out("the lines at which they diverge")
        if lines or notes:
            known = outcome.divergences or Divergences()
            outcome.divergences = msgspec.structs.replace(known, lines=lines, notes=[*known.notes, *notes])
