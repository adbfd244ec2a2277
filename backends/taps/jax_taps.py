"""JAX: callbacks in the data flow, so that they run once per evaluation under ``jit``, ``vmap``, ``scan`` and all.

The value passes through a callback that says which occurrence of the name it is; that number is a residual of the
tangent map (the identity), whose transpose takes the cotangent through a callback too. A scan stacks the numbers, so
each cotangent finds its value. Under ``vmap`` the callbacks get the batch axes in front, outermost first, with size 1
where an argument is not batched; the number is batched as its value is.

Functions that the user has compiled already have no taps in them, and those compiled here must not be called later:
`context` gives a recording caches of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from gradparity.backends.protocol import Array, Data, Loss, Params, Sink

# The sink of the recording that runs: a compiled function is called in several.
_sink: Sink | None = None


def _report_value(name: str, ndim: int, x: Any) -> tuple[Any, Any]:
    x = np.asarray(x)
    occurrence = -1 if _sink is None else _sink.value(name, x)
    return x, np.full(x.shape[: x.ndim - ndim], occurrence, np.int32)


def _report_constant(name: str, x: Any) -> None:
    if _sink is not None:
        _sink.value(name, x)


def _report_cotangent(name: str, g: Any, occurrence: Any) -> Any:
    g, occurrence = np.asarray(g), np.asarray(occurrence)
    if _sink is not None:
        _sink.cotangent(name, int(occurrence.flat[0]), g, occurrence.shape)
    batch = np.broadcast_shapes(g.shape[: occurrence.ndim], occurrence.shape)
    return np.broadcast_to(g, batch + g.shape[occurrence.ndim :])


# One object for each: JAX compiles a callback, and knows it again by its identity.
_value_reporter = cache(lambda name, ndim: partial(_report_value, name, ndim))
_cotangent_reporter = cache(lambda name: partial(_report_cotangent, name))


def _call_back(function: Callable[..., Any], result: Any, *arguments: Array) -> Any:
    return jax.pure_callback(function, result, *arguments, vmap_method="expand_dims")


def _shape(x: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x))


def _numbered(name: str, x: Array) -> tuple[Array, Array]:
    """The value, reported, and its occurrence."""
    result = _shape(x), jax.ShapeDtypeStruct((), np.int32)
    return _call_back(_value_reporter(name, jnp.ndim(x)), result, x)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _value_through(name: str, x: Array) -> tuple[Array, Array]:
    return _numbered(name, x)


@_value_through.defjvp
def _value_through_jvp(name: str, primals: Any, tangents: Any) -> Any:
    x, occurrence = _value_through(name, *primals)
    tangent = _tangent_p.bind(tangents[0], occurrence, name=name)
    return (x, occurrence), (tangent, np.zeros(jnp.shape(occurrence), jax.dtypes.float0))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _cotangent_through(name: str, g: Array, occurrence: Array) -> Array:
    return _call_back(_cotangent_reporter(name), _shape(g), g, occurrence)


@_cotangent_through.defjvp
def _cotangent_through_jvp(name: str, primals: Any, tangents: Any) -> Any:
    return _cotangent_through(name, *primals), tangents[0]  # a second derivative passes unseen


# The identity of tangents, linear in the first argument. A primitive, since `custom_vjp` would rule out forward mode.
_tangent_p = Primitive("gradparity_tap")
_tangent_p.def_impl(lambda t, occurrence, *, name: t)
_tangent_p.def_abstract_eval(lambda t, occurrence, *, name: t)
mlir.register_lowering(_tangent_p, lambda ctx, t, occurrence, *, name: [t])


def _tangent_jvp(primals: Any, tangents: Any, *, name: str) -> Any:
    # The tangent of a tangent: what arrives there is no cotangent of the value.
    return _tangent_p.bind(*primals, name=name), tangents[0]


def _tangent_transpose(g: Any, t: Any, occurrence: Array, *, name: str) -> Any:
    return g if isinstance(g, ad.Zero) else _cotangent_through(name, g, occurrence), None


def _tangent_batched(arguments: Any, axes: Any, *, name: str) -> Any:
    (t, occurrence), (axis, number_axis) = arguments, axes
    if number_axis is not None:
        occurrence = jnp.moveaxis(occurrence, number_axis, 0)
        size = occurrence.shape[0]
        t = jnp.broadcast_to(t, (size, *jnp.shape(t))) if axis is None else jnp.moveaxis(t, axis, 0)
        axis = 0
    return _tangent_p.bind(t, occurrence, name=name), axis


ad.primitive_jvps[_tangent_p] = _tangent_jvp
ad.primitive_transposes[_tangent_p] = _tangent_transpose
batching.primitive_batchers[_tangent_p] = _tangent_batched

# Part of the key of JAX's caches, where this JAX has such a thing (0.8).
_recording = jax.make_user_context(False) if hasattr(jax, "make_user_context") else None


@contextmanager
def context(sink: Sink) -> Iterator[None]:
    """Functions are traced anew, with their taps, in this block; and again without, after it."""
    global _sink
    _sink = sink
    try:
        if _recording is not None:
            with _recording(True):
                yield
        else:
            jax.clear_caches()
            yield
    finally:
        _sink = None
        if _recording is None:
            jax.clear_caches()


def probe(sink: Sink, name: str, value: Any) -> Any:
    """The value, reported by what is evaluated: ``sink`` is the one of the context then."""
    if not isinstance(value, jax.Array):  # a constant of the program, which is no data flow to put a callback in
        constant = np.asarray(value)
        if constant.dtype.kind in "OSU":
            sink.value(name, constant)  # refused here, and not from within a callback
        jax.debug.callback(partial(_report_constant, name, constant))
        return value
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        return _numbered(name, jax.lax.stop_gradient(value))[0]
    return _value_through(name, value)[0]


def is_tapped(loss: Loss, params: Params, data: Data) -> bool:
    """Whether anything calls back in a loss, which is traced for it, and not evaluated."""
    return "callback" in str(jax.make_jaxpr(lambda params, data: loss(params, data))(params, data))


def pull_back(loss: Loss, params: Params, data: Data) -> tuple[Array, Callable[[], None]]:
    """The loss, and its backward pass: neither compiled but where the user does, so that they run one by one."""
    value, back = jax.vjp(lambda params: loss(params, data), params)
    jax.block_until_ready(value)
    jax.effects_barrier()

    def backward() -> None:
        jax.block_until_ready(back(jnp.ones_like(value)))
        jax.effects_barrier()

    return value, backward
