"""Any backend over a file that need not fit into memory: chunks of rows go through its own program, and are summed.

The loss is a sum over rows, so that loss, gradient, JVP and HVP of all rows are sums of those of chunks. Each chunk
goes through the backend's program as it stands, with the sum over rows and no penalty; the totals are kept in
extended precision on the host, where the mean is taken and the penalty added once. A chunk has the labels' column
in it still, as zeros; the parameters get a row of zeros there, which the results lose again.

Of a sharded backend each rank reads its own rows, by the program of one process. The totals of all ranks go to every
rank, which adds them in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradparity.backends.built_in import built_in_loss
from gradparity.backends.protocol import Array, Backend, Data, HostArray, Loss, Params, Program
from gradparity.backends.shards import Rank
from gradparity.model_spec.data.row_file import Buffers, OnDisk, RowFile
from gradparity.model_spec.spec import Logistic

Totals = dict[str, np.ndarray]


class StreamedBackend:
    """A backend whose data lie in a file. ``X`` and ``y`` are `OnDisk` on both sides of ``put`` and ``get``."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.configure, self.versions, self.wait = backend.configure, backend.versions, backend.wait
        self.compilations: Callable[[], int] = getattr(backend, "compilations", int)
        self.precisions: Sequence[str] | None = getattr(backend, "precisions", None)
        if hasattr(backend, "agreed"):
            self.agreed: Callable[[int], int] = backend.agreed

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        return _on_disk(tree) or self.backend.put(tree)

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        return _on_disk(tree) or self.backend.get(tree)

    def loss(self, spec: Logistic) -> StreamedLoss:
        return StreamedLoss(self.backend, spec)

    def program(self, loss: Loss) -> StreamedProgram:
        """Raises TypeError for a loss that is not a sum over the rows of a file."""
        if not isinstance(loss, StreamedLoss):
            raise TypeError("only the built-in models are computed by chunks of rows")
        return StreamedProgram(loss)


def _on_disk(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if isinstance(value, OnDisk)}


class StreamedLoss:
    """The built-in model's loss, plain, over all chunks; and what the derivatives share with it."""

    def __init__(self, backend: Backend, spec: Logistic) -> None:
        self.backend, self.spec = backend, spec
        self.host: Callable[[Params], dict[str, Any]] = backend.get
        # A chunk is a block: it stays in the last cache, and larger blocks make fewer calls.
        formulation = "reassociated" if spec.formulation == "blocked" else spec.formulation
        widened = replace(spec, features=spec.features + 1, formulation=formulation, reduction="sum", l2=0.0)
        self.chunk_loss = built_in_loss(backend, widened)
        #: Host arrays as the framework's, without a copy where it has a way; third parties need none.
        self.view: Callable[[Mapping[str, HostArray]], Data] = getattr(backend, "view", backend.put)
        #: The parameter with a row for every feature.
        self.tall = "W" if "W" in spec.shapes else "w"
        self.buffers: dict[RowFile, Buffers] = {}
        #: Of a sharded backend: an array of every rank, of which this one gives its own.
        self.gathered: Callable[[HostArray], HostArray] | None = getattr(backend, "gathered", None)

    def chunk_program(self) -> Program:
        """The backend's program for a chunk, that of one process."""
        program: Program = getattr(self.backend, "alone", self.backend.program)(self.chunk_loss)
        return program

    def __call__(self, params: Params, data: Data) -> Array:
        return self.value(self.chunk_loss, params, data)

    def value(self, of_chunk: Loss, params: Params, data: Data) -> Array:
        """The loss of all rows, from a function that gives it for a chunk."""
        total, _ = self.summed(lambda params, rows: (of_chunk(params, rows), {}), data, params)
        return self.scalar(total + self.penalty(self.host(params)))

    def summed(
        self, call: Callable[..., tuple[Array | None, Params]], data: Data, *trees: Params
    ) -> tuple[Any, dict[str, Any]]:
        """Sums, or means, over rows of a scalar and of a tree shaped like the parameters, in extended precision."""
        whole: RowFile = data["X"].file
        file = whole.part(Rank.here().block(whole.rows)) if self.gathered else whole
        dtype = self.spec.dtype
        if file not in self.buffers:
            self.buffers[file] = Buffers(file, dtype)
        first, *rest = (self.backend.put(self.widened(self.host(tree), file)) for tree in trees)
        total: Any = np.longdouble(0)
        sums: dict[str, Any] = {}
        for X, y in file.chunks(dtype, self.buffers[file]):
            scalar, tree = self.backend.wait(call(first, self.view({"X": X, "y": y}), *rest))
            total = total + self.backend.get({"": scalar})[""]
            for name, value in self.backend.get(tree).items() if tree else ():
                sums[name] = sums.get(name, np.longdouble(0)) + value
        if self.gathered:
            total, sums = of_all_ranks(self.gathered, total, sums)
        rows = whole.rows if self.spec.reduction == "mean" else 1
        return total / rows, {
            name: (np.delete(value, file.target, axis=0) if name == self.tall else value) / rows
            for name, value in sums.items()
        }

    def widened(self, tree: Mapping[str, HostArray], file: RowFile) -> dict[str, HostArray]:
        """The same with a row of zeros where the labels' column is."""
        return {
            name: np.insert(value, file.target, 0, axis=0) if name == self.tall else value
            for name, value in tree.items()
        }

    def penalty(self, params: Totals) -> Any:
        return self.spec.l2 / 2 * sum(np.sum(np.square(p, dtype=np.longdouble)) for p in params.values())

    def scalar(self, value: Any) -> Array:
        return self.placed({"": value})[""]

    def placed(self, tree: Mapping[str, Any]) -> Params:
        """Totals rounded once to the dtype, as the framework's arrays."""
        return self.backend.put({name: np.asarray(value, self.spec.dtype) for name, value in tree.items()})


class StreamedProgram:
    """The backend's program for a chunk, called for all of them."""

    def __init__(self, loss: StreamedLoss) -> None:
        self.loss = loss
        self.chunk = loss.chunk_program()

    def value(self, params: Params, data: Data) -> Array:
        return self.loss.value(self.chunk.value, params, data)

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        value, gradient = self._value_and_gradient(params, data)
        return self.loss.scalar(value), self.loss.placed(gradient)

    def _value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Totals]:
        loss = self.loss
        total, sums = loss.summed(self.chunk.value_and_gradient, data, params)
        at = loss.host(params)
        gradient = {name: sums[name] + loss.spec.l2 * at[name] for name in at}
        return total + loss.penalty(at), gradient

    def jvp(self, params: Params, data: Data, tangents: Params) -> Array:
        loss = self.loss
        total, _ = loss.summed(lambda *arguments: (self.chunk.jvp(*arguments), {}), data, params, tangents)
        at, move = loss.host(params), loss.host(tangents)
        penalty = loss.spec.l2 * sum(np.vdot(np.asarray(at[name], np.longdouble), move[name]) for name in at)
        return loss.scalar(total + penalty)

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        loss = self.loss
        zero = loss.scalar(0.0)
        _, sums = loss.summed(lambda *arguments: (zero, self.chunk.hvp(*arguments)), data, params, tangents)
        move = loss.host(tangents)
        return loss.placed({name: sums[name] + loss.spec.l2 * move[name] for name in move})

    def communicate(self, params: Params, data: Data) -> tuple[Array, Params]:
        """What the ranks of a value and gradient exchange, by itself."""
        total, sums = np.longdouble(0), self.loss.host(params)
        if self.loss.gathered:
            total, sums = of_all_ranks(self.loss.gathered, total, sums)
        return self.loss.scalar(total), self.loss.placed(sums)

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        losses = np.empty(steps, self.loss.spec.dtype)
        for step in range(steps):
            value, gradient = self._value_and_gradient(params, data)
            losses[step] = value
            at = self.loss.host(params)
            params = self.loss.placed({name: at[name] - learning_rate * gradient[name] for name in at})
        return self.loss.scalar(losses), params


def of_all_ranks(gathered: Callable[[HostArray], HostArray], total: Any, sums: Totals) -> tuple[Any, Totals]:
    """Totals in extended precision added up over ranks, each sent as two numbers of float64 that make it."""
    flat = np.concatenate([np.ravel(np.asarray(value, np.longdouble)) for value in (total, *sums.values())])
    high = flat.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of an infinite total the rest is none
        low = np.where(np.isfinite(high), flat - high, 0).astype(np.float64)
    added = gathered(np.stack([high, low])).astype(np.longdouble).sum(axis=(0, 1))
    ends = np.cumsum([1, *(value.size for value in sums.values())])
    (total,), *parts = np.split(added, ends[:-1])
    return total, {name: part.reshape(sums[name].shape) for name, part in zip(sums, parts, strict=True)}
