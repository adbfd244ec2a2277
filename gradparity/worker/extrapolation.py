"""What a backend's own values make of its derivatives. Runs in a worker; imports no framework itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from gradparity.backends.protocol import Array, Backend, Data, Loss, Params, Program
from gradparity.model_spec.problem import AnyProblem
from gradparity.model_spec.trees import leaves
from gradparity.numerics.optimisers import Tree
from gradparity.numerics.richardson import SMALLEST_STEP, Derivative, along, block_directions, derivative
from gradparity.progress import advance
from gradparity.taps import holding, probing, stopped
from gradparity.worker.recording import fresh
from gradparity.worker.wire import Host

#: How far beside a kink a gradient is taken: no nearer to it than the smallest difference of the loss is.
SIDE_STEP = 4 * SMALLEST_STEP


def own_derivatives(
    backend: Backend,
    program: Program,
    problem: AnyProblem,
    loss: Loss | None = None,
    directions: Mapping[str, Tree] | None = None,
    *,
    ends_s: float = math.inf,
) -> dict[str, Derivative]:
    """The derivative of a float64 problem's loss along each parameter's direction, from values of the loss alone.

    Past ``ends_s``, on the monotonic clock, none is begun.

    Values that the ``loss`` stops the gradient of keep what they are at the problem's parameters; where a compiler has
    them, nothing is known.
    """
    data, held = backend.put(problem.data), Held()
    if loss is not None:
        with fresh(backend):
            held.value_of(loss, backend.put(problem.params), data)
    if held.lost:
        return {}

    def value(params: Tree) -> Any:
        placed = backend.put(params)
        found = held.value_of(loss, placed, data) if loss is not None and held.values else program.value(placed, data)
        return backend.get({"": backend.wait(found)})[""]

    chosen = directions or dict(block_directions(problem.params, problem.seed))
    return {name: derivative(along(value, problem.params, chosen[name])) for name in _in_time(chosen, ends_s)}


def _in_time(names: Iterable[str], ends_s: float) -> Iterator[str]:
    """Names, as long as there is time."""
    for count, name in enumerate(names):
        if time.monotonic() > ends_s:
            return
        yield name
        advance("derivatives", count + 1)


def declares(backend: Backend, loss: Loss, problem: AnyProblem) -> bool:
    """Whether the loss declares a value that it stops the gradient of."""
    held = Held()
    with fresh(backend):
        held.value_of(loss, backend.put(problem.params), backend.put(problem.data))
    return bool(held.values)


def second_derivatives(
    backend: Backend, program: Program, problem: AnyProblem, loss: Loss, *, ends_s: float = math.inf
) -> dict[str, Derivative]:
    """The derivative along the tangents of the gradient's product with each parameter's direction, from its values.

    Nothing where the loss declares stopped values: the gradient moves with them, and the HVP does not.
    """
    data, gradients, held = backend.put(problem.data), dict[float, Tree](), Held()
    with fresh(backend):
        held.value_of(loss, backend.put(problem.params), data)
    if held.values:
        return {}

    def gradient(t: float) -> Tree:
        if t not in gradients:  # most points are the same for every parameter
            moved = {name: np.asarray(x + t * problem.tangents[name]) for name, x in problem.params.items()}
            found = program.value_and_gradient(backend.put(moved), data)[1]
            gradients[t] = {name: np.array(value) for name, value in backend.get(backend.wait(found)).items()}
        return gradients[t]

    def product(name: str, direction: Host) -> Callable[[float], float]:
        return lambda t: float(np.vdot(gradient(t)[name], direction))

    directions = dict(block_directions(problem.params, problem.seed))
    return {name: derivative(product(name, directions[name][name])) for name in _in_time(directions, ends_s)}


def beside_kinks(
    backend: Backend,
    program: Program,
    problem: AnyProblem,
    slopes: Mapping[str, Derivative],
    *,
    ends_s: float = math.inf,
) -> dict[str, tuple[float, float]]:
    """The gradient's product with each parameter's direction, just before the point and just behind it.

    They are the one-sided derivatives of the loss, which has a kink there or may have one: extrapolated from two points
    to either side.
    """
    data, found = backend.put(problem.data), dict[str, tuple[float, float]]()
    for name, direction in block_directions(problem.params, problem.seed):
        if name not in slopes or time.monotonic() > ends_s:
            continue

        def product(t: float, name: str = name, direction: Tree = direction) -> float:
            moved = dict(problem.params) | {name: np.asarray(problem.params[name] + t * direction[name])}
            gradient = backend.get(backend.wait(program.value_and_gradient(backend.put(moved), data)[1]))
            return float(np.vdot(gradient[name], direction[name]))

        left, right = (2 * product(sign * SIDE_STEP) - product(2 * sign * SIDE_STEP) for sign in (-1, 1))
        found[name] = left, right
    return found


def with_taps_held(
    backend: Backend, loss: Loss, problem: AnyProblem, most: int = 16, *, ends_s: float = math.inf
) -> dict[str, Derivative]:
    """The derivative of the loss along all directions together, with the value of one tap held where it is, by tap."""
    data, joined, names = backend.put(problem.data), dict[str, Host](), dict[str, None]()
    for _, direction in block_directions(problem.params, problem.seed):
        joined |= direction

    def value_of(params: Mapping[str, Host], probe: Callable[[str, Any], Any]) -> Any:
        with fresh(backend), probing(probe):
            return backend.get({"": backend.wait(loss(backend.put(dict(params)), data))})[""]

    def seen(name: str, value: Any) -> Any:
        names.setdefault(name)
        return value

    value_of(problem.params, seen)
    found: dict[str, Derivative] = {}
    for name in _in_time(list(names)[:most], ends_s):
        values: list[Any] = []

        def first(tap: str, value: Any, name: str = name, values: list[Any] = values) -> Any:
            if tap == name:
                values.append(value)
            return value

        def held(params: Tree, name: str = name, values: list[Any] = values) -> Any:
            rest = iter(values)
            return value_of(params, lambda tap, value: next(rest) if tap == name else value)

        value_of(problem.params, first)
        if not any("Tracer" in type(leaf).__name__ for _, leaf in leaves(values)):
            found[name] = derivative(along(held, problem.params, joined))
    return found


class Held:
    """The values at which a loss stops the gradient: taken at its first evaluation, and put in their places in others.

    ``lost``: they are not to be had, since a compiler or a transformation has them.
    """

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.lost = False
        self._first, self._place = True, 0

    def value_of(self, loss: Loss, params: Params, data: Data) -> Array:
        """The loss, with the stopped values that it had first."""
        self._place = 0
        with holding(self._hold):
            found = loss(params, data)
        self._first = False
        return found

    def _hold(self, value: Any) -> Any:
        if self._first:
            constant = stopped(value)
            self.lost = self.lost or any("Tracer" in type(leaf).__name__ for _, leaf in leaves(constant))
            self.values.append(constant)
            return constant
        self._place += 1
        return self.values[self._place - 1]
