"""What a run found: typed, versioned, written as it arrives. ``results.json`` is this module's `RunResult`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from bench.protocol import Block, WarmUp
from bench.stats import Comparison, Control, MedianInterval
from bench.stats import Verdict as SpeedVerdict
from model_spec.errors import InputError

#: Goes up when a field changes its meaning; new fields have defaults and do not raise it.
SCHEMA_VERSION = 1

RESULTS_FILE = "results.json"

Verdict: TypeAlias = Literal["agrees", "unstable", "wrong", "kink", "nonfinite", "impure", "nondeterministic", "failed"]
#: Verdicts that leave the exit code at 0 and a backend in the ranking.
GOOD: frozenset[Verdict] = frozenset({"agrees", "kink"})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's value of one quantity of one parameter, against the truth.

    ``rule`` is what decided the verdict, ``cause`` why the block is off, where an explanation accounts for all of it.
    Errors and floors are those of the entry that decided, the one furthest beyond its floor: ``floors`` is their
    ratio. ``relative_error`` is over the block: largest error over largest true magnitude. A figure is ``None`` where
    it is not a finite number.
    """

    backend: str
    quantity: str
    parameter: str
    verdict: Verdict
    rule: str
    cause: str = ""
    absolute_error: float | None = None
    relative_error: float | None = None
    error_ulps: float | None = None
    floor_ulps: float | None = None
    floors: float | None = None
    worst_index: tuple[int, ...] = ()
    got: float | None = None
    truth: float | None = None


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's training run against the same steps in extended precision.

    ``floors`` is the largest error of a loss or of a parameter's root mean square, over the floor grown so far;
    ``first_divergence`` the first step beyond the floor and ``diverged`` what left it there, ``None`` and ``""`` where
    nothing does up to ``checked_steps``. ``reason`` says why two runs part, ``detail`` its figures; a run may agree and
    have one, where the floor itself grew: ``amplification`` is how large it became, over the rounding of the
    parameters. ``parameter_floors`` are the errors at those of ``recorded_steps`` that the reference has.
    ``own_loop``: by the backend's own ``descend``, and not by our optimiser.
    """

    backend: str
    verdict: Verdict
    optimiser: str = "gd"
    own_loop: bool = True
    steps: int
    checked_steps: int
    initial_loss: float | None
    final_loss: float | None
    reference_loss: float | None
    floors: float | None
    first_divergence: int | None
    diverged: str = ""
    reason: str = ""
    detail: str = ""
    amplification: float | None = None
    loop_s: float
    losses: list[float | None]
    recorded_steps: list[int] = []
    loss_floors: list[float | None] = []
    parameter_floors: dict[str, list[float | None]] = {}
    evaluations: int | None = None
    reference_evaluations: tuple[int, int] | None = None
    stopped: str = ""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's clock: one-off costs apart from the step, every raw block kept.

    ``ratio`` is the reference's time over this backend's: how many times as fast it is. ``speed`` says whether that is
    a difference at all, and ``None`` for the reference itself.
    ``cpu_per_wall``, over all blocks, is how many threads ran.
    """

    backend: str
    import_s: float
    first_call_s: float
    compile_cache: str
    warm_up: WarmUp
    inner: int
    blocks: list[Block]
    step_ns: MedianInterval | None
    cpu_per_wall: float | None = None
    ratio: Comparison | None = None
    speed: SpeedVerdict | None = None
    peak_resident_bytes: int | None = None
    import_resident_bytes: int | None = None


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that could not be measured, or not to the end; the others went on."""

    backend: str
    stage: str
    reason: str
    detail: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """Something about the problem itself that a person should know, with what to do about it."""

    name: str
    finding: str
    cure: str


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """Which backend to choose for this problem, and why. ``choice`` has ties as several names, best first."""

    choice: list[str]
    reasons: list[str]


class ProblemResult(msgspec.Struct, kw_only=True):
    """Everything found on one data set.

    ``expected`` is what the problem is there to show, where that is a failure of the formula and not of a backend.
    """

    name: str
    source: str
    digest: str
    rows: int
    spec: dict[str, Any]
    truth: str
    expected: str = ""
    reference: str = ""
    control: Control | None = None
    findings: list[Finding] = []
    training: list[Training] = []
    timings: list[Timing] = []
    troubles: list[Trouble] = []
    diagnoses: list[Diagnosis] = []
    recommendation: Recommendation | None = None

    @property
    def not_good(self) -> list[Finding | Training]:
        """Findings and training runs whose verdict is not a good one, failures included."""
        judged: list[Finding | Training] = [*self.findings, *self.training]
        bad = [found for found in judged if found.verdict not in GOOD]
        return [found for found in bad if found.verdict in ("failed", "impure")] if self.expected else bad


class BackendInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A backend of the run, or one that is missing and what would add it."""

    name: str
    versions: dict[str, str] = {}
    cure: str = ""


class RunResult(msgspec.Struct, kw_only=True):
    """One run: what was asked, where it ran, what was found. ``complete`` turns true at the very end."""

    schema_version: int = SCHEMA_VERSION
    gradparity_version: str
    command: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    backends: list[BackendInfo] = []
    problems: list[ProblemResult] = []
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
    def ok(self) -> bool:
        """Whether everything that was asked for was measured and agrees."""
        return self.complete and not self.troubles and not self.disagreements


def output_folder(out: str) -> Path:
    """The output folder, made and tried, so that no result is lost to it at the end.

    Raises:
        InputError: nothing can be written there.
    """
    folder = Path(out)
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        trial = folder / ".writable"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise InputError("--out", got=f"{out} ({error.strerror})", expected="a folder that can be written") from None
    if (folder / RESULTS_FILE).is_dir():
        raise InputError("--out", got=f"{out}, where {RESULTS_FILE} is a folder", expected="room for a file")
    return folder


def encode(result: RunResult) -> bytes:
    """The result as indented JSON; non-finite numbers are ``null``."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1)


def save(result: RunResult, folder: Path) -> None:
    """Write ``results.json`` whole or not at all: a reader never sees half a file."""
    path = folder / RESULTS_FILE
    partial = path.with_suffix(".json.partial")
    partial.write_bytes(encode(result))
    partial.replace(path)


def load(path: Path) -> RunResult:
    """Read a ``results.json``.

    Raises:
        msgspec.MsgspecError: the file is not a result of this schema.
    """
    return msgspec.json.decode(path.read_bytes(), type=RunResult)


def read(name: str) -> RunResult:
    """The ``results.json`` of that name, or the one in the folder of that name.

    Raises:
        InputError: there is none, it is no result, or it is of a newer schema.
    """
    path = Path(name)
    path = path / RESULTS_FILE if path.is_dir() else path
    expected = f"a {RESULTS_FILE} of gradparity"
    try:
        result = load(path)
    except OSError as error:
        raise InputError(name, got=error.strerror, expected=expected) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(name, got=f"a file that is none ({error})", expected=expected) from None
    if result.schema_version > SCHEMA_VERSION:
        raise InputError(
            name,
            got=f"schema version {result.schema_version}",
            expected=f"{SCHEMA_VERSION} or older",
            cure="Read it with the gradparity that wrote it, or a newer one.",
        )
    return result
