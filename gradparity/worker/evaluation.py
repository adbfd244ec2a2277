"""One backend evaluates one problem: every quantity, called twice. Runs in a worker; imports no framework itself."""

from __future__ import annotations

import contextlib
import math
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace

from gradparity.backends import place
from gradparity.backends.protocol import Array, Backend, Data, HostArray, Loss, Params, Program
from gradparity.formatting import first_line
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import AnyProblem, UserProblem
from gradparity.numerics.optimisers import Optimiser, Path, Tree, follow
from gradparity.progress import advance
from gradparity.worker.messages import OTHER_HVP, Descended, Evaluated
from gradparity.worker.user_loss import require_scalar
from gradparity.worker.wire import Arrays, Host

#: What answers to many evaluations may take: the parent has them of every backend.
MOST_BYTES = 2**31
#: Share of a loss by which rounding in another order moves it, 2^8 roundings; half precision has no digits for that.
ROUNDED = {"float64": 2.0**-44, "float32": 2.0**-15}
#: Calls of a step, at most, from which it is told how many fit into some time.
CALLS = 5

TimedCall = Callable[[], Any]
Quantities = dict[str, Arrays]


@dataclass
class Asked:
    """Which quantities a program is asked for; what it turns out not to give is not asked for again.

    A framework may have no second derivative, or no forward mode, of an operation in a loss of the user's: then loss
    and gradient are compared all the same. ``without`` says why a quantity is not given, ``""`` where nobody asks for
    it; ``instead`` how it is obtained where the framework's own way raised; ``failed`` which ways have.
    """

    second_order: bool = True
    forgiving: bool = False
    without: dict[str, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, loss: Loss, program: Program, problem: AnyProblem, *, second_order: bool = True) -> Asked:
        """What to ask of a program that differentiates a problem's loss."""
        asked = cls(second_order, isinstance(problem, UserProblem))
        for name in ("jvp", "hvp"):
            if not second_order:
                asked.without[name] = ""
            elif getattr(program, name, None) is None:  # of a gradient written by hand nobody expects more
                by_hand = hasattr(loss, "gradient")
                asked.without[name] = getattr(loss, "lacking", "") if by_hand else f"its program has no {name}"
        return asked

    def attempt(self, way: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a way to a quantity gives; ``None`` where it raises what says that there is no such way."""
        if way in self.failed:
            return None
        try:
            return function(*arguments)
        except Exception as error:
            forgiven = self.forgiving and not isinstance(error, InputError | MemoryError) and not _is_leak(error)
            if not (forgiven or isinstance(error, NotImplementedError)):
                raise
            self.failed[way] = _first_line(error)
            return None


def evaluate(
    backend: Backend,
    loss: Loss,
    program: Program,
    problem: AnyProblem,
    *,
    second_order: bool = True,
    asked: Asked | None = None,
) -> Evaluated:
    """Loss, gradient, JVP and HVP at the problem's parameters, with a note on whatever differed the second time.

    Without ``second_order``, the loss and the gradient only; ``asked`` comes to know what the backend does not give.

    The plain loss is called first, untransformed and uncompiled: a compiled one would hide a loss that changes the
    state it reads, since it runs its Python only once (`_twice`).
    """
    params, tangents = backend.put(problem.params), backend.put(problem.tangents)
    data = place(backend, program, problem.data)
    more = backend.get({name: value for name, value in data.items() if name not in problem.data})  # by `arrange`
    given = problem.data if not more else {**problem.data, **{name: value.copy() for name, value in more.items()}}
    impurity, rounds = _loss_impurity(backend, loss, params, data)
    if rounds:
        return Evaluated({}, impurity=f"{impurity}: it rounds in another order each time", verdict="nondeterministic")
    if impurity:
        draws = _draws(backend, loss, params, data)
        words = f"{impurity}; with its random generators seeded it repeats itself" if draws else impurity
        return Evaluated({}, impurity=words, verdict="nondeterministic" if draws else "impure")

    asked = asked or Asked.of(loss, program, problem, second_order=second_order)
    try:
        first, second = (quantities_at(backend, program, params, data, tangents, asked=asked, most=2) for _ in range(2))
    except Exception as error:
        if _is_leak(error):
            words = f"a traced value leaked out of the loss: {_first_line(error)}"
            return Evaluated({}, impurity=words, verdict="impure")
        raise
    hvps = tuple(way for way in _hvps(program) if way not in asked.failed)[:2] if OTHER_HVP in first else ()
    answer = Evaluated(first, asked.without, instead=asked.instead, hvps=hvps)
    touched = _inputs_touched(
        backend, ("parameter", problem.params, params), ("data", given, data), ("tangent", problem.tangents, tangents)
    )
    if touched:
        return replace(answer, impurity=touched, verdict="impure")
    difference = _difference(first, second)
    return replace(answer, impurity=difference, verdict="nondeterministic" if difference else "")


def evaluations_at(
    backend: Backend,
    program: Program,
    inputs: Iterable[tuple[Tree, Tree, Tree]],
    asked: Asked | None = None,
    raised: list[Exception] | None = None,
) -> list[Quantities]:
    """Every quantity, or those that are asked for, at each of some parameters, data and tangents.

    With ``raised``, where the loss raises is left out, and the exception added to it.
    """
    which, found = asked or Asked(), list[Quantities]()
    for trees in inputs:
        try:
            found.append(quantities_at(backend, program, *map(backend.put, trees), asked=which))
        except Exception as error:
            if raised is None:
                raise
            raised.append(error)
        advance("evaluations", len(found))
    return found


def too_much(backend: Backend, program: Program, problem: AnyProblem, asked: Asked, count: int, seconds: float) -> str:
    """Why so many evaluations would be too many for some seconds, or for `MOST_BYTES`, by what one takes; or ``""``."""
    if math.isinf(seconds):
        return ""
    began_s = time.perf_counter()
    inputs = map(backend.put, (problem.params, problem.data, problem.tangents))
    found = quantities_at(backend, program, *inputs, asked=asked)
    needed_s = count * (time.perf_counter() - began_s)
    needed_bytes = count * sum(value.nbytes for tree in found.values() for value in tree.values())
    if needed_bytes > MOST_BYTES:
        return f"{count} evaluations would take {needed_bytes / 2**30:.0f} GiB"
    return f"{count} evaluations would take about {needed_s:.0f} s" if needed_s > seconds else ""


def affordable(step: TimedCall, steps: int, seconds: float) -> int:
    """How many of the steps fit, one at least, by the shortest of some calls: one alone may have been disturbed."""
    call_s = math.inf
    for _ in range(CALLS):
        began_s = time.perf_counter()
        step()
        call_s = min(call_s, time.perf_counter() - began_s)
        if steps * call_s <= seconds:
            break
    return min(steps, max(1, int(seconds / max(call_s, 1e-9))))


def _hvps(program: Program) -> dict[str, Callable[..., Params]]:
    """The ways to the HVP, the one that the framework's users get first."""
    return getattr(program, "hvps", None) or {"": program.hvp}


def quantities_at(
    backend: Backend, program: Program, params: Params, data: Data, tangents: Params, *, asked: Asked, most: int = 1
) -> Quantities:
    """Copies, since a backend may give the same buffers again at the next call; by at most so many ways to the HVP."""
    value, gradient = program.value_and_gradient(params, data)
    found: dict[str, Arrays] = {"loss": backend.get({"": value}), "gradient": backend.get(gradient)}
    found = _copied(found)
    if "jvp" not in asked.without:
        slope = asked.attempt("jvp", program.jvp, params, data, tangents)
        if slope is None:
            asked.instead["jvp"] = f"the gradient times the direction: {asked.failed['jvp']}"
            along = backend.get(tangents)
            terms = [np.vdot(g, along[name]) for name, g in found["gradient"].items()]
            found["jvp"] = {"": np.asarray(sum(terms), found["loss"][""].dtype)}
        else:
            found |= _copied({"jvp": backend.get({"": slope})})
    if "hvp" not in asked.without:
        ways = _hvps(program)
        given = (asked.attempt(way, function, params, data, tangents) for way, function in ways.items())
        names = ("hvp", OTHER_HVP)[:most]
        found |= _copied(
            {name: backend.get(each) for name, each in zip(names, (p for p in given if p is not None), strict=False)}
        )
        if "hvp" not in found:
            asked.without["hvp"] = asked.failed[next(iter(ways))]
    return found


def _copied(found: dict[str, Any]) -> Quantities:
    return {quantity: {name: np.array(value) for name, value in tree.items()} for quantity, tree in found.items()}


def _loss_impurity(backend: Backend, loss: Loss, params: Params, data: Data) -> tuple[str, bool]:
    """How a second call of the plain loss differed from the first, or ``""``; and whether by roundings."""
    values, raised = _twice(backend, loss, params, data)
    first, second = values[0], values[-1]
    if raised is not None:
        return f"the loss returned {first} at first, and raised on the second call: {_first_line(raised)}", False
    if first.tobytes() == second.tobytes():
        return "", False
    rounds = bool(abs(first - second) <= ROUNDED.get(first.dtype.name, 0.0) * abs(first))
    if rounds:  # by what it keeps it would go on to others
        again = [_scalar(backend, loss(params, data)).tobytes() for _ in range(CALLS)]
        rounds = len({first.tobytes(), second.tobytes(), *again}) < 2 + CALLS
    return f"the loss returned {first}, then {second}, for the same arguments", rounds


def _twice(backend: Backend, loss: Loss, params: Params, data: Data) -> tuple[list[Host], Exception | None]:
    """What two calls of the plain loss give, and what the second raised.

    Where a backend compiles every operation by itself, which takes longer than anything else here, both are evaluated
    on the host if they can be.
    """

    def scalar(params: Params, data: Data) -> Array:
        value = loss(params, data)
        require_scalar(loss, value)
        return value

    with contextlib.suppress(Exception):  # what the loss raises there it raises below, and is said there
        interpreted = getattr(backend, "interpreted", None)
        found = interpreted(scalar).twice(params, data) if interpreted is not None else None
        if found is not None:
            values, raised = found
            return [value[()] for value in values], raised
    values = [_scalar(backend, scalar(params, data))]
    try:
        values.append(_scalar(backend, scalar(params, data)))
    except Exception as error:
        return values, error
    return values, None


def _draws(backend: Backend, loss: Loss, params: Params, data: Data) -> bool:
    """Whether two calls agree once the global generators are seeded before each: then it draws, and keeps no state."""
    answers = []
    for _ in range(2):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002  # the legacy generator is the one that such a loss would use
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(0)
        try:
            answers.append(_scalar(backend, loss(params, data)).tobytes())
        except Exception:
            return False
    return answers[0] == answers[1]


def _scalar(backend: Backend, value: Array) -> Host:
    return np.asarray(backend.get({"": backend.wait(value)})[""])[()]


def _difference(first: Quantities, second: Quantities) -> str:
    """The first quantity whose second evaluation has other bits, or ``""``."""
    for quantity, tree in first.items():
        for name, value in tree.items():
            if value.tobytes() != second[quantity][name].tobytes():
                worst = np.max(np.abs(value - second[quantity][name]))
                return f"{quantity} {name}".rstrip() + f" differed by up to {worst:.3g} between two identical calls"
    return ""


def _inputs_touched(backend: Backend, *arguments: tuple[str, Mapping[str, HostArray], Params]) -> str:
    """Which argument no longer holds what was put there, or ``""``: of each its kind, what was put, and where."""
    for kind, original, current in arguments:
        held = getattr(current, "of", None)  # of the data, a rank has some rows
        original = original if held is None else held(original)
        for name, value in backend.get(current).items():
            if value is original.get(name):  # opened for reading only
                continue
            if name not in original or value.tobytes() != original[name].tobytes():
                return f"the loss changed its argument: {kind} {name}"
    return ""


def _is_leak(error: Exception) -> bool:
    """Whether a tracer or a box outlived the function that it was made for."""
    return type(error).__name__ in {"UnexpectedTracerError", "TracerArrayConversionError"} or "leaked" in str(error)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(str(error))}"


def train(
    backend: Backend,
    program: Program,
    problem: AnyProblem,
    optimiser: Optimiser,
    steps: int,
    seconds: float | None = None,
) -> Path:
    """Our optimiser on the host, fed by the backend's loss and gradient; parameters are put anew at every step.

    As many of the steps as some seconds allow.
    """
    data = place(backend, program, problem.data)

    def value_and_gradient(params: Tree) -> tuple[Any, Tree]:
        value, gradient = program.value_and_gradient(backend.put(params), data)
        return backend.get({"": value})[""], backend.get(gradient)

    return follow(optimiser, problem.spec, value_and_gradient, problem.params, steps, seconds=seconds)


def descend(backend: Backend, program: Program, problem: AnyProblem, steps: int, learning_rate: float) -> Descended:
    """The backend's own gradient descent, timed by itself."""
    params, data = backend.put(problem.params), place(backend, program, problem.data)
    started = time.perf_counter()
    losses, params = backend.wait(program.descend(params, data, steps, learning_rate))
    loop_s = time.perf_counter() - started
    last = program.value_and_gradient(params, data)[0]
    along, final = (np.asarray(backend.get({"": value})[""]) for value in (losses, last))
    return Descended(np.append(along, final), backend.get(params), loop_s)


def timed_call(backend: Backend, function: Callable[..., Any], params: Params, data: Data, *rest: Any) -> TimedCall:
    """One call of ``function``, complete when it returns; everything is placed before the clock starts."""
    wait = backend.wait

    def call() -> Any:
        return wait(function(params, data, *rest))

    return call
