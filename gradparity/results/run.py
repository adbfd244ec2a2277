"""A whole run: problems, backends, machine. ``results.json`` is this module's `RunResult`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gradparity.benchmark.roofline import Limits
from gradparity.benchmark.stats import Control
from gradparity.results.divergence import Divergences
from gradparity.results.findings import GOOD, NO_ANSWER, Diagnosis, Finding, NotGiven, Pairwise, Training, Trouble
from gradparity.results.timing import Formulated, Recommendation, Start, Timing

#: Goes up when a field changes its name or meaning; new fields have defaults and do not raise it.
SCHEMA_VERSION = 3


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A backend whose check came to its end: how its process started, and how large loading and stepping made it."""

    backend: str
    peak_resident_bytes: int
    start: Start


class ProblemResult(msgspec.Struct, kw_only=True):
    """Everything found on one data set, with one formulation and number of threads.

    ``limits`` is what the machine can do at this size, ``formulations`` what the others would give, and ``left_out``
    what the time budget did not allow. ``twin`` is the second worker of the reference, which gives the A/A ``control``
    of the step and ``loop_control`` of the loop. ``expected`` is what the problem is there to show, where that is a
    failure of the formula and not of a backend. ``divergences`` is where tapped values diverge, asked where
    something disagrees. ``idle`` has the backends with nothing to run in a model of the user's, and why.
    ``source_digest`` is of a model's own files. ``checked`` and ``stages`` say what came to its end, for who resumes:
    ``judged``, ``step N`` and ``loop N`` of process pair N, ``timed``; or that there is no truth, and why not.
    """

    name: str
    source: str
    digest: str
    source_digest: str = ""
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
    timings: list[Timing] = []
    troubles: list[Trouble] = []
    diagnoses: list[Diagnosis] = []
    not_given: list[NotGiven] = []
    pairwise: Pairwise | None = None
    divergences: Divergences | None = None
    recommendation: Recommendation | None = None

    @property
    def label(self) -> str:
        """What to call it: the data's name, and what of formulation, threads and dtype is not the default."""
        return label(self.name, self.spec, self.threads)

    @property
    def clocks(self) -> list[Timing]:
        """Everybody who was timed, the twin of the reference last."""
        return [*self.timings, *([self.twin] if self.twin else [])]

    @property
    def not_good(self) -> list[Finding | Training]:
        """Findings and training runs whose verdict is not a good one, failures included."""
        judged: list[Finding | Training] = [*self.findings, *self.training]
        bad = [found for found in judged if found.verdict not in GOOD]
        return [found for found in bad if found.verdict in NO_ANSWER] if self.expected else bad


def label(name: str, spec: Mapping[str, Any], threads: int) -> str:
    """A problem's name in reports: ``1000x20x10, blocked, 2 threads`` or ``toy``."""
    size = name.removeprefix("synthetic:")
    if size != name and "projection" in spec:
        size = f"{size}x{spec['projection']}"
    formulation, dtype = (spec.get(key, usual) for key, usual in (("formulation", "as_written"), ("dtype", "float64")))
    words = [size, *([formulation] if formulation != "as_written" else []), *([dtype] if dtype != "float64" else [])]
    return ", ".join([*words, *([f"{threads} threads"] if threads > 1 else [])])


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
    where the run was resumed.
    """

    schema_version: int = SCHEMA_VERSION
    gradparity_version: str
    command: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    environment: dict[str, str] = {}
    sessions: list[Session] = []
    backends: list[BackendInfo] = []
    problems: list[ProblemResult] = []
    planned: int = 0
    left_out: list[str] = []
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
        """Backends that were asked for and gave nothing, on no problem, without having failed: that is no success.

        Where none are named, all are asked that are there and have something to run.
        """
        named, idle = self.settings.get("backends"), {name for problem in self.problems for name in problem.idle}
        asked = named or [info.name for info in self.backends if not info.cure and info.name not in idle]
        others = [text.partition("=")[0] for text in self.settings.get("interpreters", ())] if named else []
        seen = {found.backend for problem in self.problems for found in problem.findings}
        seen |= {trouble.backend for trouble in self.troubles}
        return [name for name in dict.fromkeys([*asked, *others]) if name not in seen]

    @property
    def ok(self) -> bool:
        """Whether every backend that was asked for was compared, and all that was compared agrees."""
        return self.complete and not self.troubles and not self.disagreements and not self.unanswered

    def to_dict(self) -> dict[str, Any]:
        """As plain values: what ``results.json`` holds."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found
