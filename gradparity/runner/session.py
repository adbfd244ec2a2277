"""The run, as a table of contents: problems, workers, evaluations, verdicts, training, timing, choice.

Results are saved as they arrive: a crash loses at most the measurement in flight. No framework is imported here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import msgspec
import psutil

from gradparity import results
from gradparity.backends import available, missing, registered
from gradparity.model_spec.data.datasets import Dataset
from gradparity.model_spec.data.npy import StreamedDataset
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import Problem
from gradparity.model_spec.spec import to_dict
from gradparity.model_spec.user.model import find_model
from gradparity.numerics.extended import require_extended_precision
from gradparity.oracle.protocol import BUILT_IN, Oracle
from gradparity.processes import machine
from gradparity.processes.deadline import Deadline, budget_of
from gradparity.processes.environment import set_for_workers
from gradparity.processes.interpreters import require_usable, variants
from gradparity.processes.scratch import scratch_folder
from gradparity.results import BackendInfo, ProblemResult, RunResult, Session, Trouble, store
from gradparity.runner.clock import S_PER_GB, CellClock
from gradparity.runner.data import dataset_of, problem_on, require_sizes_fit
from gradparity.runner.observer import Observer
from gradparity.runner.problem import ProblemRun
from gradparity.runner.resume import is_done, kept, require_same, require_same_problem
from gradparity.runner.settings import Settings
from gradparity.version import __version__

if TYPE_CHECKING:
    from gradparity.runner.cases import ModelWork

#: Problems of at most so many entries of X are checked two at a time, with so much memory available for their workers.
SMALL_CELLS, PAIR_BYTES = 10**6, 8 * 2**30
#: Workers beside one of each backend that may hold the data at once: the A/A twin, and two that are being checked.
_BESIDE = 3


def run(settings: Settings, observer: Observer, started_s: float | None = None, *, resume: bool = False) -> RunResult:
    """Everything that ``settings`` ask for; a time budget counts from ``started_s`` on the monotonic clock, or now.

    With ``resume``, what an earlier sitting in the same folder has brought to its end is not measured again.

    Raises:
        InputError: the data, the model or the output folder is at fault, or there is nothing to resume that fits.
    """
    require_extended_precision()
    deadline = budget_of(settings.budget_s, started_s)
    names, infos, absent = chosen_backends(settings)
    workers = len(names) + (_BESIDE if settings.command == "bench" else 0)
    with ExitStack() as stack:
        works: Sequence[AnyWork]
        if settings.model is not None:
            from gradparity.runner.cases import model_works

            find_model(settings.model)  # a fault of its path is said before a folder is made
            folder = stack.enter_context(store.hold(settings.out))
            scratch = stack.enter_context(scratch_folder())
            works, names = stack.enter_context(model_works(settings, names, folder, scratch))
        else:
            works = _built_in_works(settings, workers)
            folder = stack.enter_context(store.hold(settings.out))
            scratch = stack.enter_context(scratch_folder())
        result = begun(settings, infos)
        earlier = going_on(result, folder) if resume else []
        with sitting(result, folder):
            kept_of = [each if is_done(each, settings.command) else kept(each) for each in earlier]
            session = _Session(names, absent, result, folder, scratch, observer, kept_of)
            if settings.command == "bench":
                session.bench(works, deadline)
            else:
                session.run(works, deadline)
    return result


def begun(settings: Settings, infos: list[BackendInfo]) -> RunResult:
    """A result with what is known before anything is measured."""
    return RunResult(
        gradparity_version=__version__,
        command=settings.command,
        settings=msgspec.json.decode(msgspec.json.encode(settings)),  # as it will be read again
        machine=machine.describe(),
        environment=set_for_workers(settings.thread_counts or (settings.threads,)),
        backends=infos,
    )


def going_on(result: RunResult, folder: Path) -> list[ProblemResult]:
    """Problems of the earlier sitting in that folder; none where there was no sitting yet.

    Raises:
        InputError: what is there cannot be read, or is of another run.
    """
    if not (folder / store.RESULTS_FILE).exists():
        return []
    old = store.read(str(folder))
    require_same(old, result)
    result.sessions = old.sessions
    versions = {info.name: info.versions for info in old.backends}
    result.backends = [msgspec.structs.replace(info, versions=versions.get(info.name, {})) for info in result.backends]
    return old.problems


@contextmanager
def sitting(result: RunResult, folder: Path) -> Iterator[None]:
    """Save at the start, and at the end whatever it is: complete, interrupted or failed, what was measured is there."""
    began_s = time.monotonic()  # a system's clock may be set meanwhile
    own = Session(started=datetime.now(UTC).isoformat(timespec="seconds"))
    result.sessions = [*result.sessions, own]
    try:
        store.save(result, folder)
        yield
        result.complete = True
    except BaseException as error:
        own.seconds = time.monotonic() - began_s
        with contextlib.suppress(InputError):  # it may be what ended the run: no room
            store.save(result, folder)
            error.add_note(store.SAVED)
        raise
    own.seconds = time.monotonic() - began_s
    store.save(result, folder)


def _built_in_works(settings: Settings, workers: int) -> list[Work]:
    """The cells of a run of the built-in model: what was given is read and checked, sizes are made in their turn."""
    require_sizes_fit(settings, workers)
    works = [Work(cell, workers) for cell in settings.cells()]
    if not settings.sizes:
        loaded = {cell.source: cell.data for cell in works}
        for work in works:
            work.keep(loaded[work.source])
    return works


@dataclass
class Work:
    """One cell of the run: a data set, read or made when it is first asked for, and the problem on it."""

    settings: Settings
    workers: int
    _data: Dataset | StreamedDataset | None = field(default=None, repr=False)

    @property
    def source(self) -> str:
        """Where the data come from."""
        return self.settings.data[0]

    @property
    def data(self) -> Dataset | StreamedDataset:
        """The data set.

        Raises:
            InputError: the source is unknown, unreadable, or not binary classification data.
        """
        if self._data is None:
            self.keep(dataset_of(self.settings, self.workers))
        assert self._data is not None  # noqa: S101
        return self._data

    def keep(self, data: Dataset | StreamedDataset) -> None:
        """Take a data set that was read before; the problem on it is checked at once.

        Raises:
            InputError: the model does not fit the data, or the run would not fit in memory.
        """
        self._data = data
        self._problem = problem_on(self.settings, data, self.workers)

    @property
    def problem(self) -> Problem:
        """The problem on the data."""
        assert self.data is not None  # noqa: S101  # which makes the problem
        return self._problem

    oracle: ClassVar[Oracle] = BUILT_IN

    @property
    def made_on_demand(self) -> bool:
        """Whether its data are made from the seed, and not read."""
        return self._data is None

    @property
    def cells(self) -> int:
        """Entries of X, once it is there."""
        return self.problem.cells

    @property
    def gigabytes(self) -> float:
        """Size of X, before it is made."""
        if self._data is not None:
            return self._data.X.nbytes / 1e9
        rows, features = map(int, self.source.removeprefix("synthetic:").split("x"))
        return rows * features * 8 / 1e9

    @property
    def label(self) -> str:
        """What the cell is called, before its data are made."""
        cell = self.settings
        fields = {"projection": cell.projection, "formulation": cell.formulation, "dtype": cell.dtype}
        return results.label(self.source, {k: v for k, v in fields.items() if v is not None}, cell.threads)

    def result(self, absent: list[Trouble]) -> ProblemResult:
        """Where its findings will be written, with the backends that cannot run."""
        return ProblemResult(
            name=self.data.name,
            source=self.data.source,
            digest=self.data.digest,
            rows=self.data.rows,
            spec=to_dict(self.problem.spec),
            threads=self.settings.threads,
            truth="",
            troubles=list(absent),
        )


AnyWork: TypeAlias = "Work | ModelWork"


@dataclass
class _Session:
    """The backends of a run, and where what they answer is written.

    ``earlier`` has the problems of a sitting before this one, those that are done among them.
    """

    names: list[str]
    absent: list[Trouble]
    result: RunResult
    folder: Path
    scratch: Path
    observer: Observer
    earlier: list[ProblemResult]
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.result.problems = list(self.earlier)  # so that an interruption loses none of them

    def run(self, works: Sequence[AnyWork], deadline: Deadline) -> None:
        """Check and train, two small problems at a time; then time, each alone, the workers that were checked."""
        places = self._places(works)
        left = [work for work in works if not self._done(work, places)]
        self.observer.planned(len(left))
        for group in side_by_side(left):
            with ExitStack() as stack:
                runs = [stack.enter_context(self._problem_run(work, places, deadline)) for work in group]
                for each in runs:
                    each.start(self.names)
                check_all(runs, group[0].settings.threads)
                for each in runs:
                    each.conclude()
                    if each.settings.command == "run":
                        clock = CellClock(each, {})
                        clock.adopt()
                        clock.time()
                    self.observer.finished(each.outcome)

    def bench(self, works: Sequence[AnyWork], deadline: Deadline) -> None:
        """One cell after the other: start the processes to be timed, check others of the same backends, then time.

        Compiled code goes to a folder of this run, so that the first process of a cell compiles on a cold cache.
        """
        start_s: dict[str, float] = {}
        places = self._places(works)
        cache = self.scratch / "compiled"
        cache.mkdir()
        left = [work for work in works if not self._done(work, places)]
        self.observer.planned(len(left))
        for index, work in enumerate(left):
            cell_deadline = deadline.share(len(left) - index)
            needed_s = S_PER_GB * work.gigabytes
            if needed_s >= cell_deadline.left_s():
                said = f"{work.label}: about {needed_s:.0f} s for its truth alone" if needed_s > 1 else work.label
                self.result.left_out.append(said)
                continue
            with self._problem_run(work, places, cell_deadline, cache) as each:
                each.start(self.names)
                clock = CellClock(each, start_s)
                clock.start(clock.to_start())
                check_all([each], work.settings.threads)
                each.conclude()
                clock.time()
                self.observer.finished(each.outcome)

    def _places(self, works: Sequence[AnyWork]) -> dict[int, ProblemResult]:
        """The earlier problem of each piece of work, by the work's identity; those of one label in their order."""
        by_label: dict[str, list[ProblemResult]] = {}
        for problem in self.earlier:
            by_label.setdefault(problem.label, []).append(problem)
        return {id(work): by_label[work.label].pop(0) for work in works if by_label.get(work.label)}

    def _done(self, work: AnyWork, places: dict[int, ProblemResult]) -> bool:
        """Whether an earlier sitting has left nothing to do; it is shown all the same."""
        earlier = places.get(id(work))
        if earlier is None or not is_done(earlier, self.result.command):
            return False
        if not work.made_on_demand:
            require_same_problem(earlier, work.result([]))
        self.observer.finished(earlier)
        return True

    def _problem_run(
        self,
        work: AnyWork,
        places: dict[int, ProblemResult],
        deadline: Deadline,
        compile_cache: Path | None = None,
    ) -> ProblemRun:
        outcome = work.result(self.absent)
        earlier = places.get(id(work))
        if earlier is None:
            self.result.problems.append(outcome)
        else:
            require_same_problem(earlier, outcome)
            earlier.troubles, earlier.idle = outcome.troubles, outcome.idle
            outcome = earlier
        return ProblemRun(
            work.settings,
            work.problem,
            outcome,
            self.result,
            self.folder,
            self.observer,
            self.lock,
            deadline,
            compile_cache,
            work.oracle,
            self.scratch,
        )


def side_by_side(works: Sequence[AnyWork]) -> list[Sequence[AnyWork]]:
    """Problems in groups that are checked together: two small ones where memory allows, so that no core waits.

    While one problem compiles, the other's backends have the second core; what is timed is timed alone all the same.
    """
    together = 2 if psutil.virtual_memory().available > PAIR_BYTES else 1
    if any(work.cells > SMALL_CELLS for work in works):
        together = 1
    return [works[i : i + together] for i in range(0, len(works), together)]


def check_all(runs: list[ProblemRun], threads: int) -> None:
    """Check every backend on every problem; as many workers are busy as can have their threads to themselves."""
    pool = ThreadPoolExecutor(max(1, machine.usable_cores() // threads))
    try:
        for done in [pool.submit(check) for each in runs for check in each.checks()]:
            done.result()
    except BaseException:  # Ctrl-C among them: threads that wait for an answer get none once the workers are gone
        for each in runs:
            each.abandon()
        pool.shutdown(wait=False, cancel_futures=True)  # a thread that is judging need not be waited for
        raise
    pool.shutdown()


def chosen_backends(settings: Settings) -> tuple[list[str], list[BackendInfo], list[Trouble]]:
    """Names to run, every backend's state, and the requested ones that are missing.

    Raises:
        InputError: another interpreter lacks what its backend needs.
    """
    others = variants(settings.interpreters)
    wanted = [*(settings.backends or available()), *others]
    for name, registration in others.items():
        require_usable(name, registration)
    cures = {name: missing(registration) for name, registration in registered().items()} | dict.fromkeys(others)
    infos = [BackendInfo(name=name, cure=cure or "") for name, cure in cures.items()]
    absent = [
        Trouble(backend=name, stage="import", reason=f"not installed; add it with: {cures[name]}")
        for name in wanted
        if cures[name]
    ]
    return [name for name in dict.fromkeys(wanted) if not cures[name]], infos, absent
