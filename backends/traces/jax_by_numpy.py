"""A JAX function traced, and its program evaluated by NumPy: of what is called once, XLA compiles much longer.

An operation without a rule here is JAX's own, compiled by itself. Results differ from XLA's by roundings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.extend import core

from gradparity.backends.protocol import Data, HostArray, Loss, Params


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
    for equation, last in zip(program.eqns, _last_uses(program), strict=True):
        inputs = [read(each) for each in equation.invars]
        known.update(zip(equation.outvars, _results(equation, inputs), strict=True))
        for variable in last:
            known.pop(variable, None)
    return [read(each) for each in program.outvars]


@lru_cache(maxsize=256)
def _last_uses(program: Any) -> list[list[Any]]:
    """What nobody reads after each equation."""
    seen, found = {each for each in program.outvars if not isinstance(each, core.Literal)}, []
    for equation in reversed(program.eqns):
        atoms = {each for each in (*equation.invars, *equation.outvars) if not isinstance(each, core.Literal)} - seen
        found.append(list(atoms))
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


def _broadcast(given: dict[str, Any], x: HostArray, *_: Any) -> HostArray:
    shape, axes = given["shape"], given["broadcast_dimensions"]
    sizes = [1] * len(shape)
    for axis, size in zip(axes, x.shape, strict=True):
        sizes[axis] = size
    return np.broadcast_to(x.reshape(sizes), shape)


def _iota(given: dict[str, Any], *_: Any) -> HostArray:
    shape, axis = given["shape"], given["dimension"]
    sizes = [size if i == axis else 1 for i, size in enumerate(shape)]
    return np.broadcast_to(np.arange(shape[axis]).reshape(sizes), shape)


def _pad(given: dict[str, Any], x: HostArray, filling: HostArray) -> Any:
    config = given["padding_config"]
    if any(low < 0 or high < 0 or inner for low, high, inner in config):
        return NotImplemented
    return np.pad(x, [(low, high) for low, high, _ in config], constant_values=filling)


def _slice(given: dict[str, Any], x: HostArray) -> HostArray:
    steps = given["strides"] or (1,) * x.ndim
    return x[tuple(map(slice, given["start_indices"], given["limit_indices"], steps))]


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


def _select(_given: dict[str, Any], which: HostArray, *cases: HostArray) -> Any:
    return np.where(which, cases[1], cases[0]) if len(cases) == 2 else NotImplemented


_CONTROL = {"scan": _scan, "while": _while, "cond": _cond}
_CALLS = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call"}
)
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_sum": np.sum,
    "reduce_prod": np.prod,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_and": np.all,
    "reduce_or": np.any,
}
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "rem": np.fmod,
    "max": np.maximum, "min": np.minimum, "pow": np.power, "square": np.square, "sqrt": np.sqrt, "cbrt": np.cbrt,
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "abs": np.abs,
    "sign": np.sign, "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "floor": np.floor, "ceil": np.ceil,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "is_finite": np.isfinite, "real": np.real, "imag": np.imag, "conj": np.conj,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert,
    "logistic": scipy.special.expit, "erf": scipy.special.erf, "erfc": scipy.special.erfc,
    "erf_inv": scipy.special.erfinv, "lgamma": scipy.special.gammaln, "digamma": scipy.special.psi,
}  # fmt: skip
_RULES: dict[str, Callable[..., Any]] = {
    "dot_general": _dot_general,
    "broadcast_in_dim": _broadcast,
    "iota": _iota,
    "pad": _pad,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "select_n": _select,
    "reshape": lambda given, x, *_: x.reshape(given["new_sizes"]) if given["dimensions"] is None else NotImplemented,
    "squeeze": lambda given, x: np.squeeze(x, tuple(given["dimensions"])),
    "transpose": lambda given, x: x.transpose(given["permutation"]),
    "rev": lambda given, x: np.flip(x, given["dimensions"]),
    "concatenate": lambda given, *xs: np.concatenate(xs, given["dimension"]),
    "split": lambda given, x: np.split(x, np.cumsum(given["sizes"])[:-1], given["axis"]),
    "convert_element_type": lambda given, x: x.astype(given["new_dtype"]),
    "integer_pow": lambda given, x: x ** given["y"] if x.dtype.kind == "f" else NotImplemented,
    "div": lambda given, x, y: np.divide(x, y) if x.dtype.kind in "fc" else NotImplemented,
    "clamp": lambda given, low, x, high: np.minimum(np.maximum(x, low), high),
    "argmax": lambda given, x: np.argmax(x, given["axes"][0]) if len(given["axes"]) == 1 else NotImplemented,
    "argmin": lambda given, x: np.argmin(x, given["axes"][0]) if len(given["axes"]) == 1 else NotImplemented,
    "copy": lambda given, x: x,
    "copy_p": lambda given, x: x,
    "rsqrt": lambda given, x: 1 / np.sqrt(x),
    "cumsum": _cumulative(np.cumsum),
    "cumprod": _cumulative(np.cumprod),
    "cummax": _cumulative(np.maximum.accumulate),
    "cummin": _cumulative(np.minimum.accumulate),
    **{name: _reduction(function) for name, function in _REDUCTIONS.items()},
    **{name: _elementwise(function) for name, function in _ELEMENTWISE.items()},
}
