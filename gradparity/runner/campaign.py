"""A run on a Dask cluster: each job is a task, and its results are saved as they come back, in the order of the jobs.

A job that is lost with its worker is run again elsewhere, `AGAIN` times at most; then it has failed. The others go on.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import msgspec
from msgspec import structs

from gradparity.backends import registered
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.model import display_path, place_of_model
from gradparity.processes.deadline import Deadline
from gradparity.processes.environment import passed_on
from gradparity.processes.interpreters import variants
from gradparity.progress import Tally
from gradparity.results import NO_ANSWER, BackendInfo, Finding, ProblemResult, RunResult, Trouble
from gradparity.results.folder import LOGS
from gradparity.results.run import Place
from gradparity.results.store import replace_file
from gradparity.runner import cluster
from gradparity.runner.jobs import Job, jobs_of
from gradparity.runner.observer import Observer
from gradparity.runner.plan import plan_of
from gradparity.runner.record import Record
from gradparity.runner.remote import Answer, Asked, measure
from gradparity.runner.resume import RESUME, is_done
from gradparity.runner.settings import Settings
from gradparity.runner.shipping import not_sent, shipment_of

#: Times that a job is run again where it was lost with its worker, or its machine could not do it.
AGAIN = 2
#: Share of the time that saving may take: results of thousands of jobs are large.
_SAVING = 0.1
#: Seconds that results may take from their worker.
_RESULT_S = 30.0
#: What a job that has failed is called a stage of.
STAGE = "its job"


@dataclass
class _UnderWay:
    """A job that was submitted: ``began`` counts how often a worker began it, ``at`` is the last of these."""

    job: Job
    shipped: str
    request: bytes
    future: Any = None
    began: int = 0
    at: str = ""


@contextmanager
def campaign(settings: Settings, observer: Observer, deadline: Deadline) -> Iterator[Campaign]:
    """A campaign on the cluster that is asked for; on leaving, what is still under way there is cancelled.

    Raises:
        InputError: there is no such cluster, it has no workers, or they have different versions.
    """
    assert settings.scheduler is not None  # noqa: S101
    with cluster.connected(settings.scheduler, observer) as client:
        found = Campaign(settings, observer, deadline, cluster.Workers(client, settings.scheduler))
        try:
            yield found
        finally:
            found.cancel()


class Campaign:
    """The jobs of a run on a cluster, and what has become of them."""

    record: Record

    def __init__(self, settings: Settings, observer: Observer, deadline: Deadline, workers: cluster.Workers) -> None:
        self.settings, self.observer, self.deadline, self.workers = settings, observer, deadline, workers
        self.name = f"gradparity-{secrets.token_hex(8)}"
        self._events: Queue[tuple[str, int, Any]] = Queue()
        self._under_way: dict[int, _UnderWay] = {}
        self._done: dict[int, list[ProblemResult]] = {}
        self._tally = Tally()
        #: No results are saved before that reading of the clock, unless they are the last.
        self._saves_s = 0.0

    @property
    def infos(self) -> list[BackendInfo]:
        """The backends of the workers, which all have the same."""
        cures = self._cures() | dict.fromkeys(self._others(), "")
        return [BackendInfo(name=name, cure=cure) for name, cure in cures.items()]

    def _cures(self) -> dict[str, str]:
        """Backends that are there or could be, and what adds those that are not; sharded ones where they are named."""
        named, known = self.settings.backends or (), registered()
        sharded = {name for name, each in known.items() if each.sharded and name not in named}
        return {name: cure for name, cure in self.workers.facts.cures.items() if name not in sharded}

    def _others(self) -> list[str]:
        return list(variants(self.settings.interpreters))

    def measure(self, record: Record, earlier: Sequence[ProblemResult]) -> None:
        """Measure every job that an earlier session has left something to do on.

        Raises:
            InputError: the scheduler has gone away, its workers have, or what an earlier session measured is another.
        """
        self.record, jobs = record, jobs_of(self.settings)
        record.result.planned, self._tally = len(jobs), Tally(of=len(jobs))
        self.observer.tally(self._tally)
        left = self._left(jobs, earlier)
        self.observer.tally(self._tally)
        self._merge()
        self.observer.planned(len(left))
        self.observer.remark(self.workers.said)
        self.workers.client.subscribe_topic(self.name, self._began)
        left.reverse()  # the next one is the last
        try:
            self._go_through(left)
        finally:  # whatever ends it
            self._merge()

    def _go_through(self, left: list[Job]) -> None:
        while left or self._under_way:
            while left and len(self._under_way) < self._most() and not self.deadline.passed():
                self._submit(left.pop(), len(left) + 1)
            if not self._under_way:  # and there is no time for those that are left
                self.record.result.left_out += [job.label for job in reversed(left)]
                break
            with contextlib.suppress(Empty):
                self._take(*self._events.get(timeout=cluster.LOOK_S))
            self.workers.look()
            self.observer.tally(self._tally._replace(workers=self.workers.slots))

    def _most(self) -> int:
        """Jobs that are submitted at once: what the workers take, and some to follow."""
        return self.workers.slots + max(2, self.workers.slots // 2)

    def cancel(self) -> None:
        """Have what is under way end."""
        futures = [each.future for each in self._under_way.values()]
        with contextlib.suppress(Exception):  # there may be nobody left to tell
            if futures and self.workers.client.status == "running":
                self.workers.client.cancel(futures, force=True)

    def _left(self, jobs: Sequence[Job], earlier: Sequence[ProblemResult]) -> list[Job]:
        """Jobs that are still to do; those that an earlier session has measured to the end are kept as they are.

        A job that was not is measured anew, all of it: half of its backends would be timed on another machine.

        Raises:
            InputError: the files of one that was measured have changed since.
        """
        found: dict[int, list[ProblemResult]] = {}
        for problem in earlier:
            if problem.place is not None:
                found.setdefault(problem.place.job, []).append(problem)
        plan, left = plan_of(self.settings), []
        for job in jobs:
            problems = found.get(job.number, [])
            if not problems or not all(is_done(problem, plan) for problem in problems):
                left.append(job)
                continue
            now = shipment_of(job, Path.cwd()).digest
            if any(problem.place is None or problem.place.shipped != now for problem in problems):
                got, cure = f"{job.label}, whose files changed since", "Start anew without --resume."
                raise InputError(RESUME, got=got, expected="the same as before", cure=cure)
            self._count(job, problems)
        return left

    def _submit(self, job: Job, left: int) -> None:
        one = job.settings
        try:
            shipment = shipment_of(job, Path.cwd())
        except InputError as error:  # of this model: the others go on
            self._under_way[job.number] = each = _UnderWay(job, "", b"")
            self._failed(each, str(error))
            return
        if math.isfinite(self.deadline.at):
            share_s = self.deadline.left_s() / math.ceil(left / self.workers.slots)
            one = structs.replace(one, budget_s=max(share_s, 1e-3))
        variables = tuple(f"{name}={value}" for name, value in passed_on(one.environment).items())
        one = structs.replace(one, scheduler=None, baseline=None, defaults={}, environment=variables)
        versions, alone = self.workers.facts.versions, plan_of(one).timed
        asked = Asked(one, job.name, job.number, shipment, versions, self.name, alone)
        each = _UnderWay(job, shipment.digest, msgspec.msgpack.encode(asked))
        self._under_way[job.number] = each
        self._send(each)

    def _send(self, each: _UnderWay, workers: list[str] | None = None) -> None:
        number = each.job.number
        key = f"{self.name}-{number}-{secrets.token_hex(4)}"
        options = {"key": key, "pure": False, "priority": -number, "workers": workers}
        each.future = self.workers.client.submit(measure, each.request, **options)
        each.future.add_done_callback(lambda future: self._events.put(("ended", number, future)))

    def _began(self, event: tuple[float, Any]) -> None:
        number, worker = event[1]
        self._events.put(("began", number, worker))

    def _take(self, what: str, number: int, found: Any) -> None:
        """Take what has come from the cluster: that a worker began a job, or a job's end."""
        each = self._under_way.get(number)
        if each is None or (what == "ended" and found is not each.future):  # of one that was given up
            return
        if what == "ended":
            self._ended(each)
            return
        each.began, each.at = each.began + 1, found
        if each.began > AGAIN + 1:
            self.workers.client.cancel([each.future], force=True)
            self._failed(each, f"lost with its worker {AGAIN + 1} times, last on {each.at}")

    def _ended(self, each: _UnderWay) -> None:
        from distributed import CancelledError, KilledWorker

        try:
            answer = msgspec.msgpack.decode(each.future.result(timeout=_RESULT_S), type=Answer)
        except KilledWorker:
            self._failed(each, f"lost with its worker {max(1, each.began)} times, last on {each.at}")
        except TimeoutError:  # it was lost with the worker that had it, and is measured again
            self._events.put(("ended", each.job.number, each.future))
        except (CancelledError, OSError) as error:
            if self.workers.client.status != "running" or "connection-lost" in str(getattr(error, "reason", "")):
                raise cluster.gone(self.workers.address) from None
            self._failed(each, "cancelled on the cluster, and not from here")
        except Exception as error:
            self._failed(each, f"{type(error).__name__}: {error}")
        else:
            self._answered(each, answer)

    def _answered(self, each: _UnderWay, answer: Answer) -> None:
        """Take a job's results; or send it elsewhere, where its machine could not do it."""
        if answer.unfit:
            self.workers.unfit.add(answer.worker)
            self.workers.look(now=True)
            if each.began <= AGAIN and self.workers.fit:
                self.observer.remark(f"{each.job.label}: {answer.fault}; it is sent elsewhere")
                self._send(each, self.workers.fit)
                return
        if answer.fault:
            with contextlib.suppress(InputError):  # its files are not there any more
                answer.fault += not_sent(answer.fault, shipment_of(each.job, Path.cwd()))
            self._failed(each, answer.fault, answer.detail)
            return
        assert answer.facts is not None  # noqa: S101
        found = msgspec.json.decode(answer.result, type=RunResult)
        machine = self.workers.machine(answer.facts, answer.worker)
        self.record.result.machines.setdefault(machine, answer.facts.machine)
        place = Place(job=each.job.number, machine=machine, shipped=each.shipped, again=max(0, each.began - 1))
        for name, said in answer.logs.items():
            replace_file(self.record.folder / LOGS / name, said.encode())
        for info in found.backends:
            if info.versions:
                self.record.imported(info.name, info.versions)
        self.record.result.left_out += found.left_out
        for problem in found.problems:
            problem.place = place
        self._finish(each, found.problems)

    def _failed(self, each: _UnderWay, why: str, detail: str = "") -> None:
        """Write down that a job has no results: a failure of every backend that was asked for."""
        one = each.job.settings
        names = one.backends or [name for name, cure in self._cures().items() if not cure]
        names = [*dict.fromkeys([*names, *self._others()])]
        source = display_path(place_of_model(one.model).resolve()) if one.model is not None else each.job.name
        problem = ProblemResult(
            name=each.job.name,
            source=source,
            digest="",
            seed=one.shown_seed,
            rows=0,
            spec={"parameters": [], "dtype": one.dtype or "float64"},
            truth="",
            findings=[Finding(backend=n, quantity="loss", parameter="", verdict="failed", rule=why) for n in names],
            troubles=[Trouble(backend=name, stage=STAGE, reason=why, detail=detail) for name in names],
            place=Place(job=each.job.number, machine="", shipped=each.shipped, again=max(0, each.began - 1)),
        )
        self._finish(each, [problem])

    def _finish(self, each: _UnderWay, problems: list[ProblemResult]) -> None:
        del self._under_way[each.job.number]
        self.record.new = True
        self._count(each.job, problems)
        self._merge()
        began_s = time.monotonic()
        if began_s >= self._saves_s:
            self.record.save()
            now_s = time.monotonic()
            self._saves_s = now_s + (now_s - began_s) / _SAVING

    def _count(self, job: Job, problems: list[ProblemResult]) -> None:
        """Take what a job has come to."""
        self._done[job.number] = problems
        failed = any(problem.troubles for problem in problems)
        differs = any(
            any(found.verdict not in NO_ANSWER for found in problem.not_good)
            or not all(each.ok for each in problem.as_written)
            for problem in problems
        )
        done, disagree, lost = self._tally[:3]
        self._tally = self._tally._replace(done=done + 1, disagree=disagree + differs, failed=lost + failed)
        for problem in problems:
            self.observer.finished(problem)

    def _merge(self) -> None:
        """Put what is done into the run's results, in the order of the jobs."""
        result = self.record.result
        with self.record.lock:
            result.problems = [problem for number in sorted(self._done) for problem in self._done[number]]
            result.planned = max(result.planned, len(result.problems) + self._tally.of - self._tally.done)
