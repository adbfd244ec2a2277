"""What a run found: typed, versioned, written as it arrives. ``results.json`` is this module's `RunResult`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from bench.limits import Limits
from bench.protocol import Block, WarmUp
from bench.rounds import Round
from bench.stats import Comparison, Control, MedianInterval
from bench.stats import Verdict as SpeedVerdict
from gradparity.partings import Partings
from model_spec.errors import InputError

if TYPE_CHECKING:
    import polars as pl

#: Goes up when a field changes its meaning; new fields have defaults and do not raise it.
SCHEMA_VERSION = 2

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


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far every two backends are apart in one block: ``floors[i][j]``, backends in the order of the comparison.

    The largest difference of an entry, over the noise floor of both; ``None`` where a block is missing, of another
    shape or dtype, or not finite. ``agreeing`` is the majority, empty where there is none. The quantity ``primal`` is
    the derivative of each backend's own loss, extrapolated from its values.
    """

    quantity: str
    parameter: str
    floors: list[list[float | None]]
    agreeing: list[str] = []


class OwnDerivative(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's gradient against its own loss, along a direction that moves one parameter only.

    ``along`` is the gradient's product with it, ``value`` what values of the loss in float64 extrapolate to, within
    ``error``. ``kind`` is ``smooth``, or says why there is nothing to compare with. ``consistent`` is ``None`` there.
    """

    backend: str
    parameter: str
    kind: str
    along: float | None
    value: float | None
    error: float | None
    consistent: bool | None
    evaluations: int


class Outlier(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that is off, and in which way: its ``gradient`` is not that of its loss, or its ``loss`` is another.

    ``precision``: it computes in a lower one than it was asked to. ``cause`` is what explains its blocks, where known.
    """

    backend: str
    kind: Literal["gradient", "loss", "precision", "unknown"]
    cause: str = ""
    finding: str


class Pairwise(msgspec.Struct, frozen=True, kw_only=True):
    """Backends held against each other and against their own losses, where no truth is known: nothing is certified."""

    backends: list[str]
    matrix: list[Disagreement]
    own: list[OwnDerivative]
    outliers: list[Outlier] = []


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


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What it took until one process of a backend could step: seconds, resident bytes after the import.

    ``import_s`` is CPU time where ``beside_others``, and otherwise wall-clock time on a machine left to it.
    ``first_call_s`` includes tracing and compiling; ``compile_cache`` says whether a cache on disk was ``cold`` or
    ``warm``, ``""`` where there is none. ``pair`` counts process pairs from 0, and is ``None`` for a process that was
    not timed but checked, perhaps beside another.
    """

    pair: int | None
    beside_others: bool = False
    import_s: float
    build_s: float
    first_call_s: float
    compile_cache: str
    resident_bytes: int


class OneThread(msgspec.Struct, frozen=True, kw_only=True):
    """CPU over wall-clock seconds of the step over half a second, before it is timed with one thread.

    ``pinned``: the process was tied to one core before the import, because without it more than one had worked.
    """

    cpu_per_wall: float
    pinned: bool
    holds: bool


class Timed(msgspec.Struct, kw_only=True):
    """One kind of call of one backend under the clock, in every process pair.

    A call makes ``steps`` gradient steps and a block has ``inner`` calls; blocks themselves count steps. ``rounds`` has
    every raw block that was taken in turns, with the reference's; ``blocks`` those outside any round. ``step_ns`` is
    per gradient step.

    ``ratio`` is the reference's time over this one's: how many times as fast it is. ``speed`` says whether that is a
    difference at all, and is ``None`` for the reference itself.
    """

    steps: int = 1
    inner: list[int] = []
    warm_ups: list[WarmUp] = []
    rounds: list[Round] = []
    blocks: list[Block] = []
    step_ns: MedianInterval | None = None
    cpu_per_wall: float | None = None
    ratio: Comparison | None = None
    speed: SpeedVerdict | None = None


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's clock: one-off costs apart from the steps, every raw block kept.

    ``step`` is a value-and-gradient call from Python, ``loop`` gradient descent in the backend's best idiom, ``primal``
    the loss alone, timed against ``step`` in the same process: its ratio is gradient over primal. ``collected`` is the
    step with the garbage collector on, as in a user's program, for a backend that tapes; all else is timed with it off.
    ``peak_resident_bytes`` is that of a process which only loaded and stepped, ``import_resident_bytes`` its size after
    the import. ``times_floor`` is ``step`` over what this machine could do it in at best.
    """

    backend: str
    starts: list[Start]
    step: Timed | None = None
    loop: Timed | None = None
    primal: Timed | None = None
    collected: Timed | None = None
    one_thread: OneThread | None = None
    peak_resident_bytes: int | None = None
    import_resident_bytes: int | None = None
    times_floor: float | None = None
    loop_times_floor: float | None = None

    @property
    def import_s(self) -> float:
        """Seconds to import the backend: median over its processes."""
        return median(start.import_s for start in self.starts if start.pair is not None)

    @property
    def build_s(self) -> float:
        """Seconds to build the program and place the data: median over its processes."""
        return median(start.build_s for start in self.starts if start.pair is not None)

    @property
    def first_call_s(self) -> float:
        """Seconds of the first call as on a new machine: with a cold compile cache where there was one."""
        return median(start.first_call_s for start in self._starts_but("warm") or self.starts)

    @property
    def warm_first_call_s(self) -> float | None:
        """Seconds of the first call with a warm compile cache; ``None`` where none was seen."""
        warm = [start.first_call_s for start in self.starts if start.compile_cache == "warm"]
        return median(warm) if warm else None

    @property
    def compile_cache(self) -> str:
        """What `first_call_s` found: ``cold``, ``warm``, or ``""`` where the backend keeps none on disk."""
        return (self._starts_but("warm") or self.starts)[0].compile_cache

    @property
    def start_s(self) -> float:
        """Seconds from an empty process to the first gradient: import, build, first call."""
        return self.import_s + self.build_s + self.first_call_s

    def _starts_but(self, cache: str) -> list[Start]:
        return [start for start in self.starts if start.compile_cache != cache]


class Formulated(msgspec.Struct, frozen=True, kw_only=True):
    """What another formulation of the same model gives, timed in turns in one process of ``backend``.

    ``ratio`` is the time of the problem's own formulation over that of this one.
    """

    formulation: str
    backend: str
    step_ns: MedianInterval
    ratio: Comparison
    speed: SpeedVerdict
    floor_ns: float | None


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From ``first`` steps on, up to the next span, ``backend`` has the least total time.

    ``low`` and ``high`` are the same with the steps of both at the ends of their intervals; ``None`` where no end is
    reached: the one may never overtake the other.
    """

    first: int
    backend: str
    low: int | None = None
    high: int | None = None


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
    """Which backend to choose for ``steps`` steps of this problem, and why. ``choice`` has ties, best first.

    ``spans`` is the choice by number of steps, import and first call included, in the backends' own loops;
    ``step_spans`` the same where every step is called from Python.
    """

    choice: list[str]
    reasons: list[str]
    steps: int = 1
    spans: list[Span] = []
    step_spans: list[Span] = []


class ProblemResult(msgspec.Struct, kw_only=True):
    """Everything found on one data set, with one formulation and number of threads.

    ``limits`` is what the machine can do at this size, ``formulations`` what the others would give, and ``left_out``
    what the time budget did not allow. ``twin`` is the second worker of the reference, which gives the A/A ``control``
    of the step and ``loop_control`` of the loop. ``expected`` is what the problem is there to show, where that is a
    failure of the formula and not of a backend. ``partings`` is where tapped values part, asked where something is off.
    ``idle`` has the backends with nothing to run in a model of the user's,
    and why.
    """

    name: str
    source: str
    digest: str
    rows: int
    spec: dict[str, Any]
    truth: str
    expected: str = ""
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
    pairwise: Pairwise | None = None
    partings: Partings | None = None
    recommendation: Recommendation | None = None

    @property
    def label(self) -> str:
        """What to call it: the data's name, and what of formulation, threads and dtype is not the default."""
        return label(self.name, self.spec, self.threads)

    @property
    def not_good(self) -> list[Finding | Training]:
        """Findings and training runs whose verdict is not a good one, failures included."""
        judged: list[Finding | Training] = [*self.findings, *self.training]
        bad = [found for found in judged if found.verdict not in GOOD]
        return [found for found in bad if found.verdict in ("failed", "impure")] if self.expected else bad


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


class _Versioned(msgspec.Struct):
    """What results of all schemas have in common."""

    schema_version: int = SCHEMA_VERSION


class RunResult(msgspec.Struct, kw_only=True):
    """One run: what was asked, where it ran, what was found. ``complete`` turns true at the very end.

    ``left_out`` names the problems that a time budget did not reach.
    """

    schema_version: int = SCHEMA_VERSION
    gradparity_version: str
    command: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    backends: list[BackendInfo] = []
    problems: list[ProblemResult] = []
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
    def ok(self) -> bool:
        """Whether everything that was asked for was measured and agrees."""
        return self.complete and not self.troubles and not self.disagreements

    def to_dict(self) -> dict[str, Any]:
        """As plain values: what ``results.json`` holds."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def to_frame(self) -> pl.DataFrame:
        """A row for every finding."""
        from gradparity.report.frame import frame

        return frame(self)

    def __str__(self) -> str:
        """The report, as the command line prints it."""
        from gradparity.report.terminal import text

        return text(self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from gradparity.report.html import html

        return html(self)


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
        InputError: there is none, it is no result, or it is of another schema.
    """
    path = Path(name)
    path = path / RESULTS_FILE if path.is_dir() else path
    expected = f"a {RESULTS_FILE} of gradparity"
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Versioned).schema_version
        if version != SCHEMA_VERSION:
            raise _other_schema(name, version)
        return msgspec.json.decode(content, type=RunResult)
    except OSError as error:
        raise InputError(name, got=error.strerror, expected=expected) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(name, got=f"a file that is none ({error})", expected=expected) from None


def _other_schema(name: str, version: int) -> InputError:
    return InputError(
        name,
        got=f"schema version {version}",
        expected=str(SCHEMA_VERSION),
        cure="Read it with the gradparity that wrote it, or a newer one."
        if version > SCHEMA_VERSION
        else "Its timings are of another kind: run it again with this gradparity.",
    )
