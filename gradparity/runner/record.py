"""Where results are written as they arrive: those of the run, and under the same lock those of each problem."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import msgspec

from gradparity.backends import BACKENDS
from gradparity.backends.asked_by_line import files_of
from gradparity.benchmark.schedule import is_twin
from gradparity.model_spec.errors import InputError
from gradparity.processes import machine
from gradparity.processes.environment import set_for_workers
from gradparity.processes.interpreters import variants
from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.results import (
    BackendInfo,
    Checked,
    Diagnosis,
    Finding,
    NotGiven,
    ProblemResult,
    RunResult,
    Session,
    Training,
    Trouble,
    store,
)
from gradparity.results.folder import without_reports, write_schema
from gradparity.results.initialisers import Initialisers
from gradparity.results.own_training import OwnTraining
from gradparity.results.run import RecordedAnswer
from gradparity.runner.observer import Observer
from gradparity.runner.resume import COMPILED, RESUME, require_installed, require_same, require_same_versions
from gradparity.runner.settings import Settings
from gradparity.version import __version__

#: Operations from which a program is likely to be an unrolled loop.
UNROLLED = 2000


class Ended(Exception):
    """The run ended before its time, and its workers were killed: what is found afterwards is no finding."""


class Record:
    """The results of a run in their folder; problems that run side by side share it."""

    def __init__(
        self,
        settings: Settings,
        backends: list[BackendInfo],
        folder: Path,
        observer: Observer,
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        self.result = RunResult(
            gradparity_version=__version__,
            command=settings.command,
            settings=msgspec.json.decode(msgspec.json.encode(settings)),  # as it will be read again
            machine=machine.describe(),
            environment=set_for_workers(settings.thread_counts or (settings.threads,), settings.environment),
            backends=backends,
        )
        self.settings, self.folder, self.observer = settings, folder, observer
        self._keep = keep  #: sees that the folder is still this run's
        names = dict.fromkeys([*settings.order(), *(info.name for info in backends)])
        self.order = {name: place for place, name in enumerate(names)}
        self.lock = Lock()
        #: Whether this session has anything that no earlier one had, and whether anything of the run is on disk.
        self.new, self.saved = False, False
        #: Whoever ends the run saves, once; what fails from then on is no failure.
        self.ending = False

    @contextmanager
    def session(self) -> Iterator[None]:
        """Save as results arrive, and at the end however it comes: what was measured is there.

        Results of an earlier run or session stay as they are until there is something new.
        """
        began_s = time.monotonic()  # a system's clock may be set meanwhile
        own = Session(started=datetime.now(UTC).isoformat(timespec="seconds"))
        file = self.folder / store.RESULTS_FILE
        before = file.read_bytes() if self.result.sessions else None
        self.saved = before is not None
        self.result.sessions = [*self.result.sessions, own]
        with without_reports(self.folder):
            try:
                if not file.exists():
                    self.save()
                self.new, self.saved = False, before is not None
                yield
                self.result.complete, self.new = True, True
                own.seconds = time.monotonic() - began_s
                self._write(durably=True)
                self.saved = True
            except BaseException as error:
                own.seconds = time.monotonic() - began_s
                with contextlib.suppress(InputError):  # it may be what ended the run: no room
                    if before is not None and isinstance(error, InputError) and error.rule == RESUME:
                        store.replace_file(file, before)  # what is refused stays as it was
                    elif self.new:
                        self._write(durably=True)
                        self.saved = True
                raise
            write_schema(self.folder)  # the folder may have been taken away meanwhile

    def end(self) -> None:
        """Take no more: the run is ending before its time."""
        with self.lock:
            self.ending = True

    @contextmanager
    def taking(self) -> Iterator[None]:
        """While one thread writes down what it has found.

        Raises:
            Ended: nothing is taken any more.
        """
        with self.lock:
            if self.ending:
                raise Ended
            yield

    def save(self) -> None:
        """Write what there is."""
        with self.lock:
            if not self.ending:
                self.new = True
                self._write()
                self.saved = True

    def _write(self, *, durably: bool = False) -> None:
        self._keep()
        store.save(self.result, self.folder, durably=durably)

    def imported(self, name: str, versions: Mapping[str, str]) -> None:
        """Write down which versions a backend is of.

        Raises:
            InputError: an earlier session had others.
        """
        if is_twin(name):
            return
        with self.lock:
            for place, known in enumerate(self.result.backends):
                if known.name == name:
                    require_same_versions(name, known.versions, versions)
                    self.result.backends[place] = BackendInfo(name=name, versions=dict(versions))

    def leave_out(self, what: str) -> None:
        """Name something of the whole run that the time budget does not allow."""
        with self.lock:
            self.result.left_out.append(what)
        self.save()


def go_on(result: RunResult, folder: Path) -> list[ProblemResult]:
    """Problems of the earlier session in the folder, whose times and versions the result takes; none without one.

    Raises:
        InputError: what is there cannot be read, or is of another run.
    """
    if not (folder / store.RESULTS_FILE).exists():
        return []
    old = store.read(str(folder))
    require_same(old, result)
    others = variants(tuple(result.settings.get("interpreters", ())))
    for info in old.backends if not old.settings.get("scheduler") else ():
        if info.name in BACKENDS:  # of another interpreter only its process knows
            require_installed(info.name, info.versions)
        elif info.name in others and others[info.name].command:
            require_same_versions(info.name, info.versions, files_of(others[info.name].command))
    result.sessions, result.machines = old.sessions, old.machines
    versions = {info.name: info.versions for info in old.backends}
    result.backends = [msgspec.structs.replace(info, versions=versions.get(info.name, {})) for info in result.backends]
    return old.problems


class Recorder:
    """What is found on one problem."""

    def __init__(self, record: Record, outcome: ProblemResult) -> None:
        self.record, self.outcome = record, outcome

    def begin(self, stage: str, backend: str = "") -> None:
        """Tell who watches."""
        self.record.observer.begin(self.outcome.label, stage, backend)

    def end(self, backend: str = "") -> None:
        """Tell who watches that nothing follows."""
        self.record.observer.end(self.outcome.label, backend)

    def tell(self, backend: str) -> None:
        """Tell who watches what is found on a backend, if anything is."""
        with self.record.taking():
            found = [each for each in self.outcome.findings if each.backend == backend]
            trained = [each for each in self.outcome.training if each.backend == backend]
        if found:
            self.record.observer.judged(self.outcome.label, found, trained)

    def mark(self, stage: str) -> None:
        """Write down that a stage came to its end."""
        with self.record.taking():
            if stage not in self.outcome.stages:
                self.outcome.stages.append(stage)

    @property
    def done(self) -> set[str]:
        """Backends whose check came to its end, perhaps in an earlier session."""
        return {each.backend for each in self.outcome.checked}

    def found(self, name: str, findings: Sequence[Finding]) -> None:
        """Take the verdicts on a backend, in place of those that it has."""
        with self.record.taking():
            self.outcome.findings = [each for each in self.outcome.findings if each.backend != name] + [*findings]

    def trained(self, runs: Sequence[Training]) -> None:
        """Take the verdicts on training runs."""
        with self.record.taking():
            self.outcome.training += runs

    def recorded(self, answer: RecordedAnswer) -> None:
        """Take what is known of answers recorded elsewhere, in place of what is written of them."""
        with self.record.taking():
            kept = [each for each in self.outcome.recorded if each.name != answer.name]
            self.outcome.recorded = [*kept, answer]

    def own_training(self, found: OwnTraining) -> None:
        """Take what training as the user wrote it has come to."""
        with self.record.taking():
            self.outcome.own_training = found

    def initialisers(self, found: Initialisers) -> None:
        """Take what the ports' initialisers have come to."""
        with self.record.taking():
            self.outcome.initialisers = found

    def trained_anew(self, change: Callable[[Training], Training]) -> None:
        """Take every training run as it is by what has been found since."""
        with self.record.taking():
            self.outcome.training = [change(ran) for ran in self.outcome.training]

    def checked(self, checked: Checked) -> None:
        """Take a backend whose check came to its end."""
        with self.record.taking():
            self.outcome.checked.append(checked)

    def diagnose(self, *said: Diagnosis) -> None:
        """Add what is to be said about the problem, unless an earlier session has."""
        with self.record.taking():
            self.outcome.diagnoses += [each for each in said if each not in self.outcome.diagnoses]

    def not_given(self, name: str, said: Sequence[NotGiven]) -> None:
        """Take what a backend has no way to, in place of what is written of it."""
        with self.record.taking():
            kept = [n for n in self.outcome.not_given if n.backend != name or n.quantity in COMPILED.values()]
            self.outcome.not_given = kept + [each for each in said if each not in kept]

    def uncompiled(self, name: str, what: str, after_s: float, operations: int) -> None:
        """Write down that a backend's compiled function was not compared, since its compilation took too long."""
        reason = f"its compilation was given up after {after_s:.3g} s, its share of the budget"
        cure = "--budget SECONDS allows more."
        if operations:
            reason += f": a value and gradient are a program of {operations:,} operations"
        if operations >= UNROLLED:
            cure = f"Write a loop that the trace unrolls as jax.lax.scan or fori_loop: it is compiled once. Or {cure}"
        given = "it was evaluated operation by operation"
        said = NotGiven(backend=name, quantity=COMPILED[what], reason=f"{reason}; {given}", cure=cure)
        with self.record.taking():
            self.outcome.not_given.append(said)
        self.save()

    def leave_out(self, what: str) -> None:
        """Name something that the time budget does not allow."""
        with self.record.taking():
            self.outcome.left_out.append(what)
        self.save()

    def lost(self, name: str, failure: WorkerFailed, unanswered: Sequence[Finding]) -> None:
        """Write a failure down.

        Args:
            name: the backend, or its twin.
            failure: how it was lost; one that was cut off by the time budget has not failed.
            unanswered: findings that say so, where the backend has none yet.
        """
        if failure.kind == "NothingToRun":
            with self.record.taking():
                self.outcome.idle[name] = failure.reason
        elif isinstance(failure, OutOfTime):
            self.leave_out(f"{name}: cut off in {failure.stage}")
        else:
            trouble = Trouble(backend=name, stage=failure.stage, reason=failure.reason, detail=failure.detail)
            with self.record.taking():
                self.outcome.troubles.append(trouble)
                if not is_twin(name) and not any(found.backend == name for found in self.outcome.findings):
                    self.outcome.findings += unanswered
            self.save()

    def save(self) -> None:
        """Write what there is, rows in the order of the registry whichever backend was done first."""
        with self.record.taking():
            for rows in (self.outcome.findings, self.outcome.training, self.outcome.timings):
                rows.sort(key=lambda row: self.record.order[row.backend])
        self.record.save()
