"""What the parent asks of a backend's process, and what that answers.

A reply stands above the request that it answers, and is named after it. ``PROTOCOL`` goes up when a message changes
its meaning; a worker of another version is refused, not guessed at.
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import msgspec

from gradparity.model_spec.data.row_file import OnDisk, RowFile
from gradparity.model_spec.problem import AnyProblem, Problem, UserProblem
from gradparity.model_spec.spec import Logistic, UserSpec, from_dict, to_dict
from gradparity.numerics.optimisers import Optimiser, Path
from gradparity.numerics.richardson import Derivative
from gradparity.worker.clock_messages import Call as Call
from gradparity.worker.clock_messages import CountedThreads as CountedThreads
from gradparity.worker.clock_messages import CountThreads as CountThreads
from gradparity.worker.clock_messages import MeasuredLimits as MeasuredLimits
from gradparity.worker.clock_messages import MeasuredMemory as MeasuredMemory
from gradparity.worker.clock_messages import MeasureLimits as MeasureLimits
from gradparity.worker.clock_messages import MeasureMemory as MeasureMemory
from gradparity.worker.clock_messages import Sample as Sample
from gradparity.worker.clock_messages import Sampled as Sampled
from gradparity.worker.clock_messages import Warm as Warm
from gradparity.worker.clock_messages import Warmed as Warmed
from gradparity.worker.cure_messages import Cure as Cure
from gradparity.worker.cure_messages import Cured as Cured
from gradparity.worker.cure_messages import Found as Found
from gradparity.worker.cure_messages import Pointed as Pointed
from gradparity.worker.cure_messages import Points as Points
from gradparity.worker.cure_messages import Redraw as Redraw
from gradparity.worker.cure_messages import Redrawn as Redrawn
from gradparity.worker.cure_messages import Wanted as Wanted
from gradparity.worker.pointwise_messages import Differentiate as Differentiate
from gradparity.worker.pointwise_messages import Differentiated as Differentiated
from gradparity.worker.step_messages import DrawStarts as DrawStarts
from gradparity.worker.step_messages import GiveGradients as GiveGradients
from gradparity.worker.step_messages import GivenBatch as GivenBatch
from gradparity.worker.step_messages import GradientsGiven as GradientsGiven
from gradparity.worker.step_messages import StartsDrawn as StartsDrawn
from gradparity.worker.step_messages import StepsTaken as StepsTaken
from gradparity.worker.step_messages import TakeSteps as TakeSteps
from gradparity.worker.trace_messages import Record as Record
from gradparity.worker.trace_messages import Recorded as Recorded
from gradparity.worker.trace_messages import Result as Result
from gradparity.worker.trace_messages import Trace as Trace
from gradparity.worker.trace_messages import Traced as Traced
from gradparity.worker.wire import Arrays, Host, Reply, Request, Stop, decoder, reply_decoder

PROTOCOL = 8

#: The quantity of a second way to the HVP, such as forward over reverse beside a double backward.
OTHER_HVP = "other hvp"


class Configured(Reply, frozen=True):
    """The framework is imported: by which version, in how long, and how large the process is.

    NumPy is part of every backend's import. ``import_cpu_s`` is CPU time, which does not count what other processes
    took meanwhile. ``uncompiled``: what it compiles can be evaluated operation by operation instead.
    """

    versions: dict[str, str]
    import_s: float
    import_cpu_s: float
    resident_bytes: int
    uncompiled: bool = False


class Configure(Request[Configured], frozen=True):
    """Import the backend at ``module:attribute`` and set the process-wide switches.

    ``names``: what the backend is called by a model of the user's, its own name first.
    ``one_core``: tie the process to one core first, so that no pool of threads can use another.
    ``memory_bytes``: let the process have no more.
    ``command``: words that start the program that it is, where it is one.
    ``rank``, of so many ``ranks`` where the process is one of several; 0 where it is not.
    """

    stage = "import"
    timeout_s = 120
    wait = "import"

    target: str
    threads: int
    one_core: bool = False
    protocol: int = PROTOCOL
    names: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    memory_bytes: int | None = None
    rank: int = 0
    ranks: int = 0


class Loaded(Reply, frozen=True):
    """Seconds to build the program and place the data, and of the first value-and-gradient call with its compiling.

    ``operations`` of a value and gradient, of a program that is not compiled. ``trains``: the port has a ``step``, and
    ``initialises``: an ``initialise``.
    """

    build_s: float
    first_call_s: float
    compile_cache: str
    operations: int = 0
    trains: bool = False
    initialises: bool = False


class Load(Request[Loaded], frozen=True):
    """Take a problem, build its program and make the first call. With ``rows``, its data are read from that file.

    ``eager``: functions of the program that are not compiled. ``early``: send ahead what the first call gives.
    """

    stage = "build and first call"
    wait = "compile"

    name: str
    spec: dict[str, Any]
    params: Arrays
    data: Arrays
    tangents: Arrays
    seed: int
    rows: RowFile | None = None
    eager: tuple[str, ...] = ()
    early: bool = False


class Compiled(Reply, frozen=True):
    """It is compiled, and has been called once."""


class Compile(Request[Compiled], frozen=True):
    """Make the first call of the JVP or of the HVP."""

    stage = "compilation"
    wait = "compile"

    what: Literal["jvp", "hvp"]


class Evaluated(Reply, frozen=True):
    """Every quantity by name (``loss``, ``gradient``, ``jvp``, ``hvp``), then by parameter (``""`` for scalars).

    ``impurity`` says how a second call differed from the first, if it did, and ``verdict`` what that makes it: a loss
    that keeps state or changes its arguments is ``impure``; one that draws, or rounds in another order, is not.
    ``without`` has the quantities that are not given, with why, ``""`` where nobody asked for them; ``instead`` how one
    is obtained that the framework has no way of its own to. ``hvps`` names the ways to the HVP: of two the second's is
    the quantity `OTHER_HVP`. ``printed`` says whether the user's code printed anything, and ``missed`` the environment
    variables that it read in vain, with the lines that did. ``ranks`` has what other ranks gave that differs in a bit
    from rank 0's, whose answer this is; ``over_rows``, where there are ranks, what the loss is over the rows of all.
    """

    quantities: dict[str, Arrays]
    without: dict[str, str] = msgspec.field(default_factory=dict)
    instead: dict[str, str] = msgspec.field(default_factory=dict)
    hvps: tuple[str, ...] = ()
    printed: bool = False
    missed: dict[str, str] = msgspec.field(default_factory=dict)
    impurity: str = ""
    verdict: Literal["", "impure", "nondeterministic"] = ""
    ranks: dict[int, dict[str, Arrays]] = msgspec.field(default_factory=dict)
    over_rows: Literal["", "sum", "mean"] = ""


class Evaluate(Request[Evaluated], frozen=True):
    """Loss and gradient of the loaded problem, and unless told otherwise JVP and HVP; each computed twice."""

    stage = "evaluation"

    second_order: bool = True


class Perturbed(Reply, frozen=True):
    """One evaluation a draw, one for each point of the line, and of those beside: by quantity, then by parameter.

    ``missing`` says why there are none: of some alone no floor could be made. ``raised`` is what the loss has raised
    first, if it has: there is nothing of those draws, and nothing of points in a row that one of them is of.
    """

    evaluations: list[dict[str, Arrays]]
    line: list[dict[str, Arrays]]
    beside: list[dict[str, Arrays]] = msgspec.field(default_factory=list)
    missing: str = ""
    raised: str = ""


class Perturb(Request[Perturbed], frozen=True):
    """What the evaluation before gave, at inputs moved by one rounding, along a line, and beside the parameters.

    Unless that would take more than so many seconds.
    """

    stage = "evaluation at moved inputs"

    seconds: float = math.inf


class Scattered(Reply, frozen=True):
    """For each spacing the evaluations at the points of a line: quantities by name, then by parameter.

    ``dtypes`` are those that values on the way have, ``None`` where the backend does not show them.
    """

    lines: list[list[dict[str, Arrays]]]
    dtypes: list[str] | None = None


class Scatter(Request[Scattered], frozen=True):
    """What the evaluation before gave, along lines of inputs that are so far apart, relatively: roundings scatter."""

    stage = "evaluation at moved inputs"

    spacings: list[float]


class Extrapolated(Reply, frozen=True):
    """What values of the loss and the gradient make of each derivative; see `gradparity.judge.own.Answers`."""

    slopes: dict[str, Derivative] = msgspec.field(default_factory=dict)
    jvp: dict[str, Derivative] = msgspec.field(default_factory=dict)
    hvp: dict[str, Derivative] = msgspec.field(default_factory=dict)
    held: dict[str, Derivative] = msgspec.field(default_factory=dict)
    sides: dict[str, tuple[float, float]] = msgspec.field(default_factory=dict)
    through: dict[str, Derivative] = msgspec.field(default_factory=dict)


class Extrapolate(Request[Extrapolated], frozen=True):
    """The derivatives of the backend's own float64 loss by differences: of the loss along each parameter's direction.

    Where they were given, also along the tangents, and of the gradient along those. With ``taps``, only that of the
    loss along all directions together, one tapped value held where it is, by tap. Stopped values are held. Past
    ``seconds`` no derivative is begun.
    """

    stage = "derivative of its own loss"

    taps: bool = False
    seconds: float = math.inf


class Descended(Reply, frozen=True):
    """Losses of ``steps + 1`` points and the final parameters; seconds of the whole loop, called once."""

    losses: Host
    params: Arrays
    loop_s: float


class Descend(Request[Descended], frozen=True):
    """Gradient descent from the loaded problem's parameters, of as many of the steps as some seconds allow."""

    stage = "training in its own loop"

    steps: int
    learning_rate: float
    seconds: float | None = None


class Trained(Reply, frozen=True):
    """A training run by an optimiser of ours, and its seconds."""

    path: Path
    loop_s: float


class Train(Request[Trained], frozen=True):
    """An optimiser of ours from the loaded problem's parameters, with the program's value and gradient.

    As many of the steps as some seconds allow.
    """

    stage = "training"

    optimiser: Optimiser
    steps: int
    seconds: float | None = None


REQUESTS: tuple[type[Request[Any]], ...] = (
    *(
        Configure,
        Load,
        Compile,
        Evaluate,
        Perturb,
        Scatter,
        Extrapolate,
        Record,
        Trace,
        Cure,
        Points,
        Redraw,
        Descend,
        Train,
        TakeSteps,
        GiveGradients,
        DrawStarts,
        Differentiate,
    ),
    *(MeasureMemory, CountThreads, MeasureLimits, Warm, Sample, Stop),
)

decode_request, decode_reply = decoder(REQUESTS), reply_decoder(REQUESTS)


def load_request(problem: AnyProblem) -> Load:
    """A problem as a message."""
    return Load(
        problem.name,
        to_dict(cast("Logistic | UserSpec", problem.spec)),
        dict(problem.params),
        {} if problem.on_disk else dict(problem.data),
        dict(problem.tangents),
        problem.seed,
        next((value.file for value in problem.data.values() if isinstance(value, OnDisk)), None),
    )


def problem_of(load: Load) -> Problem | UserProblem:
    """The problem of a message."""
    spec = from_dict(load.spec)
    if isinstance(spec, UserSpec):
        return UserProblem(load.name, spec, load.params, load.data, load.tangents, load.seed)
    data: dict[str, Any] = dict(load.data)
    if load.rows is not None:
        data = {name: OnDisk(load.rows, name, spec.dtype) for name in ("X", "y")}
    return Problem(load.name, spec, load.params, data, load.tangents, load.seed)
