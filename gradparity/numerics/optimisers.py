"""Optimisers defined by their formulas: the same code for every backend, so that any difference is the gradient's.

Steps are pure functions over dictionaries of host arrays, generic over their dtype: float32 and float64 in the
workers, ``numpy.longdouble`` in the reference. Frameworks' own optimisers differ in defaults and in where Adam's
epsilon stands; these say theirs. L-BFGS is SciPy's, over the flat vector of the specification.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.space import ParameterSpace
from gradparity.progress import advance

Array: TypeAlias = npt.NDArray[Any]
Tree: TypeAlias = dict[str, Array]
#: What an optimiser carries from step to step: trees shaped like the parameters, by name.
State: TypeAlias = dict[str, Tree]
#: Loss and gradient at named parameters, on the host.
ValueAndGradient: TypeAlias = Callable[[Tree], tuple[Any, Mapping[str, Array]]]

OptimiserName = Literal["gd", "momentum", "adam", "lbfgs"]
OPTIMISERS: tuple[OptimiserName, ...] = get_args(OptimiserName)

#: Parameters and gradients of every step are kept up to so many bytes, and of every k-th step beyond.
RECORD_BYTES = 32 * 2**20
#: Why a path ends early that had a limit of time.
OUT_OF_TIME = "its share of the time budget ended"


class GradientDescent(msgspec.Struct, frozen=True, tag="gd"):
    """``p <- p - lr g``."""

    name: ClassVar[OptimiserName] = "gd"
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        _require_positive("--lr", self.learning_rate)

    def step(self, _t: int, params: Tree, gradient: Mapping[str, Array], state: State) -> tuple[Tree, State]:
        """Parameters and state after a step; nothing is changed in place."""
        return {name: p - _like(p, self.learning_rate) * gradient[name] for name, p in params.items()}, state


class Momentum(msgspec.Struct, frozen=True, tag="momentum"):
    """Heavy ball: ``v <- mu v + g``, ``p <- p - lr v``, with ``v = 0`` at first.

    Reference: Polyak, Some methods of speeding up the convergence of iteration methods, 1964.
    """

    name: ClassVar[OptimiserName] = "momentum"
    learning_rate: float = 0.1
    momentum: float = 0.9

    def __post_init__(self) -> None:
        _require_positive("--lr", self.learning_rate)
        _require_fraction("--momentum", self.momentum)

    def step(self, _t: int, params: Tree, gradient: Mapping[str, Array], state: State) -> tuple[Tree, State]:
        """Parameters and state after a step; nothing is changed in place."""
        v = {name: _like(g, self.momentum) * _moment(state, "v", name, g) + g for name, g in gradient.items()}
        return {name: p - _like(p, self.learning_rate) * v[name] for name, p in params.items()}, {"v": v}


class Adam(msgspec.Struct, frozen=True, tag="adam"):
    """``m <- b1 m + (1 - b1) g``, ``v <- b2 v + (1 - b2) g^2``, ``p <- p - lr m^ / (sqrt(v^) + eps)``.

    ``m^ = m / (1 - b1^t)`` and ``v^ = v / (1 - b2^t)``: bias is corrected, and eps stands outside the root, after the
    correction.

    Reference: Kingma & Ba, Adam: a method for stochastic optimization, 2015, algorithm 1.
    """

    name: ClassVar[OptimiserName] = "adam"
    learning_rate: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _require_positive("--lr", self.learning_rate)
        _require_fraction("Adam's beta1", self.beta1)
        _require_fraction("Adam's beta2", self.beta2)
        _require_positive("Adam's epsilon", self.epsilon)

    def step(self, t: int, params: Tree, gradient: Mapping[str, Array], state: State) -> tuple[Tree, State]:
        """Parameters and state after step ``t``, counted from 1; nothing is changed in place."""
        m, v, stepped = {}, {}, {}
        # 1 - b^t cancels: in float32 at t = 2 it would lose 3 digits, and none of that is the gradient's doing.
        unbias1, unbias2 = (1 - np.longdouble(beta) ** t for beta in (self.beta1, self.beta2))
        for name, p in params.items():
            g = gradient[name]
            m[name] = _like(g, self.beta1) * _moment(state, "m", name, g) + _like(g, 1 - np.longdouble(self.beta1)) * g
            v[name] = _like(g, self.beta2) * _moment(state, "v", name, g) + (
                _like(g, 1 - np.longdouble(self.beta2)) * (g * g)
            )
            root = np.sqrt(v[name] / _like(p, unbias2)) + _like(p, self.epsilon)
            stepped[name] = p - _like(p, self.learning_rate) * (m[name] / _like(p, unbias1)) / root
        return stepped, {"m": m, "v": v}


class LBFGS(msgspec.Struct, frozen=True, tag="lbfgs"):
    """SciPy's L-BFGS-B without bounds, with SciPy's default tolerances; it works in float64 whatever the dtype.

    Reference: Liu & Nocedal, On the limited memory BFGS method for large scale optimization, 1989.
    """

    name: ClassVar[OptimiserName] = "lbfgs"
    memory: int = 10
    loss_tolerance: float = 2.220446049250313e-09
    gradient_tolerance: float = 1e-05

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise InputError("L-BFGS memory", got=self.memory, expected="1 or more")


Stepper: TypeAlias = GradientDescent | Momentum | Adam
Optimiser: TypeAlias = Stepper | LBFGS


def optimiser(name: str, *, learning_rate: float, momentum: float) -> Optimiser:
    """The optimiser of that name.

    Raises:
        InputError: there is none, or a hyperparameter is out of its range.
    """
    if name == "gd":
        return GradientDescent(learning_rate)
    if name == "momentum":
        return Momentum(learning_rate, momentum)
    if name == "adam":
        return Adam(learning_rate)
    if name == "lbfgs":
        return LBFGS()
    raise InputError("--optimiser", got=repr(name), expected=f"one of {', '.join(OPTIMISERS)}")


def rounded(which: Optimiser, dtype: str) -> Optimiser:
    """The same optimiser with the hyperparameters that a run in ``dtype`` steps with."""
    if isinstance(which, LBFGS):
        return which
    fields = msgspec.structs.asdict(which)
    return type(which)(**{name: float(np.dtype(dtype).type(value)) for name, value in fields.items()})


@dataclass(frozen=True)
class Path:
    """What a training run went through, n steps and P parameters.

    Attributes:
        losses: ``(n + 1,)``, the start's included.
        steps: ``(m,)``, the numbers of the steps whose parameters were kept; 0 and n are always among them.
        params: ``(m, P)``, as flat vectors of the specification.
        gradients: ``(m, P)``, at ``params``; ``(0, P)`` where they are not known.
        evaluations: of loss and gradient.
        stopped: why a run ended before the steps it was given; ``""`` where it did not.
    """

    losses: Array
    steps: npt.NDArray[np.int64]
    params: Array
    gradients: Array
    evaluations: int
    stopped: str = ""


class _Recorder:
    def __init__(self, spec: ParameterSpace, steps: int) -> None:
        self.spec, self.last = spec, steps
        # By the dtype that is trained, so that the reference keeps the same steps.
        self.stride = max(1, math.ceil(2 * (steps + 1) * spec.size * np.dtype(spec.dtype).itemsize / RECORD_BYTES))
        self.losses: list[Any] = []
        self.kept: list[tuple[int, Array, Array]] = []
        self.latest: tuple[int, Array, Array]

    def add(self, loss: Any, params: Array, gradient: Array) -> None:
        step = len(self.losses)
        self.losses.append(loss)
        self.latest = (step, params, gradient)
        if step % self.stride == 0:
            self.kept.append(self.latest)

    def path(self, evaluations: int, stopped: str = "") -> Path:
        if self.kept[-1][0] != self.latest[0]:
            self.kept.append(self.latest)
        steps, params, gradients = zip(*self.kept, strict=True)
        return Path(np.array(self.losses), np.array(steps), np.array(params), np.array(gradients), evaluations, stopped)


def follow(
    which: Optimiser,
    spec: ParameterSpace,
    value_and_gradient: ValueAndGradient,
    start: Mapping[str, Array],
    steps: int,
    *,
    moved: Callable[[Tree], Tree] | None = None,
    seconds: float | None = None,
) -> Path:
    """``steps`` of an optimiser from ``start``, in the dtype of ``start``; L-BFGS may need fewer.

    ``moved``, if given, is applied to the parameters after every step: it is how the reference rounds at random.
    Past ``seconds``, if given, no step is begun: the path ends there, and is stopped by `OUT_OF_TIME`.
    """
    recorder = _Recorder(spec, steps)
    ends_s = math.inf if seconds is None else time.monotonic() + seconds
    with np.errstate(all="ignore"):  # a run that leaves the range of its numbers is a finding, not a warning
        if isinstance(which, LBFGS):
            return _minimise(which, spec, value_and_gradient, start, steps, recorder, ends_s)
        params, state = dict(start), dict[str, Tree]()
        for t in range(1, steps + 2):
            value, gradient = value_and_gradient(params)
            recorder.add(value, spec.pack(params), spec.pack(gradient))
            advance("steps", t - 1, steps)
            if t <= steps and time.monotonic() > ends_s:
                return recorder.path(t, OUT_OF_TIME)
            if t <= steps:
                params, state = which.step(t, params, gradient, state)
                params = moved(params) if moved else params
        return recorder.path(steps + 1)


def _minimise(
    which: LBFGS,
    spec: ParameterSpace,
    value_and_gradient: ValueAndGradient,
    start: Mapping[str, Array],
    steps: int,
    recorder: _Recorder,
    ends_s: float = math.inf,
) -> Path:
    """SciPy's iterates as the problem's dtype sees them: the flat vector is float64, and rounded before each call."""
    from scipy.optimize import OptimizeResult, minimize

    def evaluate(vector: Array) -> tuple[Any, Array, Array]:
        at = spec.rounded(spec.unpack(vector))
        value, gradient = value_and_gradient(dict(at))
        return value, spec.pack(at), spec.pack(gradient)

    seen: tuple[Array, tuple[Any, Array, Array]]

    def objective(vector: Array) -> tuple[float, Array]:
        nonlocal seen
        seen = vector.copy(), evaluate(vector)
        value, _, gradient = seen[1]
        return float(value), gradient.astype(np.float64)

    def record(intermediate_result: OptimizeResult) -> None:
        # The accepted point is the last one evaluated, but for a line search that gave up and went back.
        at, found = seen
        recorder.add(*(found if np.array_equal(at, intermediate_result.x) else evaluate(intermediate_result.x)))
        if time.monotonic() > ends_s and len(recorder.losses) <= steps:
            raise StopIteration  # SciPy's way to end: it returns what it has

    vector = spec.pack(start).astype(np.float64)
    recorder.add(*evaluate(vector))
    found = minimize(
        objective,
        vector,
        jac=True,
        method="L-BFGS-B",
        callback=record,
        options={
            "maxiter": steps,
            "maxfun": 100 * (steps + 1),
            "maxcor": which.memory,
            "ftol": which.loss_tolerance,
            "gtol": which.gradient_tolerance,
        },
    )
    stopped = "" if len(recorder.losses) == steps + 1 else str(found.message)
    if time.monotonic() > ends_s and stopped.startswith("`callback`"):
        stopped = OUT_OF_TIME
    return recorder.path(int(found.nfev), stopped)


def _like(array: Array, value: Any) -> Any:
    """A scalar rounded once to the dtype of ``array``, so that nothing is promoted."""
    return array.dtype.type(value)


def _moment(state: State, moment: str, name: str, g: Array) -> Array:
    return state[moment][name] if moment in state else np.zeros_like(g)


def _require_positive(rule: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(rule, got=value, expected="a finite number over 0")


def _require_fraction(rule: str, value: float) -> None:
    if not 0 <= value < 1:
        raise InputError(rule, got=value, expected="a number from 0 to under 1")
