"""One backend evaluates one problem: every quantity, called twice. Runs in a worker; imports no framework itself."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace

from gradparity.backends import place
from gradparity.backends.protocol import Array, Backend, Data, Loss, Params, Program
from gradparity.formatting import BY_GRADIENT
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import AnyProblem, UserProblem
from gradparity.numerics.optimisers import Optimiser, Path, Tree, follow
from gradparity.progress import advance
from gradparity.worker.earlier import Answer, earlier_difference, noted
from gradparity.worker.messages import OTHER_HVP, Descended, Evaluated
from gradparity.worker.parts import give, require_real
from gradparity.worker.repeated import difference, draws, first_words, inputs_touched, loss_impurity
from gradparity.worker.wire import Arrays

#: What answers to many evaluations may take: the parent has them of every backend.
MOST_BYTES = 2**31
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
    #: Whether what has been given once is asked for again: a way that raises now is there all the same.
    again: bool = False

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
            forgiven = (
                self.forgiving
                and not self.again
                and not isinstance(error, InputError | MemoryError)
                and not _is_leak(error)
            )
            if not (forgiven or (isinstance(error, NotImplementedError) and not self.again)):
                raise
            self.failed[way] = first_words(error)
            return None


def evaluate(
    backend: Backend,
    loss: Loss,
    program: Program,
    problem: AnyProblem,
    *,
    second_order: bool = True,
    asked: Asked | None = None,
    before: Iterable[Answer] = (),
) -> Evaluated:
    """Loss, gradient, JVP and HVP at the problem's parameters, with a note on whatever differed the second time.

    ``before`` are loss and gradient as earlier calls with the same arguments gave them, which are held to these.

    Without ``second_order``, the loss and the gradient only; ``asked`` comes to know what the backend does not give.

    The plain loss is called first, untransformed and uncompiled: a compiled one would hide a loss that changes the
    state it reads, since it runs its Python only once (`gradparity.worker.repeated`).
    """
    params, tangents = backend.put(problem.params), backend.put(problem.tangents)
    data = place(backend, program, problem.data)
    more = backend.get({name: value for name, value in data.items() if name not in problem.data})  # by `arrange`
    held = problem.data if not more else {**problem.data, **{name: value.copy() for name, value in more.items()}}
    answers, plain = list(before), loss
    if getattr(loss, "gives_both", False):  # so that the gradient is looked at too

        def plain(params: Params, data: Data) -> Array:
            answer = program.value_and_gradient(params, data)
            answers.extend(noted(backend, answer))
            return answer[0]

    asked = asked or Asked.of(loss, program, problem, second_order=second_order)
    try:
        impurity, rounds = loss_impurity(backend, plain, params, data)
        if rounds:
            words = f"{impurity}: it rounds in another order each time"
            return Evaluated({}, impurity=words, verdict="nondeterministic")
        if impurity:
            drawn = draws(backend, loss, params, data)
            words = f"{impurity}; with its random generators seeded it repeats itself" if drawn else impurity
            return Evaluated({}, impurity=words, verdict="nondeterministic" if drawn else "impure")

        given = backend, program, params, data, tangents
        first = quantities_at(*given, asked=asked, most=2, tell=give)
        again = dataclasses.replace(asked, again=True)
        second = quantities_at(*given, asked=again, most=2, tell=lambda _, begun: give({}, f"{begun} once more"))
    except Exception as error:
        if _is_leak(error):  # at the plain call already, where what was compiled before has left one behind
            words = f"a traced value leaked out of the loss: {first_words(error)}"
            return Evaluated({}, impurity=words, verdict="impure")
        raise
    hvps = tuple(way for way in _hvps(program) if way not in asked.failed)[:2] if OTHER_HVP in first else ()
    answer = Evaluated(first, asked.without, instead=asked.instead, hvps=hvps)
    touched = inputs_touched(
        backend, ("parameter", problem.params, params), ("data", held, data), ("tangent", problem.tangents, tangents)
    )
    if touched:
        return replace(answer, impurity=touched, verdict="impure")
    if differs := difference(first, second):
        return replace(answer, impurity=differs, verdict="nondeterministic")
    differs = earlier_difference(answers, second, problem.spec.rounding)
    return replace(answer, impurity=differs, verdict="impure" if differs else "")


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
    backend: Backend,
    program: Program,
    params: Params,
    data: Data,
    tangents: Params,
    *,
    asked: Asked,
    most: int = 1,
    tell: Callable[[Quantities, str], None] = lambda *_: None,
) -> Quantities:
    """Copies, since a backend may give the same buffers again at the next call; by at most so many ways to the HVP.

    ``tell`` hears of each quantity once it is known, and of what is asked for next.
    """
    tell({}, "loss and gradient")
    value, gradient = program.value_and_gradient(params, data)
    found: dict[str, Arrays] = {"loss": backend.get({"": value}), "gradient": backend.get(gradient)}
    found = _copied(found)
    tell(found, "")
    if "jvp" not in asked.without:
        tell({}, "the JVP")
        slope = asked.attempt("jvp", program.jvp, params, data, tangents)
        if slope is None:
            asked.instead["jvp"] = f"{BY_GRADIENT}: {asked.failed['jvp']}"
            along = backend.get(tangents)
            terms = [np.vdot(g, along[name]) for name, g in found["gradient"].items()]
            found["jvp"] = {"": np.asarray(sum(terms), found["loss"][""].dtype)}
        else:
            found |= _copied({"jvp": backend.get({"": slope})})
            tell({"jvp": found["jvp"]}, "")
    if "hvp" not in asked.without:
        ways = _hvps(program)
        tell({}, "the HVP")
        given = (asked.attempt(way, function, params, data, tangents) for way, function in ways.items())
        names = ("hvp", OTHER_HVP)[:most]
        for name, each in zip(names, (p for p in given if p is not None), strict=False):
            found |= _copied({name: backend.get(each)})
            if name == "hvp":
                tell({"hvp": found["hvp"]}, "the HVP")
        if "hvp" not in found:
            asked.without["hvp"] = asked.failed[next(iter(ways))]
    return found


def _copied(found: dict[str, Any]) -> Quantities:
    copies = {quantity: {name: np.array(value) for name, value in tree.items()} for quantity, tree in found.items()}
    require_real(copies)
    return copies


def _is_leak(error: Exception) -> bool:
    """Whether a tracer, a box or a graph's tensor outlived the function that it was made for."""
    named = type(error).__name__ in {"UnexpectedTracerError", "TracerArrayConversionError"}
    return named or any(words in str(error) for words in ("leaked", "is out of scope and cannot be used here"))


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
    """The backend's own gradient descent, timed by itself.

    Raises:
        InputError: it gives other parameters, or other than so many real losses.
    """
    params, data = backend.put(problem.params), place(backend, program, problem.data)
    started = time.perf_counter()
    losses, params = backend.wait(program.descend(params, data, steps, learning_rate))
    loop_s = time.perf_counter() - started
    last = program.value_and_gradient(params, data)[0]
    along, final = (np.asarray(backend.get({"": value})[""]) for value in (losses, last))
    require_real({"losses": {"of descend": along}})
    if along.size != steps:
        raise InputError("losses of descend", got=f"{along.size} for {steps} steps", expected="one before each step")
    return Descended(np.append(along, final), problem.spec.validate(backend.get(params)), loop_s)


def timed_call(backend: Backend, function: Callable[..., Any], params: Params, data: Data, *rest: Any) -> TimedCall:
    """One call of ``function``, complete when it returns; everything is placed before the clock starts."""
    wait = backend.wait

    def call() -> Any:
        return wait(function(params, data, *rest))

    return call
