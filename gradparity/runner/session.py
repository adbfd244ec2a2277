"""The run, as a table of contents: cases, workers, evaluations, verdicts, training, timing, choice.

Results are saved as they arrive: a crash loses at most the measurement in flight. No framework is imported here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from gradparity.judge.baseline import hold as hold_to
from gradparity.model_spec.data.memory import available_bytes
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.model import find_model
from gradparity.numerics.blas import take_buffer
from gradparity.numerics.extended import require_extended_precision
from gradparity.oracle.protocol import BUILT_IN
from gradparity.processes.deadline import USUAL_S, Deadline, budget_of
from gradparity.processes.environment import passed_on
from gradparity.processes.launch import Launch
from gradparity.processes.scratch import scratch_folder
from gradparity.results import BackendInfo, ProblemResult, RunResult, Trouble
from gradparity.results.baseline import Known, read_known
from gradparity.results.folder import LOGS, hold
from gradparity.results.store import SAVED
from gradparity.runner.cases import Case, Cell, built_in_cases, stress_cases
from gradparity.runner.clock import CellClock
from gradparity.runner.crew import Crew, chosen_backends
from gradparity.runner.jobs import Job, model_jobs
from gradparity.runner.observer import Observer
from gradparity.runner.plan import Plan, plan_of
from gradparity.runner.problem import Group, ProblemRun, check_all
from gradparity.runner.record import Record, Recorder, go_on
from gradparity.runner.resume import RESUME, is_done, kept, require_same_problem
from gradparity.runner.settings import Settings
from gradparity.runner.starts import S_PER_GB, StartTimes

if TYPE_CHECKING:
    from gradparity.results.recorded import Recorded

#: Problems of at most so many entries of X are checked two at a time, with so much memory available for their workers.
SMALL_CELLS, PAIR_BYTES = 10**6, 8 * 2**30
#: Models up to which each keeps its process from the start to the end; of more each has one while it is needed.
MOST_AWAKE = 4
#: What the logs of workers that go through the stress suite are named after.
STRESS = "stress"


def run(
    settings: Settings,
    observer: Observer,
    started_s: float | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    job: Job | None = None,
) -> RunResult:
    """Everything that is asked for: checked, trained, timed, and saved as it arrives.

    Args:
        settings: what is asked for.
        observer: is told of the progress.
        started_s: reading of the monotonic clock from which a time budget counts; now if not given.
        resume: whether to leave what an earlier session in the same folder has brought to its end as it is.
        force: whether a complete run of another command in that folder may be replaced.
        job: of which campaign's jobs these are the settings, if they are: it has a name among the others.

    Returns:
        The results, which are in the folder too.

    Raises:
        InputError: the data, the model or the output folder is at fault, or there is nothing to resume that fits.
    """
    require_extended_precision()
    take_buffer()  # while there is room: without one the process would end with the exit code of a disagreement
    started_s = time.monotonic() if started_s is None else started_s
    deadline, plan = budget_of(settings.budget_s, started_s), plan_of(settings)
    listed = read_known(settings.baseline) if settings.baseline is not None else []
    cases: list[Case] = []
    references: list[Recorded] = []
    for path in settings.models or (() if settings.model is None else (settings.model,)):
        find_model(path)  # what is at fault is said before a folder is made
    if settings.scheduler is not None:
        return _on_cluster(settings, observer, deadline, listed, resume=resume, force=force)
    names, infos, absent = chosen_backends(settings)
    jobs = [job] if job is not None else model_jobs(settings)
    if settings.references:
        from gradparity.runner.references import read_references

        references = read_references(settings)
        infos += [BackendInfo(name=each.name, versions=each.versions) for each in references]
    with ExitStack() as stack:
        records = stack.enter_context(_noted())
        folder = cache(lambda: stack.enter_context(scratch_folder()))  # for data at fault nothing is started
        if settings.model is None:
            cases = stress_cases(settings, names) if plan.shared else built_in_cases(settings, plan, names, folder)
        held = stack.enter_context(hold(settings.out, settings.command, force=force))
        scratch = folder()
        compiled = scratch / "compiled" if plan.apart else None  # a cell's first process compiles everything
        if compiled is not None:
            compiled.mkdir()
        launch = Launch(
            held.folder / LOGS,
            compile_cache=compiled,
            scratch=scratch,
            deadline=deadline,
            allowance=settings.allowance,
            variables=passed_on(settings.environment),
            listener=lambda name, far: observer.advance(name, far.what, far.done, far.of),
        )
        if settings.model is not None:
            from gradparity.runner.user_cases import user_cases

            for each in jobs:
                observer.begin(each.label, "loading", "")
                drawn = user_cases(each.settings, names, launch, each.name, references, rests=len(jobs) > MOST_AWAKE)
                cases += stack.enter_context(drawn)
                observer.end(each.label, "")
        record = Record(settings, infos, held.folder, observer, held.keep)
        records.append(record)
        earlier = found_earlier(record, plan) if resume else []
        record.result.problems = list(earlier)  # before the first save: whatever ends this session loses none of them
        with record.session():
            _Session(plan, record, launch, absent, earlier, started_s).measure(cases)
            if settings.baseline is not None:
                record.result.baseline = hold_to(record.result, listed, settings.baseline)
    return record.result


@contextmanager
def _noted() -> Iterator[list[Record]]:
    """Write on whatever ends a run, whenever it does, that what was measured is saved, if it is; for its records."""
    records: list[Record] = []
    try:
        yield records
    except BaseException as error:
        if any(record.saved for record in records):
            error.add_note(SAVED)
        raise


def found_earlier(record: Record, plan: Plan) -> list[ProblemResult]:
    """What an earlier session has found, of a problem that it did not bring to its end as much as can be gone on from.

    Of one that was measured elsewhere that is nothing: times of two machines would stand in one ratio.
    """
    found = go_on(record.result, record.folder)
    return [each if is_done(each, plan) else kept(each) for each in found if each.place is None or is_done(each, plan)]


def _on_cluster(
    settings: Settings, observer: Observer, deadline: Deadline, listed: list[Known], *, resume: bool, force: bool
) -> RunResult:
    """The same on a cluster, where this process measures nothing."""
    from gradparity.runner.campaign import campaign

    with (
        _noted() as records,
        hold(settings.out, settings.command, force=force) as held,
        campaign(settings, observer, deadline) as measuring,
    ):
        record = Record(settings, measuring.infos, held.folder, observer, held.keep)
        records.append(record)
        earlier = go_on(record.result, held.folder) if resume else []
        record.result.problems = list(earlier)
        with record.session():
            measuring.measure(record, earlier)
            if settings.baseline is not None:
                record.result.baseline = hold_to(record.result, listed, settings.baseline)
    return record.result


@dataclass
class _Session:
    """What all problems of a run share. ``earlier`` has those of an earlier session, finished ones among them."""

    plan: Plan
    record: Record
    launch: Launch
    absent: Sequence[Trouble]
    earlier: list[ProblemResult]
    started_s: float
    start_times: StartTimes = field(default_factory=StartTimes)

    def measure(self, cases: Sequence[Case]) -> None:
        """Check, train and time every case that an earlier session has left something to do on."""
        self._find_earlier(cases)
        self.record.result.planned = len(cases)
        left = [case for case in cases if not self._done(case)]
        self.record.observer.planned(len(left))
        for count, groups in self._batches(left):
            deadline = self._deadline(count, groups)
            if self._affordable(groups[0][0], deadline):
                self._measure(groups, deadline)

    def _batches(self, cases: Sequence[Case]) -> Iterator[tuple[int, list[Sequence[Case]]]]:
        """Groups of cases that share their workers, in batches that are checked side by side; and cases still to do.

        Mostly a group is one case, and two small ones are checked together where memory allows, so that no core waits:
        while one compiles, the other's backends have the second core. What is timed is timed alone all the same.
        """
        if self.plan.shared:
            if cases:
                yield len(cases), [cases]
            return
        together = 1
        if not self.plan.apart and available_bytes() > PAIR_BYTES:
            together = 2 if all(case.problem.cells <= SMALL_CELLS for case in cases) else 1
        for place in range(0, len(cases), together):
            yield len(cases) - place, [[case] for case in cases[place : place + together]]

    def _deadline(self, count: int, groups: Sequence[Sequence[Case]]) -> Deadline:
        """Of the groups that are checked now, of so many cases that are still to do.

        Each has a share of the budget that was asked for. Without one a check keeps to what is usual for each problem,
        from the start of the run for the first; what is timed takes what its profile asks for.
        """
        here = sum(map(len, groups))
        if self.record.settings.budget_s is not None:
            return self.launch.deadline.share(count / here)
        if self.plan.timed:
            return self.launch.deadline
        began_s, self.started_s = self.started_s, math.nan
        return replace(budget_of(here * USUAL_S, None if math.isnan(began_s) else began_s), whole_s=USUAL_S)

    def _affordable(self, case: Case, deadline: Deadline) -> bool:
        """Whether there is time for the truth of a cell; otherwise it is left out."""
        needed_s = S_PER_GB * case.gigabytes
        # What is not timed begins in any case, if it is small; the truth of a model of the user's keeps to its time.
        at_hand = not self.plan.apart and (needed_s <= 1 or case.oracle is not BUILT_IN)
        if at_hand or needed_s < deadline.left_s():
            return True
        said = f"{case.label}: about {needed_s:.0f} s for its truth alone" if needed_s > 1 else case.label
        self.record.result.left_out.append(said)
        return False

    def _measure(self, groups: list[Sequence[Case]], deadline: Deadline) -> None:
        """Check groups side by side; then time their problems, each alone."""
        with ExitStack() as stack:
            checked = [self._group(cases, deadline) for cases in groups]
            for group in checked:
                stack.enter_context(group.crew)
                if not self.plan.apart:
                    group.start()
            clocks: dict[int, CellClock] = {}
            for group in checked if self.plan.apart else ():
                group.find_truth()
                clocks |= {id(run): self._clock(run) for run in group.runs}
            for clock in clocks.values():
                clock.start(clock.to_start())
            check_all(checked, groups[0][0].settings.threads, apart=self.plan.apart)
            for run in [run for group in checked for run in group.checked()]:
                run.conclude()
                if self.plan.timed:
                    clock = clocks.get(id(run)) or self._clock(run)
                    if not self.plan.apart:
                        clock.adopt()
                    clock.time()
                self.record.observer.finished(run.recorder.outcome)
            for case in (case for cases in groups for case in cases):
                case.oracle.rest()

    def _clock(self, run: ProblemRun) -> CellClock:
        return CellClock(run.cell, run.crew, run.recorder, run.judging, self.start_times)

    def _group(self, cases: Sequence[Case], deadline: Deadline) -> Group:
        recorders = [self._recorder(case, self.absent if case is cases[0] else ()) for case in cases]
        names = list(dict.fromkeys(name for case in cases for name in case.names))
        launch = msgspec.structs.replace(self.launch, threads=cases[0].settings.threads, deadline=deadline)
        for case in cases:
            case.oracle.limit(deadline.hard())
        label = STRESS if self.plan.shared else recorders[0].outcome.label
        crew = Crew(cases[0].settings, label, names, launch, shared=self.plan.shared)
        for recorder in recorders:  # an earlier session may have had to take another reference
            if recorder.outcome.timings and recorder.outcome.reference in names:
                crew.reference = recorder.outcome.reference
        pairs = zip(cases, recorders, strict=True)
        return Group(crew, [ProblemRun(Cell(case, self.plan), crew, recorder) for case, recorder in pairs])

    def _recorder(self, case: Case, absent: Sequence[Trouble]) -> Recorder:
        """Where the case's findings are written: beside those of an earlier session, if there are any.

        Raises:
            InputError: the problem is another than it was then.
        """
        outcome, earlier = case.result(absent), case.earlier
        if earlier is None:
            self.record.result.problems.append(outcome)
            return Recorder(self.record, outcome)
        require_same_problem(earlier, outcome)
        earlier.troubles, earlier.idle = outcome.troubles, outcome.idle
        return Recorder(self.record, earlier)

    def _find_earlier(self, cases: Sequence[Case]) -> None:
        """Give each case its problem of an earlier session; those of one label in their order.

        Raises:
            InputError: there is one that this command does not ask for: it would count among its verdicts.
        """
        by_label: dict[str, list[ProblemResult]] = {}
        for problem in self.earlier:
            by_label.setdefault(problem.label, []).append(problem)
        for case in cases:
            if by_label.get(case.label):
                case.earlier = by_label[case.label].pop(0)
        if strange := [label for label, problems in by_label.items() if problems]:
            raise InputError(
                RESUME,
                got=f"{strange[0]}, which this command does not ask for",
                expected="results of the same command",
                cure="Start anew without --resume.",
            )

    def _done(self, case: Case) -> bool:
        """Whether an earlier session has left nothing to do; it is shown all the same."""
        if case.earlier is None or not is_done(case.earlier, self.plan):
            return False
        if not case.made_on_demand:
            require_same_problem(case.earlier, case.result())
        self.record.observer.finished(case.earlier)
        return True
