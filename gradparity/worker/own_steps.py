"""Training as the user wrote it: ``init(params) -> state`` and ``step(params, state, batch) -> (params, state, loss)``.

They are called as they are written: compiled where the user compiles them. The state may be anything, is kept by
reference from call to call, and is looked into where it is a tree of arrays or has a ``state_dict()``.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.backends.protocol import Backend
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.trees import below, nest
from gradparity.model_spec.user.layouts import Layout, layout_of
from gradparity.model_spec.user.model import load_model
from gradparity.numerics.perturbation import perturbed
from gradparity.progress import advance
from gradparity.worker.own_functions import OwnSteps, own_steps, read_answer
from gradparity.worker.step_messages import GivenBatch, StepsTaken, TakeSteps
from gradparity.worker.wire import Arrays, Host

#: Bytes of parameters and state that one run keeps, and those of one step up to which any step but the last is kept.
RECORD_BYTES, LARGE_BYTES = 32 * 2**20, 8 * 2**20
#: Steps of a second run that are held to the first, bit by bit.
AGAIN = 8
#: Runs that were moved by a rounding of which a root mean square is one.
LEAST_DRAWS = 3

OUT_OF_TIME = "its share of the time budget ended"


@dataclass(frozen=True)
class Stepped:
    """After a step: the loss that it returned, and copies of parameters and state by path."""

    loss: float
    params: Arrays
    state: Arrays


class Training:
    """Runs of one backend's steps from the problem's parameters, each from a new ``init``.

    Args:
        backend: whose arrays the steps take.
        problem: where they start; its data are every batch where there are none.
        own: the user's functions.
        batches: one for each step.
        layout: that the port has of the parameters; ``placed`` are by its names, ``host`` by the parameters'.
    """

    def __init__(
        self,
        backend: Backend,
        problem: UserProblem,
        own: OwnSteps,
        batches: Sequence[GivenBatch],
        layout: Layout,
    ) -> None:
        self.backend, self.problem, self.own, self.batches, self.layout = backend, problem, own, batches, layout

    def run(self, steps: int, *, moved_by: int | None = None) -> Iterator[Stepped]:
        """One run; with ``moved_by``, a seed, parameters and batches are moved by one rounding before every step.

        Raises:
            InputError: a step returns what is no ``(params, state, loss)`` with the parameters' names and shapes.
        """
        host = dict(self.problem.params)
        placed = self._trainable(self.backend.put(self.layout.into(host)))
        constants = self.layout.into(self.problem.spec.whole({}, self.problem.data))
        tree: Any = self.layout.nest({**placed, **self.backend.put(constants)})
        if moved_by is not None:  # before `init`, which may keep them
            tree = self._moved(tree, placed, host, moved_by, 0)
        state = self.own.first_state(tree)
        for k in range(1, steps + 1):
            given = self.own.call(tree, state, self._batch(k, moved_by), k)
            tree, flat, state, loss = read_answer(self.own.place, given, self.layout, self.backend)
            placed = self._trainable(flat)
            host = self._copied(placed)
            yield Stepped(loss, host, self._state(state) | self._statistics(tree))
            if any(placed[name] is not flat[name] for name in flat):
                tree = self.layout.replaced(tree, placed)
            if moved_by is not None:
                tree = self._moved(tree, placed, host, moved_by, k)

    def _trainable(self, tree: Arrays) -> dict[str, Any]:
        given = getattr(self.backend, "trainable", None)
        return dict(tree) if given is None else dict(given(tree))

    def _moved(self, tree: Any, placed: dict[str, Any], host: Arrays, seed: int, step: int) -> Any:
        """The tree with every entry moved to a number next to it: the arrays themselves, where the backend can."""
        (values, _, _) = next(perturbed(host, {}, {}, seed=hash((seed, step)) % 2**32, draws=1))
        in_place = getattr(self.backend, "moved", None)
        values = self.layout.into(values)
        moved = self.backend.put(values) if in_place is None else in_place(placed, values)
        return self.layout.replaced(tree, moved)

    def _batch(self, step: int, moved_by: int | None) -> Any:
        batch = self.batches[step - 1] if self.batches else None
        arrays = dict(self.problem.data) if batch is None else batch.arrays
        if moved_by is not None:
            (_, arrays, _) = next(perturbed({}, arrays, {}, seed=hash((moved_by, -step)) % 2**32, draws=1))
        placed = self.backend.put(arrays)
        return self.problem.spec.nest_data(placed) if batch is None else nest(json.loads(batch.form), placed)

    def _copied(self, placed: dict[str, Any]) -> Arrays:
        host = self.layout.back({name: np.array(value) for name, value in self.backend.get(placed).items()})
        for name, shape in self.problem.spec.shapes.items():
            value = host[name]
            if value.shape != shape or value.dtype.kind in "cOSU":
                got, expected = f"shape {value.shape}, {value.dtype}", f"real numbers of shape {shape}"
                raise InputError(f"{self.own.place}: params: {name}", got=got, expected=expected)
        return host

    def _statistics(self, tree: Any) -> Arrays:
        """Constants among the parameters that a step may change, as a normalisation its statistics; no counters."""
        found = self.backend.get(self.layout.constants(tree))
        return self.layout.back({k: np.array(v) for k, v in found.items() if np.asarray(v).dtype.kind == "f"})

    def _state(self, state: Any) -> Arrays:
        found: Arrays = {}
        for path, value in _arrays(state):
            try:
                host = np.array(self.backend.get({"": value})[""])
            except Exception:  # noqa: S112  # keys of a random generator, and what else is no plain array
                continue
            if host.dtype.kind in "fiub" and host.size:
                found[path] = host
        return found


def _arrays(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Whatever has a shape and a dtype within dicts, lists, tuples, dataclasses and what has a ``state_dict()``."""
    if depth > 20:  # it goes round in a circle
        return
    parts: Any = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = zip(value._fields, value, strict=True)
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        yield path, value
    elif callable(getattr(value, "state_dict", None)):
        parts = value.state_dict().items()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))
    for key, part in parts:
        yield from _arrays(part, below(path, key), depth + 1)


def taken(backend: Backend, problem: UserProblem, names: Sequence[str], request: TakeSteps) -> StepsTaken:
    """The answer to a request for the user's steps."""
    own = own_steps(problem.spec.path, names)
    assert own is not None  # noqa: S101  # `Loaded` said so
    layout = layout_of(load_model(problem.spec.path), problem.spec, names)
    training = Training(backend, problem, own, request.batches, layout)
    return take_steps(training, request.steps, request.draws, request.seconds, request.after, problem.seed)


def take_steps(training: Training, steps: int, draws: int, seconds: float, after: int, seed: int) -> StepsTaken:
    """The run, a second one of a few steps, and as many as there is time for that are moved by roundings.

    Args:
        training: what is run.
        steps: how many are asked for.
        draws: runs that are moved.
        seconds: what all of them may take.
        after: the last step whose parameters and state are not recorded.
        seed: of the roundings.

    Returns:
        Fewer steps where they do not fit.
    """
    began_s = time.monotonic()
    kept, losses, stopped = _Kept(after), list[float](), ""
    first_s = 0.0
    for stepped in training.run(steps):
        losses.append(stepped.loss)
        kept.add(len(losses), steps, stepped)
        advance("steps", len(losses), steps)
        took_s = time.monotonic() - began_s
        first_s = first_s or took_s  # the first may compile
        if took_s - first_s > seconds / (draws + 2) and len(losses) < steps:
            stopped = OUT_OF_TIME
            break
    kept.end(len(losses), stepped)
    count, again = len(losses), ""
    for k, stepped in enumerate(training.run(min(count, AGAIN))):
        again = again or _difference(k + 1, losses[k], kept.at(k + 1), stepped)
    band, ends_s = _Band(count, kept), began_s + seconds
    for draw in range(draws):
        if band.draws >= LEAST_DRAWS and time.monotonic() > ends_s:
            break
        band.add(training.run(count, moved_by=seed + draw), losses)
        advance("runs moved by roundings", draw + 1, draws)
    return StepsTaken(
        losses=np.array(losses),
        recorded=kept.steps,
        params=kept.stacked("params"),
        state=kept.stacked("state"),
        loss_band=np.array(band.losses).reshape(-1, count),
        params_band={name: np.array(moves) for name, moves in band.params.items()},
        state_band={name: np.array(moves) for name, moves in band.state.items()},
        seconds=time.monotonic() - began_s,
        again=again,
        stopped=stopped,
    )


class _Kept:
    """Parameters and state of some steps: of all, or of every so many, a power of two, so that memory holds them."""

    def __init__(self, after: int) -> None:
        self._after, self._found = after, dict[int, Stepped]()

    def add(self, k: int, steps: int, stepped: Stepped) -> None:
        """Take a step, if it is one of them."""
        if k <= self._after:
            return
        size = sum(value.nbytes for tree in (stepped.params, stepped.state) for value in tree.values())
        stride = 1
        while (steps - self._after) / stride * size > RECORD_BYTES:
            stride *= 2
        early = k & (k - 1) == 0 and size <= LARGE_BYTES  # 1, 2, 4, 8, ...
        if k % stride == 0 or early or k == 1:
            self._found[k] = stepped

    def end(self, k: int, stepped: Stepped) -> None:
        """Take the last step."""
        self._found[k] = stepped

    @property
    def steps(self) -> list[int]:
        """Those that were kept."""
        return list(self._found)

    def at(self, k: int) -> Stepped | None:
        """What was kept of a step."""
        return self._found.get(k)

    def stacked(self, what: str) -> Arrays:
        """The arrays of all of them by path; those only that every step has, in one shape."""
        trees: list[Arrays] = [getattr(each, what) for each in self._found.values()]
        shared = [
            name for name, value in trees[0].items()
            if all(name in tree and tree[name].shape == value.shape for tree in trees)
        ]  # fmt: skip
        return {name: np.stack([tree[name] for tree in trees]) for name in shared}


class _Band:
    """How far moved runs are from the first: root mean squares by draw."""

    def __init__(self, count: int, kept: _Kept) -> None:
        self._count, self._kept = count, kept
        self.losses: list[Host] = []
        self.params: dict[str, list[list[float]]] = {}
        self.state: dict[str, list[list[float]]] = {}

    @property
    def draws(self) -> int:
        """Moved runs so far."""
        return len(self.losses)

    def add(self, run: Iterator[Stepped], losses: Sequence[float]) -> None:
        """Take a moved run."""
        moves = np.zeros(self._count)
        rows: dict[str, dict[str, list[float]]] = {"params": {}, "state": {}}
        for k, stepped in enumerate(run, 1):
            moves[k - 1] = abs(stepped.loss - losses[k - 1])
            first = self._kept.at(k)
            if first is not None:
                for what, found in rows.items():
                    known: Arrays = getattr(first, what)
                    for name, value in getattr(stepped, what).items():
                        if name in known and known[name].shape == value.shape:
                            found.setdefault(name, []).append(root_mean_square(value, known[name]))
        self.losses.append(moves)
        for what, found in rows.items():
            for name, row in found.items():
                getattr(self, what).setdefault(name, []).append(row)


def root_mean_square(value: Host, other: Host) -> float:
    """Of the difference, in extended precision; infinite where one of them is not finite."""
    with np.errstate(all="ignore"):
        found = np.sqrt(np.mean((np.asarray(value, np.longdouble) - np.asarray(other, np.longdouble)) ** 2))
    return float(found) if np.isfinite(found) else np.inf


def _difference(k: int, loss: float, first: Stepped | None, second: Stepped) -> str:
    """How a step of the second run differs from the same of the first, or ``""``."""
    if np.float64(loss).tobytes() != np.float64(second.loss).tobytes():
        return f"step {k} returned the loss {loss!r}, then {second.loss!r}, from the same start"
    for what in ("params", "state") if first is not None else ():
        for name, value in getattr(first, what).items():
            again = getattr(second, what).get(name)
            if again is None or value.tobytes() != again.tobytes():
                kind = "parameter" if what == "params" else "state"
                return f"{kind} {name} differs between two runs from the same start, after step {k}"
    return ""
