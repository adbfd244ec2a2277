"""What passes the taps of one loss, forward and backward, and how far rounding alone moves it. Runs in a worker."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.backends.protocol import Backend, Loss, Taps
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.trees import map_tree
from gradparity.numerics.perturbation import perturbed
from gradparity.taps import probing
from gradparity.worker.messages import Recorded
from gradparity.worker.wire import Host

Tree: TypeAlias = Mapping[str, Host]

#: Evaluations at inputs that are moved by one rounding.
DRAWS = 8
#: Parameters that are moved one by one, to see which tap each reaches first.
MOST_MOVED = 64


class Recording:
    """A sink: one evaluation's values, then, after `turn`, its cotangents.

    Cotangents before that are those of a gradient inside the loss, and values after it are computed once more, by a
    checkpoint: neither is new.
    """

    def __init__(self) -> None:
        self.values: dict[str, Host] = {}
        self.cotangents: dict[str, Host] = {}
        self.differentiated = False
        self._seen: Counter[str] = Counter()
        self._recomputed: set[str] = set()
        self._backward = False
        self._lock = threading.Lock()

    def turn(self) -> None:
        """The forward pass is over."""
        self._backward = True

    def value(self, name: str, value: Host) -> int:
        """See `gradparity.backends.protocol.Sink`.

        Raises:
            InputError: it is neither an array of numbers nor a number.
        """
        if value.dtype.kind == "V":  # bfloat16 and its like, which NumPy has no arithmetic for
            value = value.astype(np.float32)
        if value.dtype.kind not in "biufc":
            raise InputError(
                f"tap {name!r}", got=f"a value of dtype {value.dtype}",
                expected="an array or number, or dicts, lists and tuples of them", cure="Tap the arrays in it.",
            )  # fmt: skip
        with self._lock:
            if self._backward:
                return self._known(name, value)
            occurrence = self._seen[name]
            self._seen[name] += 1
            self.values[f"{name}#{occurrence}"] = np.array(value)
            return occurrence

    def cotangent(self, name: str, occurrence: int, cotangent: Host, batch: tuple[int, ...] | None = None) -> None:
        """See `gradparity.backends.protocol.Sink`."""
        key = f"{name}#{occurrence}"
        if cotangent.dtype.kind == "V":
            cotangent = cotangent.astype(np.float32)
        with self._lock:
            if self._backward and key in self.values:
                own = _of_shape(np.array(cotangent), batch or (), self.values[key].shape)
                self.cotangents[key] = self.cotangents[key] + own if key in self.cotangents else own

    def _known(self, name: str, value: Host) -> int:
        """The occurrence that is computed once more: the nearest, and the latest of equals; -1 if there is none."""
        distances = {
            occurrence: float(np.abs(np.subtract(value, known, dtype=np.result_type(known, np.float32))).max(initial=0))
            for occurrence in reversed(range(self._seen[name]))
            if (key := f"{name}#{occurrence}") not in self._recomputed
            and (known := self.values[key]).shape == value.shape
        }
        if not distances:
            return -1
        nearest = min(distances, key=distances.__getitem__)
        self._recomputed.add(f"{name}#{nearest}")
        return nearest


def _of_shape(cotangent: Host, batch: tuple[int, ...], shape: tuple[int, ...]) -> Host:
    """The cotangent of a value that is shared along some axes of a vmap is the sum over them; and the other way round.

    A cotangent that does not depend on an axis of the value's is the same all along it.
    """
    while cotangent.ndim > max(len(shape), cotangent.ndim if batch else 0):
        cotangent = cotangent.sum(0)
    shared = tuple(axis for axis, size in enumerate(batch) if size == 1 and cotangent.shape[axis] > 1)
    cotangent = cotangent.sum(shared, keepdims=True)
    wanted = batch + cotangent.shape[len(batch) :]
    return np.array(np.broadcast_to(cotangent, wanted).reshape(shape))


@contextmanager
def recording(taps: Taps) -> Iterator[Recording]:
    """Every tap in this block is recorded; the caller says when the forward pass is over."""
    sink = Recording()

    def probe(name: str, value: Any) -> Any:
        if not isinstance(name, str) or not name:
            raise InputError("the name of a tap", got=repr(name), expected="a string that is not empty")
        return map_tree(lambda path, leaf: None if leaf is None else taps.probe(sink, path, leaf), value, name)

    with taps.context(sink), probing(probe):
        yield sink


def taps_of(backend: Backend) -> Taps | None:
    """How this backend's values are tapped; ``None`` for one that cannot be."""
    taps: Callable[[], Taps] | None = getattr(backend, "taps", None)
    return None if taps is None else taps()


def fresh(backend: Backend) -> AbstractContextManager[Any]:
    """What has to be in force so that functions compiled already run their Python again."""
    taps = taps_of(backend)
    return nullcontext() if taps is None else taps.context(Recording())


def evaluate(backend: Backend, taps: Taps, loss: Loss, params: Tree, data: Tree) -> Recording:
    """One evaluation of the loss and of its gradient, recorded."""
    with recording(taps) as sink:
        _, backward = taps.pull_back(loss, backend.put(params), backend.put(data))
        sink.turn()
        if backward is not None:
            sink.differentiated = True
            backward()
    return sink


def record(backend: Backend, loss: Loss, params: Tree, data: Tree, *, draws: int = DRAWS, seed: int = 0) -> Recorded:
    """What the taps of a loss see at these parameters, with floors from ``draws`` evaluations at moved inputs.

    Args:
        backend: one that has ``taps``; of another the result is empty.
        loss: ``loss(params, data) -> scalar`` in the backend's arrays.
        params: host arrays by name, as the loss takes them.
        data: likewise; integers and booleans are not moved.
        draws: evaluations at moved inputs; 0 for none, and then no floors.
        seed: of the moves: the same for every backend gives all the same bytes.

    Raises:
        InputError: a tap's name is no string, or its value no array or number.
        RuntimeError: another recording runs in this process.
    """
    taps = taps_of(backend)
    if taps is None or not _taps_anything(backend, taps, loss, params, data):
        return Recorded()
    exact = evaluate(backend, taps, loss, params, data)
    if not exact.values or not draws:
        return Recorded(exact.values, _in_order(exact.cotangents, exact.values), differentiated=exact.differentiated)
    values, cotangents = Spread(exact.values), Spread(exact.cotangents)
    for moved_params, moved_data, _ in perturbed(params, data, {}, seed=seed, draws=draws):
        moved = evaluate(backend, taps, loss, moved_params, moved_data)
        values.add(moved.values)
        cotangents.add(moved.cotangents)
    return Recorded(
        exact.values,
        _in_order(exact.cotangents, exact.values),
        values.floors(),
        _in_order(cotangents.floors(), exact.values),
        exact.differentiated,
        {name: _first_moved(backend, taps, loss, params, data, exact, name) for name in list(params)[:MOST_MOVED]},
    )


def _taps_anything(backend: Backend, taps: Taps, loss: Loss, params: Tree, data: Tree) -> bool:
    """Whether a loss has a tap, where tracing it tells, which costs far less than evaluating it by operations."""
    is_tapped: Callable[..., bool] | None = getattr(taps, "is_tapped", None)
    if is_tapped is None:
        return True
    with recording(taps):
        try:
            return is_tapped(loss, backend.put(params), backend.put(data))
        except Exception:  # it takes values: evaluated, it tells
            return True


def _first_moved(
    backend: Backend, taps: Taps, loss: Loss, params: Tree, data: Tree, exact: Recording, name: str
) -> str:
    """The first tap whose value changes with one parameter, ``""`` for none."""
    with np.errstate(all="ignore"):
        moved = {**params, name: np.asarray(params[name] * 1.0009765625 + params[name].dtype.type(2.0**-10))}
    with recording(taps) as sink:
        taps.pull_back(loss, backend.put(moved), backend.put(data))
    pairs = ((key, sink.values.get(key), value) for key, value in exact.values.items())
    return next((key for key, new, old in pairs if new is None or new.tobytes() != old.tobytes()), "")


class Spread:
    """How far each entry of a recording moves over several others: the root mean square of its differences."""

    def __init__(self, exact: Mapping[str, Host]) -> None:
        self._exact = exact
        self._squares = {key: np.zeros(value.shape, np.longdouble) for key, value in exact.items()}
        self._draws: Counter[str] = Counter()

    def add(self, moved: Mapping[str, Host]) -> None:
        """One more draw. A value that it lacks, or has in another shape, went another way through the loss."""
        for key, exact in self._exact.items():
            if key in moved and moved[key].shape == exact.shape:
                with np.errstate(all="ignore"):
                    difference = _wide(moved[key]) - _wide(exact)
                    square = difference.real**2 + difference.imag**2
                self._squares[key] += np.where(np.isfinite(square), square, 0)
                self._draws[key] += 1

    def floors(self) -> dict[str, Host]:
        """The floor of every entry, in quadrature with the rounding of the entry itself; zero for whole numbers."""
        return {
            key: np.sqrt(self._squares[key] / max(self._draws[key], 1) + rounding(value) ** 2).astype(np.float64)
            for key, value in self._exact.items()
        }


def rounding(value: Host) -> npt.NDArray[np.longdouble]:
    """One rounding of every entry in its dtype, ``u |x|``, longdouble; zero for integers and booleans.

    It is the smallest normal number at least: what is below may be flushed to zero.
    """
    if value.dtype.kind not in "fc":
        return np.zeros(value.shape, np.longdouble)
    limits = np.finfo(value.dtype)
    size = np.abs(_wide(value))
    size = np.where(np.isfinite(size), size, 0)
    return np.asarray(np.maximum(size * np.longdouble(limits.eps) / 2, np.longdouble(limits.smallest_normal)))


def _wide(value: Host) -> Host:
    return value.astype(np.clongdouble if value.dtype.kind == "c" else np.longdouble)


def _in_order(cotangents: dict[str, Host], values: Mapping[str, Host]) -> dict[str, Host]:
    return {key: cotangents[key] for key in values if key in cotangents}
