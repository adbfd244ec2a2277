"""JAX over several processes, by data: one program on a mesh of all ranks' devices, whose axis is ``rows``.

``shard_map`` hands each rank its block of the rows, and ``psum`` makes the loss and gradient of all of them; jitted,
with the whole descent in one ``scan``, as in one process. The program is one for all ranks, and so are its shapes:
of uneven blocks every rank has as many rows as the smallest, and beside them one more, which counts where there is one.

What is replicated goes in and comes out as arrays of the rank's own device, without a copy.

A port with a ``gradient`` of its own is called within ``shard_map`` with its rank's rows, and reduces over that axis.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gradparity.backends.jax_backend import BuiltInLoss, JaxBackend, JaxProgram
from gradparity.backends.protocol import Array, Data, HostArray, Loss, Params
from gradparity.backends.shards import Rank, Shard, combination_of, rows_of
from gradparity.model_spec.errors import InputError

#: The axis of the mesh.
AXIS = "rows"
_SHARDED, _WHOLE = PartitionSpec(AXIS), PartitionSpec()


def _unflattened(names: Any, values: Any) -> Any:
    return dict(zip(names, values, strict=True))


jax.tree_util.register_pytree_node(Shard, lambda shard: (list(shard.values()), tuple(shard)), _unflattened)


class JaxDistributedProgram:
    """The loss of all rows and its derivatives, each one compiled program over all ranks."""

    jvp: Callable[..., Array] | None = None
    hvp: Callable[..., Params] | None = None

    def __init__(self, loss: Loss) -> None:
        self.rank, self.names, self.combination = Rank.here(), rows_of(loss), combination_of(loss)
        self._mesh = Mesh(np.array(jax.devices()), (AXIS,))
        self._descents: dict[int, Callable[..., Any]] = {}
        local = loss.value_and_grad if isinstance(loss, BuiltInLoss) else jax.value_and_grad(loss)
        own: Callable[[Params, Data], Params] | None = getattr(loss, "gradient", None)

        def value(params: Params, parts: Parts) -> Array:
            return self._of_all(partial(loss, params), parts)

        def value_and_gradient(params: Params, parts: Parts) -> tuple[Array, Params]:
            if own is not None:
                return value(params, parts), own(params, parts.main)
            return self._of_all(partial(local, params), parts)

        def jvp(params: Params, parts: Parts, tangents: Params) -> Array:
            return self._of_all(lambda rows: jax.jvp(lambda p: loss(p, rows), (params,), (tangents,))[1], parts)

        def hvp(params: Params, parts: Parts, tangents: Params) -> Params:
            return self._of_all(lambda rows: jax.jvp(lambda p: local(p, rows)[1], (params,), (tangents,))[1], parts)

        def descend(steps: int, params: Params, parts: Parts, learning_rate: Array) -> tuple[Array, Params]:
            def step(params: Params, _: None) -> tuple[Params, Array]:
                value, gradient = value_and_gradient(params, parts)
                return jax.tree.map(lambda p, g: p - learning_rate.astype(p.dtype) * g, params, gradient), value

            params, losses = lax.scan(step, params, length=steps)
            return losses, params

        def communicate(params: Params, _: Parts) -> tuple[Array, Params]:
            return lax.psum((jnp.zeros((), next(iter(params.values())).dtype), params), AXIS)

        self._even, self._descend = own is not None, descend
        self.communicate = self._mapped(communicate)  #: what a value and gradient exchange, by itself
        self.value, self.value_and_gradient = self._mapped(value), self._mapped(value_and_gradient)
        if own is None:
            self.jvp, self.hvp = self._mapped(jvp), self._mapped(hvp)

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        if steps not in self._descents:
            self._descents[steps] = self._mapped(partial(self._descend, steps))
        found: tuple[Array, Params] = self._descents[steps](params, data, np.float64(learning_rate))
        return found

    def own(self, data: Mapping[str, Any]) -> Shard:
        """This rank's rows of data, on the host or not; of its own rows they are all."""
        return data if isinstance(data, Shard) else Shard(data, self.names, self.rank)

    def _of_all(self, function: Callable[[Data], Any], parts: Parts) -> Any:
        """What a function gives of the rows of all ranks, from what it gives of those of each."""
        ranks, least = self.rank.ranks, parts.rows // self.rank.ranks
        mean = self.combination.kind == "mean"
        found = jax.tree.map(lambda leaf: leaf * (least / parts.rows if mean else 1), function(parts.main))
        counted: Any = 1
        if parts.more:
            one = 1 / parts.rows if mean else 1
            counted = 1 + parts.counts[0]
            found = jax.tree.map(
                lambda sum_, leaf: sum_ + leaf * (one * parts.counts[0]).astype(leaf.dtype), found, function(parts.more)
            )
        if self.combination.surplus(ranks):  # every loss in a sum has all of what has no rows
            none = {name: value[:0] if name in self.names else value for name, value in parts.main.items()}
            surplus = counted - 1 / ranks
            found = jax.tree.map(
                lambda sum_, leaf: sum_ - leaf * jnp.asarray(surplus, leaf.dtype), found, function(none)
            )
        return lax.psum(found, AXIS)

    def _mapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one rank's arrays as a program over all ranks, of arrays of this one's."""

        def program(rows: int, *arrays: Any) -> Any:
            def of_one(params: Params, main: Data, more: Data, counts: Array, whole: Data, rest: Any) -> Any:
                return function(
                    params, Parts(rows, {**whole, **main}, {**whole, **more} if more else {}, counts), *rest
                )

            specs = (_WHOLE, _SHARDED, _SHARDED, _SHARDED, _WHOLE, _WHOLE)
            # Differentiated within one rank: what JAX would reduce by itself is reduced by `_of_all`.
            mapped = jax.shard_map(of_one, mesh=self._mesh, in_specs=specs, out_specs=_WHOLE, check_vma=False)
            return mapped(*arrays)

        compiled = jax.jit(program, static_argnums=0)

        def call(params: Params, data: Data, *rest: Any) -> Any:
            shard = self._placed(data)
            found = compiled(shard.rows, self._everywhere(params), *shard.placed, self._everywhere(rest))
            return jax.tree.map(lambda leaf: leaf.addressable_data(0), found)

        return call

    def _placed(self, data: Data) -> Shard:
        """This rank's rows, with the arrays of all ranks that they are a part of."""
        shard = self.own(data)
        if shard.placed is None:
            least = shard.rows // self.rank.ranks
            if self._even and shard.rows % self.rank.ranks:
                raise InputError(
                    "rows of a port that reduces by itself",
                    got=f"{shard.rows} over {self.rank.ranks} ranks",
                    expected="as many for each: a program of JAX has one shape on all ranks",
                    cure=f"--ranks with a number that divides {shard.rows}.",
                )
            rows = {name: value for name, value in shard.items() if name in self.names}
            spare = shard.rows % self.rank.ranks > 0
            more = {name: value[least : least + 1] if shard.own > least else value[:1] for name, value in rows.items()}
            counts = jnp.array([float(shard.own > least)])
            shard.placed = (
                jax.tree.map(self._joined, {name: value[:least] for name, value in rows.items()}),
                jax.tree.map(self._joined, more if spare else {}),
                self._joined(counts),
                self._everywhere({name: value for name, value in shard.items() if name not in rows}),
            )
        return shard

    def _joined(self, value: Array) -> Array:
        """The array of all ranks' blocks, of which this is the rank's."""
        shape = (self.rank.ranks * value.shape[0], *value.shape[1:])
        return jax.make_array_from_single_device_arrays(shape, NamedSharding(self._mesh, _SHARDED), [value])

    def _everywhere(self, tree: Any) -> Any:
        """Arrays that all ranks have alike."""
        sharding = NamedSharding(self._mesh, _WHOLE)

        def placed(leaf: Any) -> Array:
            array = leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf)
            return jax.make_array_from_single_device_arrays(array.shape, sharding, [array])

        return jax.tree.map(placed, tree)


class Parts:
    """A rank's rows within a program: as many as every rank has, and one ``more`` where ``counts`` is 1, not 0."""

    def __init__(self, rows: int, main: Data, more: Data, counts: Array) -> None:
        self.rows, self.main, self.more, self.counts = rows, main, more, counts


class JaxDistributedBackend(JaxBackend):
    """JAX over the processes of a group, on their CPUs."""

    def configure(self, threads: int) -> None:
        """As one process; and the group by gloo, of the variables that a launcher sets."""
        super().configure(threads)
        if "RANK" in os.environ and not jax.distributed.is_initialized():
            here, address = Rank.here(), f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            jax.distributed.initialize(address, num_processes=here.ranks, process_id=here.rank)

    def agreed(self, number: int) -> int:
        """That of rank 0, on every rank."""
        return int(multihost_utils.broadcast_one_to_all(np.int64(number)))

    def gathered(self, value: HostArray) -> HostArray:
        """A host array of every rank, along a first axis."""
        return np.asarray(multihost_utils.process_allgather(value)).reshape(-1, *value.shape)

    def alone(self, loss: Loss) -> JaxProgram:
        """The program of one process, which has all rows."""
        return JaxProgram(loss)

    @property
    def uncompiled(self) -> Any:
        """Nothing: what is one program over all ranks is compiled."""
        raise AttributeError("uncompiled")

    def program(self, loss: Loss) -> JaxDistributedProgram:  # type: ignore[override]
        return JaxDistributedProgram(loss)


backend = JaxDistributedBackend()
