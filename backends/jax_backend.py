"""JAX: pure functions, transformed and compiled by ``jit``.

Everything is an argument, nothing is closed over: XLA would fold data that it can see into the program. Under
``blocked`` the loss and the cotangent of ``u = W w`` come from one ``fori_loop`` over blocks of rows, which reads X
once; the transpose of ``u`` is applied once, at the end. That loop is a function like any other, so ``jax.jvp`` of it
is the HVP. The whole descent is one ``scan``: no Python between the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
from jax import lax

from gradparity.backends.protocol import Array, Data, HostArray, Loss, Params, Taps
from gradparity.backends.traces import Recorder
from gradparity.backends.traces.jax_programs import inner_programs, inner_sizes, size
from gradparity.model_spec.spec import Logistic

if TYPE_CHECKING:
    from gradparity.backends.traces.jax_by_numpy import Interpreted

#: Operations from which a program takes longer to compile than a minute's worth of calls: an unrolled loop.
LARGE = 200
#: Steps in an iteration of the built-in model's descent. At 4x3x3 a step takes two thirds of its time for 60 ms more of
#: compilation; of a user's model that may be seconds.
UNROLL = 4


@jax.custom_jvp
def softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, exact to rounding in both tails, with its derivatives stated."""
    return jnp.maximum(m, 0) + jnp.log1p(jnp.exp(-jnp.abs(m)))


@jax.custom_jvp
def sigmoid(m: Array) -> Array:
    """``1 / (1 + exp(-m))``, of the same exponential as `softplus`: XLA computes it once for both."""
    t = jnp.exp(-jnp.abs(m))
    return jnp.where(m >= 0, 1, t) / (1 + t)


# JAX forms sigmoid' as p (1 - p), which cancels to zero from m = 37 on (jax-ml/jax#40342); this product does not.
softplus.defjvps(lambda tangent, _, m: tangent * sigmoid(m))
sigmoid.defjvps(lambda tangent, p, m: tangent * p * sigmoid(-m))


class BuiltInLoss:
    """The built-in model as a pure function of parameters and data."""

    def __init__(self, spec: Logistic) -> None:
        self.spec = spec

    def __call__(self, params: Params, data: Data) -> Array:
        X, y = data["X"], data["y"]
        as_written = self.spec.formulation == "as_written" and "W" in params
        z = (X @ params["W"]) @ params["w"] if as_written else X @ direction(params)
        value = self.reduce(self.nll(z, y), data)
        return value + self.penalty(params) if self.spec.l2 else value  # XLA would compute a penalty of zero

    def value_and_grad(self, params: Params, data: Data) -> tuple[Array, Params]:
        if self.spec.formulation != "blocked":
            return jax.value_and_grad(self)(params, data)
        u, pull_back = jax.vjp(direction, params)
        value, cotangent = self.reduce(self.blocked_nll_value_and_grad(u, data), data)
        term = value, pull_back(cotangent)[0]
        return jax.tree.map(jnp.add, term, jax.value_and_grad(self.penalty)(params)) if self.spec.l2 else term

    def nll(self, z: Array, y: Array) -> Array:
        """Negative log-likelihood of rows with projections ``z``, summed."""
        logits = self.spec.logit_scale * z
        if self.spec.numerics == "stable":
            return softplus((1 - 2 * y) * logits).sum()
        p = 1 / (1 + jnp.exp(-logits))
        return -jnp.log(p * y + (1 - p) * (1 - y)).sum()

    def blocked_nll_value_and_grad(self, u: Array, data: Data) -> tuple[Array, Array]:
        """Negative log-likelihood of all rows and its gradient in ``u``, in one pass over X."""
        rows = data["y"].shape[0]
        size = max(1, min(self.spec.block_rows, rows))
        value_and_grad = jax.value_and_grad(lambda u, X, y: self.nll(X @ u, y))

        def add_block(begin: Array | int, size: int, total: tuple[Array, Array]) -> tuple[Array, Array]:
            X, y = (lax.dynamic_slice_in_dim(data[name], begin, size) for name in ("X", "y"))
            return jax.tree.map(jnp.add, total, value_and_grad(u, X, y))

        zero = jnp.zeros((), u.dtype), jnp.zeros_like(u)
        if not rows:
            return zero
        total = lax.fori_loop(0, rows // size, lambda i, total: add_block(i * size, size, total), zero)
        return add_block(rows - rows % size, rows % size, total) if rows % size else total

    def reduce(self, total: Any, data: Data) -> Any:
        scale = 1 / data["y"].shape[0] if self.spec.reduction == "mean" else 1.0
        return jax.tree.map(lambda leaf: scale * leaf, total)

    def penalty(self, params: Params) -> Array:
        return 0.5 * self.spec.l2 * sum(jnp.vdot(p, p) for p in params.values())


def direction(params: Params) -> Array:
    """``u``, what the rows of X are projected on: ``W w``, or ``w`` where there is no projection."""
    return params["W"] @ params["w"] if "W" in params else params["w"]


class JaxProgram:
    """Five compiled functions. Forward over reverse is the Hessian-vector product, where there is a forward mode.

    Those named in ``eager`` are evaluated operation by operation; within them what the loss itself compiles is
    compiled, unless it is a program of `LARGE` operations.
    """

    def __init__(self, loss: Loss, eager: Collection[str] = ()) -> None:
        value_and_grad, unroll = jax.value_and_grad(loss), 1
        if isinstance(loss, BuiltInLoss):
            value_and_grad, unroll = loss.value_and_grad, UNROLL

        def compiled(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            return by_operations(loss, function) if name in eager else jax.jit(function)

        def jvp(params: Params, data: Data, tangents: Params) -> Array:
            return jax.jvp(lambda params: loss(params, data), (params,), (tangents,))[1]

        def forward_over_reverse(params: Params, data: Data, tangents: Params) -> Params:
            return jax.jvp(lambda params: value_and_grad(params, data)[1], (params,), (tangents,))[1]

        def reverse_over_reverse(params: Params, data: Data, tangents: Params) -> Params:
            return jax.vjp(lambda params: value_and_grad(params, data)[1], params)[1](tangents)[0]

        forwards, backwards = (compiled("hvp", each) for each in (forward_over_reverse, reverse_over_reverse))

        def hvp(params: Params, data: Data, tangents: Params) -> Params:
            try:
                return forwards(params, data, tangents)
            except TypeError:  # a `jax.custom_vjp` within the gradient
                return backwards(params, data, tangents)

        def one_by_one(params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
            losses = []
            for _ in range(steps):
                value, gradient = self.value_and_gradient(params, data)
                params = jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient)
                losses.append(value)
            return jnp.stack(losses), params

        def descend(params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
            def step(params: Params, _: None) -> tuple[Params, Array]:
                value, gradient = value_and_grad(params, data)
                return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient), value

            params, losses = lax.scan(step, params, length=steps, unroll=unroll)
            return losses, params

        self.value = compiled("value_and_gradient", loss)
        self.value_and_gradient = compiled("value_and_gradient", value_and_grad)
        self.jvp = compiled("jvp", jvp)
        self.hvp = hvp
        self.descend = one_by_one if "descend" in eager else jax.jit(descend, static_argnames="steps")


def by_operations(loss: Loss, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, each operation compiled by itself; so is each within a program of `LARGE` in the loss."""
    known: list[bool] = []

    def call(params: Params, data: Data, *rest: Any) -> Any:
        if not known:
            known.append(max(inner_sizes(jax.make_jaxpr(loss)(params, data).jaxpr), default=0) >= LARGE)
        if not known[0]:
            return function(params, data, *rest)
        with jax.disable_jit():
            return function(params, data, *rest)

    return call


class JaxBackend:
    """JAX behind the protocol."""

    def __init__(self) -> None:
        self._compilations: int | None = None

    def configure(self, threads: int) -> None:
        """Float64 on, and calls run in the thread that makes them: handing one to another costs 14 us or more.

        XLA's CPU threads follow the environment (``NPROC``), which the launcher sets.
        """
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        if self._compilations is None:  # a second listener would count everything twice
            self._compilations = 0
            jax.monitoring.register_event_duration_secs_listener(self._count)

    def _count(self, event: str, duration_secs: float, **_more: Any) -> None:
        self._compilations = self.compilations() + (event == "/jax/core/compile/backend_compile_duration")

    def compilations(self) -> int:
        """Programs that XLA has compiled since `configure`."""
        return self._compilations or 0

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "jaxlib": jaxlib.version.__version__}

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        arrays = {name: jnp.array(value) for name, value in tree.items()}
        for name, value in tree.items():
            if arrays[name].dtype != value.dtype:  # JAX narrows float64 without a word where x64 is off
                raise TypeError(f"{name}: got {value.dtype}, JAX made it {arrays[name].dtype}; call configure() first")
        return arrays

    def view(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        """Arrays over the same memory where it is aligned to 64 bytes, copies elsewhere.

        The host may write into it again once what was computed from it has been waited for.
        """
        return {name: jax.device_put(value, may_alias=True) for name, value in tree.items()}

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        return {name: np.asarray(value) for name, value in tree.items()}

    def converted(self, tree: Mapping[str, Array], old: str, new: str) -> dict[str, Array]:
        """The arrays, those of dtype ``old`` as ``new``."""
        return {name: value.astype(new) if value.dtype == old else value for name, value in tree.items()}

    def wait(self, result: Any) -> Any:
        try:
            for leaf in jax.tree.leaves(result):  # jax.block_until_ready() of a tree takes 2 us more
                leaf.block_until_ready()
        except AttributeError:  # a Python number
            return jax.block_until_ready(result)
        return result

    def dtypes(self, loss: Loss, params: Params, data: Data) -> set[str]:
        """Of every value on the way to the loss and its gradient, as it is traced."""
        found: set[str] = set()

        def look(program: Any) -> None:
            for equation in program.eqns:
                found.update(str(getattr(each.aval, "dtype", "")) for each in equation.outvars)
            for inner in inner_programs(program):
                look(inner)

        look(jax.make_jaxpr(jax.value_and_grad(loss))(params, data).jaxpr)
        return found

    def taps(self) -> Taps:
        from gradparity.backends.taps import jax_taps

        return jax_taps

    def recorder(self) -> Recorder:
        from gradparity.backends.traces import jax_trace

        return jax_trace

    def elementwise(self, f: Callable[[Array, Array], Array]) -> dict[str, Callable[..., Any]]:
        from gradparity.backends.elementwise.jax_elementwise import derivatives

        return derivatives(f)

    def own_names(self) -> Any:
        from gradparity.backends.elementwise.jax_elementwise import own_names

        return own_names()

    def loss(self, spec: Logistic) -> Loss:
        return BuiltInLoss(spec)

    def namespace(self) -> Any:
        from gradparity.backends.names import jax_names, widened

        return widened(jnp, jax_names.NAMES, jax_names.OURS)

    def program(self, loss: Loss) -> JaxProgram:
        return JaxProgram(loss)

    def uncompiled(self, loss: Loss, names: Collection[str]) -> JaxProgram:
        return JaxProgram(loss, names)

    def interpreted(self, loss: Loss) -> Interpreted:
        from gradparity.backends.traces.jax_by_numpy import Interpreted

        return Interpreted(loss)

    def operations(self, loss: Loss, params: Params, data: Data) -> int:
        return size(jax.make_jaxpr(jax.value_and_grad(loss))(params, data).jaxpr)


backend = JaxBackend()
