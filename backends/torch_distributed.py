"""PyTorch over several processes, by data: every rank has all parameters and a block of the rows.

Loss and gradient of a rank's own rows come from the tape, as in one process, and one ``all_reduce`` of a flat bucket
makes those of all rows, as ``DistributedDataParallel`` does after its backward; but weighted by rows, since a mean of
means is no mean where blocks are uneven. JVP and HVP are reduced likewise. The steps of ``descend`` need no more:
parameters that are alike before a step are alike after it.

A port with a ``gradient`` of its own is asked for that with its rank's rows, and communicates by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from gradparity.backends.protocol import Array, Data, HostArray, Loss, Params
from gradparity.backends.shards import Rank, Shard, combination_of, rows_of
from gradparity.backends.torch_eager import TorchBackend, TorchProgram


def all_reduced(tree: Mapping[str, Array]) -> dict[str, Array]:
    """Sums over all ranks, of one flat bucket for each dtype, as ``DistributedDataParallel`` has them."""
    found: dict[str, Array] = {}
    for dtype in dict.fromkeys(value.dtype for value in tree.values()):
        here = {name: value for name, value in tree.items() if value.dtype == dtype}
        bucket = torch.cat([value.reshape(-1) for value in here.values()])
        if dist.is_initialized():
            dist.all_reduce(bucket)
        parts = bucket.split([value.numel() for value in here.values()])
        found |= {name: part.view(value.shape) for part, (name, value) in zip(parts, here.items(), strict=True)}
    return found


class TorchDistributedProgram:
    """The loss of all rows and its derivatives: those of a rank's own rows, reduced."""

    jvp: Callable[..., Array] | None = None
    hvp: Callable[..., Params] | None = None
    hvps: Mapping[str, Callable[..., Params]] = {}

    def __init__(self, loss: Loss) -> None:
        self.rank, self.names = Rank.here(), rows_of(loss)
        self._own = TorchProgram(loss)
        self.combination = combination_of(loss)
        self._gradient: Callable[[Params, Data], Params] | None = getattr(loss, "gradient", None)
        if self._gradient is None:
            self.jvp = self._jvp
            self.hvps = {way: partial(self._hvp, hvp) for way, hvp in self._own.hvps.items()}
            self.hvp = partial(self._hvp, self._own.hvp)

    def own(self, data: Mapping[str, Any]) -> Shard:
        """This rank's rows of data, on the host or not; of its own rows they are all."""
        return data if isinstance(data, Shard) else Shard(data, self.names, self.rank)

    def arrange(self, data: Data) -> Data:
        """In the layout that one process has them in, and nothing more: rows are cut by the names they came with."""
        return {name: value for name, value in self._own.arrange(data).items() if name in data}

    def value(self, params: Params, data: Data) -> Array:
        return self._summed(lambda rows: {"": self._own.value(params, rows)}, data)[""]

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        if self._gradient is not None:
            return self.value(params, data), self._gradient(params, dict(self.own(data)))
        found = self._summed(lambda rows: self._values(params, rows), data)
        return found.pop(""), found

    def _values(self, params: Params, rows: Data) -> dict[str, Array]:
        value, gradient = self._own.value_and_gradient(params, rows)
        return {"": value, **gradient}

    def _jvp(self, params: Params, data: Data, tangents: Params) -> Array:
        return self._summed(lambda rows: {"": self._own.jvp(params, rows, tangents)}, data)[""]

    def _hvp(self, hvp: Callable[..., Params], params: Params, data: Data, tangents: Params) -> Params:
        return self._summed(lambda rows: hvp(params, rows, tangents), data)

    def _summed(self, function: Callable[[Data], dict[str, Array]], data: Data) -> dict[str, Array]:
        """What a function gives of the rows of all ranks, from what it gives of those of each."""
        shard = self.own(data)
        weight, surplus = self.combination.weight(shard), self.combination.surplus(self.rank.ranks)
        found = {name: weight * value.detach() for name, value in function(dict(shard)).items()}
        if surplus:
            constant = function({name: value[:0] if name in self.names else value for name, value in shard.items()})
            found = {name: value - surplus * constant[name].detach() for name, value in found.items()}
        return all_reduced(found)

    def communicate(self, params: Params, data: Data) -> tuple[Array, Params]:
        """What a value and gradient exchange, by itself: their bucket's sum."""
        found = all_reduced({"": next(iter(params.values())).new_zeros(()), **params})
        return found.pop(""), found

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        losses, shard = [], self.own(data)
        for _ in range(steps):
            value, gradient = self.value_and_gradient(params, shard)
            params = {name: torch.sub(p, gradient[name], alpha=learning_rate) for name, p in params.items()}
            losses.append(value)
        return torch.stack(losses), params


class TorchDistributedBackend(TorchBackend):
    """PyTorch over the processes of a group, on their CPUs."""

    def configure(self, threads: int) -> None:
        """Threads; and the process group by gloo, of the variables that a launcher sets."""
        super().configure(threads)
        if "RANK" in os.environ and not dist.is_initialized():
            dist.init_process_group("gloo")

    def agreed(self, number: int) -> int:
        """That of rank 0, on every rank."""
        found = torch.tensor(number)
        if dist.is_initialized():
            dist.broadcast(found, 0)
        return int(found)

    def gathered(self, value: HostArray) -> HostArray:
        """A host array of every rank, along a first axis."""
        here = torch.from_numpy(value)
        found = [torch.empty_like(here) for _ in range(dist.get_world_size())] if dist.is_initialized() else [here]
        if dist.is_initialized():
            dist.all_gather(found, here)
        return torch.stack(found).numpy()

    def alone(self, loss: Loss) -> TorchProgram:
        """The program of one process, which has all rows."""
        return TorchProgram(loss)

    def program(self, loss: Loss) -> TorchDistributedProgram:  # type: ignore[override]
        return TorchDistributedProgram(loss)


backend = TorchDistributedBackend()
