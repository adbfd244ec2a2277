"""A JAX function traced, and its program evaluated by NumPy: of what is called once, XLA compiles much longer.

What NumPy gives bit for bit is in `jax_exact`; what has no rule there or here is JAX's own operation, compiled by
itself. Results differ from XLA's by roundings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from gradparity.backends.protocol import Data, HostArray, Loss, Params
from gradparity.backends.traces.jax_exact import exact
from gradparity.backends.traces.jax_programs import primitives


class Interpreted:
    """A loss and its gradient, of host arrays always of the same shapes; each is traced once."""

    def __init__(self, loss: Loss) -> None:
        self._functions = {"value": loss, "gradient": jax.value_and_grad(loss)}
        self._programs: dict[str, Any] = {}

    def value(self, params: Params, data: Data) -> HostArray:
        return np.asarray(self._call("value", params, data))

    def value_and_gradient(self, params: Params, data: Data) -> tuple[HostArray, dict[str, HostArray]]:
        found: tuple[HostArray, dict[str, HostArray]] = self._call("gradient", params, data)
        return found

    def _call(self, which: str, params: Params, data: Data) -> Any:
        if which not in self._programs:
            with _whole_tracebacks():
                self._programs[which] = jax.make_jaxpr(self._functions[which], return_shape=True)(params, data)
        program, shape = self._programs[which]
        leaves = [np.asarray(each) for each in jax.tree.leaves((params, data))]
        with np.errstate(all="ignore"):
            results = evaluate(program.jaxpr, program.consts, leaves)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    def twice(self, params: Params, data: Data) -> tuple[list[HostArray], Exception | None] | None:
        """The loss of two calls in a row, traced anew, and what the second raised; None where loops are XLA's work.

        Both have the same dictionaries and the same state: what the first leaves behind is seen by the second.

        Raises:
            Exception: whatever the first call raises.
        """
        loss, raised = self._functions["value"], list[Exception]()

        def calls(*trees: Any) -> list[Any]:
            values = [loss(*trees)]
            try:
                values.append(loss(*trees))
            except Exception as error:
                raised.append(error)
            return values

        with _whole_tracebacks():
            program = jax.make_jaxpr(calls)(params, data)
        if _LOOPS & set(primitives(program.jaxpr)):
            return None
        leaves = [np.asarray(each) for each in jax.tree.leaves((params, data))]
        with np.errstate(all="ignore"):
            return evaluate(program.jaxpr, program.consts, leaves), raised[0] if raised else None


@contextmanager
def _whole_tracebacks() -> Iterator[None]:
    """Nobody reads what is raised: to leave JAX's own lines out of it takes 20 ms."""
    before = getattr(jax.config, "jax_traceback_filtering", "auto")
    jax.config.update("jax_traceback_filtering", "off")
    try:
        yield
    finally:
        jax.config.update("jax_traceback_filtering", before)


def evaluate(program: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """The results of a jaxpr."""
    known: dict[Any, Any] = {}

    def read(atom: Any) -> Any:
        literal = isinstance(atom, core.Literal)
        return np.asarray(atom.val, getattr(atom.aval, "dtype", None)) if literal else known[atom]

    known.update(zip(program.constvars, map(_host, consts), strict=True))
    known.update(zip(program.invars, map(_host, arguments), strict=True))
    for equation, by_bits, last in _plan(program):
        inputs = [read(each) for each in equation.invars]
        results = _results(equation, inputs) if by_bits is None else by_bits(*inputs)
        known.update(zip(equation.outvars, results, strict=True))
        for variable in last:
            known.pop(variable, None)
    return [read(each) for each in program.outvars]


@lru_cache(maxsize=256)
def _plan(program: Any) -> list[tuple[Any, Callable[..., Any] | None, list[Any]]]:
    """Each equation, what gives its results bit for bit, and the variables that nobody reads after it."""
    seen, found = {each for each in program.outvars if not isinstance(each, core.Literal)}, []
    for equation in reversed(program.eqns):
        atoms = {each for each in (*equation.invars, *equation.outvars) if not isinstance(each, core.Literal)} - seen
        found.append((equation, exact(equation), list(atoms)))
        seen |= atoms
    return found[::-1]


def _results(equation: Any, inputs: list[Any]) -> list[Any]:
    name, given = equation.primitive.name, equation.params
    if name in _CONTROL:
        return _CONTROL[name](inputs, given)
    inner = given.get("jaxpr", given.get("call_jaxpr"))
    if name in _CALLS and inner is not None:
        return evaluate(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
    rule = _RULES.get(name)
    if rule is not None:
        result = rule(given, *inputs)
        if result is not NotImplemented:
            results = result if isinstance(result, list) else [result]
            return [
                np.asarray(each).astype(variable.aval.dtype, copy=False)
                for each, variable in zip(results, equation.outvars, strict=True)
            ]
    bound = equation.primitive.get_bind_params(given)
    inner_functions, params = bound if isinstance(bound, tuple) else ((), bound)  # the former before JAX 0.7
    result = equation.primitive.bind(*inner_functions, *inputs, **params)
    return [_host(each) for each in (result if equation.primitive.multiple_results else [result])]


def _host(array: Any) -> Any:
    """As NumPy's, unless it is a key of a random generator."""
    extended = hasattr(array, "dtype") and jnp.issubdtype(array.dtype, jax.dtypes.extended)
    return array if extended else np.asarray(array)


def _scan(inputs: list[Any], given: dict[str, Any]) -> list[Any]:
    constants, carried, program = given["num_consts"], given["num_carry"], given["jaxpr"]
    fixed, carry = inputs[:constants], inputs[constants : constants + carried]
    along = inputs[constants + carried :]
    order = range(given["length"])[:: -1 if given["reverse"] else 1]
    outputs: list[list[Any]] = []
    for i in order:
        results = evaluate(program.jaxpr, program.consts, [*fixed, *carry, *(each[i] for each in along)])
        carry = results[:carried]
        outputs.append(results[carried:])
    if given["reverse"]:
        outputs.reverse()
    shapes = [each.aval for each in program.jaxpr.outvars[carried:]]
    if not outputs:
        return [*carry, *(np.zeros((0, *each.shape), each.dtype) for each in shapes)]
    return [*carry, *(np.stack(each) for each in zip(*outputs, strict=True))]


def _while(inputs: list[Any], given: dict[str, Any]) -> list[Any]:
    asked, done = given["cond_nconsts"], given["body_nconsts"]
    test, body = given["cond_jaxpr"], given["body_jaxpr"]
    of_test, of_body, carry = inputs[:asked], inputs[asked : asked + done], inputs[asked + done :]
    while evaluate(test.jaxpr, test.consts, [*of_test, *carry])[0]:
        carry = evaluate(body.jaxpr, body.consts, [*of_body, *carry])
    return carry


def _cond(inputs: list[Any], given: dict[str, Any]) -> list[Any]:
    branches = given["branches"]
    chosen = branches[int(np.clip(int(inputs[0]), 0, len(branches) - 1))]
    return evaluate(chosen.jaxpr, chosen.consts, inputs[1:])


def _dot_general(given: dict[str, Any], a: HostArray, b: HostArray) -> Any:
    (a_along, b_along), (a_batch, b_batch) = given["dimension_numbers"]
    a_free = [i for i in range(a.ndim) if i not in (*a_along, *a_batch)]
    b_free = [i for i in range(b.ndim) if i not in (*b_along, *b_batch)]
    shape = [a.shape[i] for i in (*a_batch, *a_free)] + [b.shape[i] for i in b_free]
    batch = [a.shape[i] for i in a_batch]
    length = int(np.prod([a.shape[i] for i in a_along]))
    left = a.transpose(*a_batch, *a_free, *a_along).reshape(*batch, -1, length) if a.size else a
    right = b.transpose(*b_batch, *b_along, *b_free).reshape(*batch, length, -1) if b.size else b
    return np.matmul(left, right).reshape(shape) if a.size and b.size else NotImplemented


def _dynamic_slice(given: dict[str, Any], x: HostArray, *starts: Any) -> HostArray:
    sizes = given["slice_sizes"]
    begins = [int(np.clip(int(s), 0, total - size)) for s, total, size in zip(starts, x.shape, sizes, strict=True)]
    return x[tuple(slice(begin, begin + size) for begin, size in zip(begins, sizes, strict=True))]


def _cumulative(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(given: dict[str, Any], x: HostArray) -> Any:
        axis = given["axis"]
        return np.flip(function(np.flip(x, axis), axis), axis) if given["reverse"] else function(x, axis)

    return rule


def _elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda given, *inputs: function(*inputs)


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda given, x: function(x, axis=tuple(given["axes"]))


def _special(name: str) -> Callable[..., Any]:
    """A function of SciPy's, which takes 0.1 s to import and most losses need none of."""

    def rule(_given: dict[str, Any], *inputs: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(*inputs)

    return rule


_LOOPS = frozenset({"scan", "while"})
_CONTROL = {"scan": _scan, "while": _while, "cond": _cond}
_CALLS = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call"}
)
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_sum": np.sum, "reduce_prod": np.prod, "reduce_and": np.all, "reduce_or": np.any,
}  # fmt: skip
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "rem": np.fmod, "pow": np.power, "cbrt": np.cbrt, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "log": np.log, "log1p": np.log1p, "sign": np.sign, "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "real": np.real, "imag": np.imag, "conj": np.conj,
}  # fmt: skip
_SPECIAL = {
    "logistic": "expit", "erf": "erf", "erfc": "erfc", "erf_inv": "erfinv", "lgamma": "gammaln", "digamma": "psi",
}  # fmt: skip
_RULES: dict[str, Callable[..., Any]] = {
    "dot_general": _dot_general,
    "dynamic_slice": _dynamic_slice,
    "clamp": lambda given, low, x, high: np.minimum(np.maximum(x, low), high),
    "argmax": lambda given, x: np.argmax(x, given["axes"][0]) if len(given["axes"]) == 1 else NotImplemented,
    "argmin": lambda given, x: np.argmin(x, given["axes"][0]) if len(given["axes"]) == 1 else NotImplemented,
    "rsqrt": lambda given, x: 1 / np.sqrt(x),
    "cumsum": _cumulative(np.cumsum),
    "cumprod": _cumulative(np.cumprod),
    "cummax": _cumulative(np.maximum.accumulate),
    "cummin": _cumulative(np.minimum.accumulate),
    **{name: _reduction(function) for name, function in _REDUCTIONS.items()},
    **{name: _elementwise(function) for name, function in _ELEMENTWISE.items()},
    **{name: _special(function) for name, function in _SPECIAL.items()},
}
