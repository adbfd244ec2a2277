"""A whole run: problems, backends, machine. ``results.json`` is this module's `RunResult`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gradparity.benchmark.roofline import Limits
from gradparity.benchmark.stats import Control
from gradparity.results.baseline import Baseline
from gradparity.results.divergence import Divergences
from gradparity.results.findings import GOOD, NO_ANSWER, Diagnosis, Finding, NotGiven, Pairwise, Training, Trouble
from gradparity.results.initialisers import Initialisers
from gradparity.results.own_training import OwnTraining
from gradparity.results.timing import Formulated, Recommendation, Start, Timing

#: Goes up when a field changes its name or meaning; new fields have defaults and do not raise it.
SCHEMA_VERSION = 3
#: Problems of users' models up to which each is told by itself.
FEW = 12


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A backend whose check came to its end: how its process started, and how large loading and stepping made it."""

    backend: str
    peak_resident_bytes: int
    start: Start


class RecordedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Answers recorded elsewhere that stand among the backends under ``name``: from which file, on what, in what.

    ``dtype`` is the precision that the file says; ``floors`` by precision the worst error of a block in noise floors of
    that precision, ``None`` where it is not finite; ``said`` which it is consistent with. ``digest`` is of the inputs.
    """

    name: str
    file: str
    dtype: str
    device: str = ""
    versions: dict[str, str] = {}
    digest: str = ""
    floors: dict[str, float | None] = {}
    said: str = ""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a problem of a campaign was measured: the ``machine`` by its name in the run, all backends on the same one.

    ``job`` is the number of its model and seed among those of the run, ``shipped`` the SHA-256 of names and contents of
    the files that were sent, ``again`` how often it was begun again after a worker was lost, or could not do it.
    """

    job: int
    machine: str
    shipped: str = ""
    again: int = 0


class ProblemResult(msgspec.Struct, kw_only=True):
    """Everything found on one data set, with one formulation and number of threads.

    ``limits`` is what the machine can do at this size, ``formulations`` what the others would give, and ``left_out``
    what the time budget did not allow. ``twin`` is the second worker of the reference, which gives the A/A ``control``
    of the step and ``loop_control`` of the loop. ``expected`` is what the problem is there to show, where that is a
    failure of the formula and not of a backend. ``divergences`` is where tapped values diverge, asked where
    something disagrees. ``idle`` has the backends with nothing to run in a model of the user's, and why.
    ``own_training`` is of the user's own steps, ``initialisers`` of what parameters start from, ``recorded`` of answers
    from elsewhere. ``source_digest`` is of a model's own files. ``seed`` is that of parameters and data, where a run
    has the same model at several. ``checked`` and ``stages`` say what came to its end, for who resumes: ``judged``,
    ``step N`` and ``loop N`` of process pair N, ``timed``; or that there is no truth, and why not. ``place`` is where
    in a campaign it was measured.
    """

    name: str
    source: str
    digest: str
    source_digest: str = ""
    seed: int | None = None
    rows: int
    spec: dict[str, Any]
    truth: str
    expected: str = ""
    checked: list[Checked] = []
    stages: list[str] = []
    idle: dict[str, str] = {}
    threads: int = 1
    limits: Limits | None = None
    formulations: list[Formulated] = []
    left_out: list[str] = []
    reference: str = ""
    control: Control | None = None
    loop_control: Control | None = None
    twin: Timing | None = None
    findings: list[Finding] = []
    training: list[Training] = []
    own_training: OwnTraining | None = None
    initialisers: Initialisers | None = None
    timings: list[Timing] = []
    troubles: list[Trouble] = []
    diagnoses: list[Diagnosis] = []
    not_given: list[NotGiven] = []
    recorded: list[RecordedAnswer] = []
    pairwise: Pairwise | None = None
    divergences: Divergences | None = None
    recommendation: Recommendation | None = None
    place: Place | None = None

    @property
    def label(self) -> str:
        """What to call it: the data's name, and what of formulation, threads and dtype is not the default; its seed."""
        return label(self.name, self.spec, self.threads, self.seed)

    @property
    def model_label(self) -> str:
        """What its model is called, whatever the seed."""
        return label(self.name, self.spec, self.threads)

    @property
    def clocks(self) -> list[Timing]:
        """Everybody who was timed, the twin of the reference last."""
        return [*self.timings, *([self.twin] if self.twin else [])]

    @property
    def as_written(self) -> list[OwnTraining | Initialisers]:
        """What was found of the user's own steps and initialisers, where there are any."""
        return [found for found in (self.own_training, self.initialisers) if found is not None]

    @property
    def not_good(self) -> list[Finding | Training]:
        """Findings and training runs whose verdict is not a good one, failures included."""
        judged: list[Finding | Training] = [*self.findings, *self.training]
        bad = [found for found in judged if found.verdict not in GOOD]
        return [found for found in bad if found.verdict in NO_ANSWER] if self.expected else bad


def label(name: str, spec: Mapping[str, Any], threads: int, seed: int | None = None) -> str:
    """A problem's name in reports: ``1000x20x10, blocked, 2 threads``, ``toy`` or ``model.py, seed 1``."""
    size = name.removeprefix("synthetic:")
    if size != name and "projection" in spec:
        size = f"{size}x{spec['projection']}"
    formulation, dtype = (spec.get(key, usual) for key, usual in (("formulation", "as_written"), ("dtype", "float64")))
    words = [size, *([formulation] if formulation != "as_written" else []), *([dtype] if dtype != "float64" else [])]
    words += [f"{threads} threads"] if threads > 1 else []
    return ", ".join([*words, *([f"seed {seed}"] if seed is not None else [])])


class BackendInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A backend of the run, or one that is missing and what would add it."""

    name: str
    versions: dict[str, str] = {}
    cure: str = ""


class Session(msgspec.Struct, kw_only=True):
    """One uninterrupted part of a run: when it started, by the system's clock in UTC, and how long it took so far."""

    started: str
    seconds: float = 0.0


class RunResult(msgspec.Struct, kw_only=True):
    """One run: what was asked, where it ran, what was found. ``complete`` turns true at the very end.

    ``planned`` is the number of problems that the run is of, and ``left_out`` names those that a time budget did not
    reach. ``environment`` has the variables that were set for every worker, and ``sessions`` has more than one entry
    where the run was resumed. ``machines`` are those of a cluster by name, beside the ``machine`` that asked; times of
    two are never in one ratio. ``baseline`` is what a list of known disagreements says of it, where there is one.
    """

    schema_version: int = SCHEMA_VERSION
    gradparity_version: str
    command: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    machines: dict[str, dict[str, Any]] = {}
    environment: dict[str, str] = {}
    sessions: list[Session] = []
    backends: list[BackendInfo] = []
    problems: list[ProblemResult] = []
    planned: int = 0
    left_out: list[str] = []
    baseline: Baseline | None = None
    complete: bool = False

    @property
    def troubles(self) -> list[Trouble]:
        """Backends that failed, over all problems."""
        return [trouble for problem in self.problems for trouble in problem.troubles]

    @property
    def disagreements(self) -> list[Finding | Training]:
        """Findings and training runs whose verdict is not good; failures are in `troubles`."""
        return [f for problem in self.problems for f in problem.not_good if f.verdict != "failed"]

    @property
    def unanswered(self) -> list[str]:
        """Backends that were asked for and gave nothing, on no problem, without having failed: that is no success."""
        seen = {found.backend for problem in self.problems for found in problem.findings}
        seen |= {trouble.backend for trouble in self.troubles}
        return [name for name in self._asked if name not in seen]

    @property
    def _asked(self) -> list[str]:
        """Where no backends are named, all that are there and have something to run."""
        named, idle = self.settings.get("backends"), {name for problem in self.problems for name in problem.idle}
        asked = named or [info.name for info in self.backends if not info.cure and info.name not in idle]
        others = [text.partition("=")[0] for text in self.settings.get("interpreters", ())] if named else []
        return list(dict.fromkeys([*asked, *others]))

    @property
    def unasked(self) -> list[str]:
        """Backends with steps or an initialiser of their own that gave nothing, on some problem."""
        found = (each for problem in self.problems for each in problem.as_written)
        return list(dict.fromkeys(name for each in found for name in each.missing))

    @property
    def many(self) -> bool:
        """Whether it is of so many problems of users' models that no one reads them one by one."""
        return sum("parameters" in problem.spec for problem in self.problems) > FEW

    @property
    def ok(self) -> bool:
        """Whether every backend that was asked for was compared, and all agrees, or is known not to."""
        silent = self.unanswered or self.unasked
        if not self.complete or not self.compared or silent:
            return False
        if self.baseline is not None:
            return self.baseline.ok
        return not (self.troubles or self.disagreements or self.differs_as_written)

    @property
    def compared(self) -> bool:
        """Whether a value was held against anything, on every problem and of all backends that are asked.

        What a time budget did not come to was not compared. Of the stress suite not every problem is for all backends.
        """
        elsewhere = {each.name for problem in self.problems for each in problem.recorded}  # answers to one problem only
        suite = self.settings.get("stress") and not self.settings.get("model")
        asked = set() if suite else {*self._asked} - elsewhere
        held = any(found.verdict != "failed" for problem in self.problems for found in problem.findings)
        whole = len(self.problems) >= self.planned  # of an older version that did not count them, 0
        return (held and whole) and all(
            names and asked <= names
            for problem in self.problems
            for names in [
                {f.backend for f in problem.findings} | {t.backend for t in problem.troubles} | {*problem.idle}
            ]
        )

    @property
    def differs_as_written(self) -> bool:
        """Whether the user's own steps or initialisers differ somewhere, or are not known not to."""
        return any(not found.ok for problem in self.problems for found in problem.as_written)

    def to_dict(self) -> dict[str, Any]:
        """As plain values: what ``results.json`` holds."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found
