"""Typed messages between the parent and its workers: msgpack over a private pipe, one message a frame.

``PROTOCOL`` goes up when a message changes its meaning; a worker of another version is refused, not guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.benchmark.protocol import Block, WarmUp
from gradparity.benchmark.roofline import Limits
from gradparity.model_spec.data.row_file import OnDisk, RowFile
from gradparity.model_spec.problem import AnyProblem, Problem, UserProblem
from gradparity.model_spec.spec import Logistic, UserSpec, from_dict, to_dict
from gradparity.numerics.optimisers import Optimiser, Path
from gradparity.numerics.richardson import Derivative

PROTOCOL = 4

_Message = TypeVar("_Message")

#: What can be timed: a value-and-gradient call, a loop of gradient-descent steps, the loss alone, the step with the
#: garbage collector on, and the step in each of the formulations.
Call: TypeAlias = Literal["step", "loop", "primal", "collected", "as_written", "reassociated", "blocked"]


class Tensor(msgspec.Struct, frozen=True):
    """An array: dtype in NumPy's notation with its byte order, shape, and C-ordered bytes.

    Raises:
        ValueError: the bytes do not fill the shape, or the dtype holds Python objects or fields, or is none; in a
            message that is decoded, a `msgspec.ValidationError`.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def __post_init__(self) -> None:
        try:
            array = self.array
        except (TypeError, SyntaxError, OverflowError) as error:  # of a dtype that is none, or lengths past any
            raise ValueError(str(error)) from None
        # NumPy takes a length of -1 as whatever fills the shape, and a record as a dtype.
        if array.shape != self.shape or array.dtype.names:
            raise ValueError(f"got {self.dtype!r} and shape {self.shape}, expected numbers and lengths of 0 or more")

    @property
    def array(self) -> npt.NDArray[Any]:
        """A read-only view of the bytes."""
        return np.frombuffer(self.data, np.dtype(self.dtype)).reshape(self.shape)


Tensors: TypeAlias = dict[str, Tensor]


def pack(tree: Mapping[str, npt.ArrayLike]) -> Tensors:
    """Arrays as messages."""
    arrays = {name: np.asarray(value) for name, value in tree.items()}
    return {name: Tensor(a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}


def unpack(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
    """Messages as arrays; read-only views of the message's bytes."""
    return {name: tensor.array for name, tensor in tensors.items()}


class Request(msgspec.Struct, frozen=True, tag=True):
    """What the parent asks for; every request is answered by one reply, `Failure` among them."""


class Configure(Request, frozen=True):
    """Import the backend at ``module:attribute`` and set the process-wide switches.

    ``names``: what the backend is called by a model of the user's, its own name first.
    ``one_core``: tie the process to one core first, so that no pool of threads can use another.
    ``memory_bytes``: let the process have no more.
    """

    target: str
    threads: int
    one_core: bool = False
    protocol: int = PROTOCOL
    names: list[str] = []
    memory_bytes: int | None = None


class Load(Request, frozen=True):
    """Take a problem, build its program and make the first call. With ``rows``, its data are read from that file."""

    name: str
    spec: dict[str, Any]
    params: Tensors
    data: Tensors
    tangents: Tensors
    seed: int
    rows: RowFile | None = None


class Evaluate(Request, frozen=True):
    """Loss and gradient of the loaded problem, and unless told otherwise JVP and HVP; each computed twice."""

    second_order: bool = True


class Perturb(Request, frozen=True):
    """The same quantities at the loaded problem's inputs moved by one rounding, in seeded draws, and along a line."""

    second_order: bool = True


class OwnDerivatives(Request, frozen=True):
    """The derivative of the backend's own float64 loss along each parameter's direction, by differences of values."""


class RecordTaps(Request, frozen=True):
    """What passes the taps of the loaded problem's loss, forward and backward, and how far rounding moves it."""

    seed: int


class Descend(Request, frozen=True):
    """Gradient descent from the loaded problem's parameters."""

    steps: int
    learning_rate: float


class Train(Request, frozen=True):
    """An optimiser of ours from the loaded problem's parameters, with the program's value and gradient."""

    optimiser: Optimiser
    steps: int


class Footprint(Request, frozen=True):
    """Make some calls of the step, and say how large the process became."""

    calls: int


class ThreadsUsed(Request, frozen=True):
    """Call the step for ``seconds``: how much CPU time goes into a second?"""

    seconds: float


class MeasureLimits(Request, frozen=True):
    """Read bandwidth and GEMM rate at a size."""

    spec: dict[str, Any]
    rows: int
    profile: str


class Warm(Request, frozen=True):
    """Warm one kind of call up and calibrate how many of them make a block of ``block_ns``.

    A call of the ``loop`` makes ``steps`` gradient-descent steps of ``learning_rate``. Other formulations of the loaded
    problem are built when they are first asked for.
    """

    profile: str
    block_ns: int
    call: Call = "step"
    steps: int = 1
    learning_rate: float = 0.0


class Sample(Request, frozen=True):
    """Time one block of ``inner`` calls, after ``rewarm_calls`` discarded ones."""

    inner: int
    rewarm_calls: int
    call: Call = "step"


class Stop(Request, frozen=True):
    """End the worker."""


class Reply(msgspec.Struct, frozen=True, tag=True):
    """What a worker answers."""


class Configured(Reply, frozen=True):
    """The framework is imported: by which version, in how long, and how large the process is.

    NumPy is part of every backend's import. ``import_cpu_s`` is CPU time, which does not count what other processes
    took meanwhile.
    """

    versions: dict[str, str]
    import_s: float
    import_cpu_s: float
    resident_bytes: int


class Loaded(Reply, frozen=True):
    """Seconds to build the program and place the data, and of the first value-and-gradient call with its compiling."""

    build_s: float
    first_call_s: float
    compile_cache: str


class Evaluation(Reply, frozen=True):
    """Every quantity by name (``loss``, ``gradient``, ``jvp``, ``hvp``), then by parameter (``""`` for scalars).

    ``impurity`` says how a second call differed from the first, if it did, and ``verdict`` what that makes it: a loss
    that keeps state or changes its arguments is ``impure``; one that draws, or rounds in another order, is not.
    ``without`` names the quantities that the backend does not compute for such a loss; ``printed`` is the first line
    that the user's code printed.
    """

    quantities: dict[str, Tensors]
    without: list[str] = []
    printed: str = ""
    impurity: str = ""
    verdict: Literal["", "impure", "nondeterministic"] = ""


class Perturbed(Reply, frozen=True):
    """One evaluation a draw, and one for each point of the line: quantities by name, then by parameter."""

    evaluations: list[dict[str, Tensors]]
    line: list[dict[str, Tensors]]


class OwnSlopes(Reply, frozen=True):
    """By parameter."""

    slopes: dict[str, Derivative]


class Tapped(Reply, frozen=True):
    """A `gradparity.worker.recording.Recorded`, in its order; empty where the loss has no tap, or the backend no
    way to.
    """

    values: Tensors
    cotangents: Tensors
    value_floors: Tensors
    cotangent_floors: Tensors
    differentiated: bool


class Descent(Reply, frozen=True):
    """Losses of ``steps + 1`` points and the final parameters; seconds of the whole loop, called once."""

    losses: Tensor
    params: Tensors
    loop_s: float


class Trained(Reply, frozen=True):
    """Losses of ``n + 1`` points, and flat parameters and gradients ``(m, P)`` at the numbers in ``steps``.

    ``steps`` is every step, or every k-th and the last where all would pass `RECORD_BYTES`.
    """

    losses: Tensor
    steps: Tensor
    params: Tensor
    gradients: Tensor
    evaluations: int
    stopped: str
    loop_s: float


class Resident(Reply, frozen=True):
    """Peak resident size of the process so far."""

    peak_bytes: int


class Used(Reply, frozen=True):
    """CPU seconds of the process per second of wall-clock time."""

    cpu_per_wall: float


class Limited(Reply, frozen=True):
    """What the machine could do at best."""

    limits: Limits


class Warmed(Reply, frozen=True):
    """Warmed up, and how many calls make a block."""

    warm_up: WarmUp
    inner: int


class Sampled(Reply, frozen=True):
    """One timed block, and its last output: the loss under ``""`` and the gradient by parameter.

    Of a loop, the first loss, which is that of the start, and the final parameters.
    """

    block: Block
    output: Tensors


class Stopped(Reply, frozen=True):
    """The last word of a worker."""


class Failure(Reply, frozen=True):
    """An exception in the worker; the worker lives on."""

    kind: str
    message: str
    traceback: str


AnyRequest: TypeAlias = (
    Configure
    | Load
    | Evaluate
    | Perturb
    | OwnDerivatives
    | RecordTaps
    | Descend
    | Train
    | Footprint
    | ThreadsUsed
    | MeasureLimits
    | Warm
    | Sample
    | Stop
)
AnyReply: TypeAlias = (
    Configured
    | Loaded
    | Evaluation
    | Perturbed
    | OwnSlopes
    | Tapped
    | Descent
    | Trained
    | Resident
    | Used
    | Limited
    | Warmed
    | Sampled
    | Stopped
    | Failure
)

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode


def decoding(decode: Callable[[bytes], _Message]) -> Callable[[bytes], _Message]:
    """The decoder with one kind of error for whatever is no message: `msgspec.MsgspecError`."""

    def decoded(frame: bytes) -> _Message:
        try:
            return decode(frame)
        except (UnicodeDecodeError, RecursionError) as error:  # text that is none; nested too deep
            raise msgspec.DecodeError(str(error)) from None

    return decoded


decode_request = decoding(msgspec.msgpack.Decoder(AnyRequest).decode)
decode_reply = decoding(msgspec.msgpack.Decoder(AnyReply).decode)


def load_request(problem: AnyProblem) -> Load:
    """A problem as a message."""
    return Load(
        problem.name,
        to_dict(cast("Logistic | UserSpec", problem.spec)),
        pack(problem.params),
        {} if problem.on_disk else pack(problem.data),
        pack(problem.tangents),
        problem.seed,
        next((value.file for value in problem.data.values() if isinstance(value, OnDisk)), None),
    )


def problem_of(load: Load) -> Problem | UserProblem:
    """The problem of a message."""
    spec, params, tangents = from_dict(load.spec), unpack(load.params), unpack(load.tangents)
    data: dict[str, Any] = dict(unpack(load.data))
    if isinstance(spec, UserSpec):
        return UserProblem(load.name, spec, params, data, tangents, load.seed)
    if load.rows is not None:
        data = {name: OnDisk(load.rows, name, spec.dtype) for name in ("X", "y")}
    return Problem(load.name, spec, params, data, tangents, load.seed)


def trained(path: Path, loop_s: float) -> Trained:
    """A run as a message."""
    arrays = pack({"losses": path.losses, "steps": path.steps, "params": path.params, "gradients": path.gradients})
    return Trained(**arrays, evaluations=path.evaluations, stopped=path.stopped, loop_s=loop_s)


def path_of(reply: Trained) -> Path:
    """The run of a message."""
    tensors = {name: getattr(reply, name) for name in ("losses", "steps", "params", "gradients")}
    return Path(**unpack(tensors), evaluations=reply.evaluations, stopped=reply.stopped)
