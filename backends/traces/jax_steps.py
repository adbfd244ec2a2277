"""JAX: one equation of a jaxpr as a function of its own, and its pull-back by JAX's rules.

Equations of the same primitive, parameters and shapes share both; a literal is an argument like any other. A pull-back
is evaluated operation by operation too, so that most of it shares what was compiled for the way forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradparity.backends.protocol import HostArray
from gradparity.backends.traces.jax_calls import is_variable
from gradparity.backends.traces.jax_exact import exact

Arrays = Sequence[Any]

#: Functions that are kept, for the next evaluation at other inputs.
KEPT = 4096


class _Same:
    """A parameter, known by its value where that can be hashed, and by its identity elsewhere."""

    def __init__(self, value: Any) -> None:
        self.value = value
        try:
            self._hash, self._by_value = hash(value), True
        except TypeError:
            self._hash, self._by_value = id(value), False

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same) or self._hash != other._hash:
            return False
        same_kind = self._by_value and type(self.value) is type(other.value)
        return self.value is other.value or (same_kind and bool(self.value == other.value))


class Operation:
    """What an equation computes: equal to that of another which computes the same of arguments of the same kinds."""

    def __init__(self, equation: Any) -> None:
        self.equation = equation
        params = tuple((name, _Same(value)) for name, value in sorted(equation.params.items()))
        self._key = equation.primitive, params, tuple(map(_sort, equation.invars))
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operation) and self._key == other._key

    def __call__(self, *arguments: Any) -> Arrays:
        """Its results, by JAX's primitive."""
        primitive = self.equation.primitive
        params = primitive.get_bind_params(self.equation.params)
        inner, params = params if isinstance(params, tuple) else ((), params)  # a pair, in an older JAX
        with getattr(self.equation.ctx, "manager", nullcontext()):
            found = primitive.bind(*inner, *arguments, **params)
        return list(found) if primitive.multiple_results else [found]

    def run(self, arguments: Arrays) -> Arrays:
        """The same with host arrays as results, but for keys of random numbers."""
        return _evaluator(self)(*arguments)

    def pull_back(
        self, arguments: Arrays, active: tuple[int, ...], given: tuple[int, ...], cotangents: Arrays
    ) -> Arrays:
        """Cotangents of the ``active`` arguments from those of the results ``given``; `None` is zero by structure."""
        program, reached = _pull_back(self, active, given)
        found = iter(program(*arguments, *cotangents))
        return [next(found) if each else None for each in reached]


class Program:
    """A jaxpr, evaluated operation by operation, those alone that ``wanted`` results depend on."""

    def __init__(self, program: Any, wanted: Sequence[bool] | None = None) -> None:
        self._consts, program = getattr(program, "consts", ()), getattr(program, "jaxpr", program)
        wanted = [True for _ in program.outvars] if wanted is None else wanted
        self._program = program
        self._results = [each for each, want in zip(program.outvars, wanted, strict=True) if want]
        needed, self._operations = {each for each in self._results if is_variable(each)}, list[tuple[Any, Operation]]()
        for equation in reversed(program.eqns):
            if not needed.isdisjoint(equation.outvars):
                needed.update(filter(is_variable, equation.invars))
                self._operations.insert(0, (equation, Operation(equation)))

    def __call__(self, *arguments: Any) -> Arrays:
        known = dict(zip(self._program.invars, arguments, strict=True))
        known.update(zip(self._program.constvars, self._consts, strict=True))

        def read(each: Any) -> Any:
            return known[each] if is_variable(each) else literal(each)

        for equation, operation in self._operations:
            known.update(zip(equation.outvars, operation.run([*map(read, equation.invars)]), strict=True))
        return [*map(read, self._results)]


@lru_cache(KEPT)
def _evaluator(operation: Operation) -> Callable[..., Arrays]:
    equation = operation.equation
    if equation.primitive.name in {"jit", "pjit"}:
        return Program(equation.params["jaxpr"])
    known = exact(equation)
    if known is not None:
        return known
    compiled = jax.jit(operation)
    return lambda *arguments: [*map(host, compiled(*arguments))]


@lru_cache(KEPT)
def _pull_back(operation: Operation, active: tuple[int, ...], given: tuple[int, ...]) -> tuple[Program, list[bool]]:
    """The pull-back by JAX's rule, and which of its results depend on a cotangent at all."""
    equation = operation.equation
    count = len(equation.invars)

    def back(*all_of_them: Any) -> Arrays:
        arguments, cotangents = all_of_them[:count], list(all_of_them[count:])

        def function(*moved: Any) -> Arrays:
            everything = list(arguments)
            for position, value in zip(active, moved, strict=True):
                everything[position] = value
            found = operation(*everything)
            return [found[position] for position in given]

        pulled: Arrays = jax.vjp(function, *(arguments[position] for position in active))[1](cotangents)
        return pulled

    outs = [equation.outvars[position] for position in given]
    program = jax.make_jaxpr(back)(*(_kind(each.aval) for each in (*equation.invars, *outs)))
    reached = _depends(program.jaxpr, program.jaxpr.invars[count:])
    return Program(program, reached), reached


def host(value: Any) -> Any:
    """A host array, but for keys of random numbers, which are none."""
    return value if is_key(value) else np.asarray(value)


def is_key(value: Any) -> bool:
    """Whether it is an array of keys of random numbers."""
    return bool(jnp.issubdtype(value.dtype, jax.dtypes.extended))


def literal(each: Any) -> HostArray:
    """The array that a literal stands for."""
    return np.asarray(each.val, each.aval.dtype)


def _sort(each: Any) -> Any:
    aval = each.aval
    return (aval.shape, aval.dtype) if hasattr(aval, "dtype") else str(aval)


def _kind(aval: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)


def _depends(program: Any, variables: Sequence[Any]) -> list[bool]:
    """Which results of a jaxpr depend on some of its arguments."""
    reached = set(variables)
    for equation in program.eqns:
        if any(is_variable(each) and each in reached for each in equation.invars):
            reached.update(equation.outvars)
    return [is_variable(each) and each in reached for each in program.outvars]
