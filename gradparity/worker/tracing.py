"""Every result on the way to one loss as a record small enough to send: sorted entries with their floors.

Sorted, since two ports keep the same numbers in other layouts: what is reshaped, transposed or has its axes permuted
has the same sorted entries. Of a large result they are samples at even ranks, beside sums that one entry moves. Runs in
a worker.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.backends.protocol import Backend, Loss
from gradparity.backends.traces import NOWHERE, Recorder, Step
from gradparity.numerics.perturbation import perturbed
from gradparity.worker.import_clock import STARTED_S
from gradparity.worker.messages import Result, Traced
from gradparity.worker.recording import rounding
from gradparity.worker.wire import Host

Tree: TypeAlias = Mapping[str, Host]

#: Evaluations at inputs that are moved by one rounding.
DRAWS = 6
#: Seconds after which no other is begun: with one alone eighteen broken ports diverge at the lines that six give.
DRAW_S = 2.5
#: Entries up to which a result is sent whole, and how many of a larger one are.
WHOLE, SAMPLES = 1024, 256
#: Bytes of arrays that are kept while their floors are found; beyond them a result is recorded without its cotangent.
MOST_BYTES = 2**30
#: Results that are recorded: a loop of many steps has more, and its beginning is what tells.
MOST_RESULTS = 20_000


class Ledger:
    """A `gradparity.backends.traces.Journal` that keeps what it is told."""

    def __init__(self, root: Path) -> None:
        self._root, self._installed = Path(root).resolve(), Path(sys.prefix).resolve()
        self._inside: dict[str, bool] = {}
        self.names: dict[int, str] = {}
        self.steps: list[Step] = []
        self.values: list[Host] = []
        self.cotangents: dict[int, Host] = {}
        self.cut = False
        self._bytes = 0

    def inside(self, file: str) -> bool:
        """See `gradparity.backends.traces.Journal`."""
        known = self._inside.get(file)
        if known is None:
            path = Path(file).resolve()
            installed = "site-packages" in path.parts or path.is_relative_to(self._installed)
            known = self._inside[file] = path.is_relative_to(self._root) and not installed
        return known

    def leaf(self, name: str, value: Host) -> int:
        """See `gradparity.backends.traces.Journal`."""
        number = self._keep(Step("", ()), value)
        self.names[number] = name
        return number

    def result(self, step: Step, value: Host) -> int:
        """See `gradparity.backends.traces.Journal`."""
        return self._keep(step, value)

    def cotangent(self, number: int, cotangent: Host) -> None:
        """See `gradparity.backends.traces.Journal`."""
        if 0 <= number < len(self.values) and not self._full(cotangent):
            known = self.cotangents.get(number)
            self.cotangents[number] = cotangent if known is None else known + cotangent

    def _keep(self, step: Step, value: Host) -> int:
        if len(self.values) >= MOST_RESULTS or self._full(value):
            return -1
        self.steps.append(step)
        self.values.append(value.astype(np.float32) if value.dtype.kind == "V" else value)
        return len(self.values) - 1

    def _full(self, value: Host) -> bool:
        self._bytes += value.nbytes
        self.cut = self.cut or self._bytes > MOST_BYTES or len(self.values) >= MOST_RESULTS
        return self._bytes > MOST_BYTES


def trace(
    backend: Backend, loss: Loss, params: Tree, data: Tree, root: Path, *, seed: int = 0, draws: int = DRAWS
) -> Traced:
    """Every result of one evaluation of a loss and its gradient, in order, with floors from moved inputs.

    Args:
        backend: one that has a ``recorder``; of another the result is empty and says so.
        loss: ``loss(params, data) -> scalar`` in the backend's arrays.
        params: host arrays by name, as the loss takes them.
        data: likewise; integers and booleans are not moved.
        root: the folder that the user's code is in.
        seed: of the moves.
        draws: how many; without one floors are of one rounding.
    """
    recorder: Callable[[], Recorder] | None = getattr(backend, "recorder", None)
    if recorder is None:
        return Traced(notes=["this backend's operations cannot be recorded"])

    def evaluate(params: Tree, data: Tree) -> Ledger:
        ledger = Ledger(root)
        recorder().record(loss, backend.put(params), backend.put(data), ledger)
        return ledger

    def moved() -> Iterator[Ledger]:
        began_s = time.monotonic()
        for p, d, _ in perturbed(params, data, {}, seed=seed, draws=draws):
            yield evaluate(p, d)
            if time.monotonic() - began_s > DRAW_S:
                return

    with np.errstate(all="ignore"):
        exact = evaluate(params, data)
        return traced(exact, moved() if draws else iter(()))


def traced(exact: Ledger, moved: Iterator[Ledger]) -> Traced:
    """A record with its floors: how far each entry moves in others of the same steps, root mean square."""
    notes, draws = [], 0
    values = [np.zeros(value.shape) for value in exact.values]
    cotangents = {number: np.zeros(value.shape) for number, value in exact.cotangents.items()}
    for other in moved:
        if [step.operation for step in other.steps] != [step.operation for step in exact.steps]:
            notes = ["inputs that are moved by a rounding take it another way"]
            continue
        draws += 1
        for number, square in enumerate(values):
            _add_square(square, other.values[number], exact.values[number])
        for number, square in cotangents.items():
            if number in other.cotangents:
                _add_square(square, other.cotangents[number], exact.cotangents[number])
    notes += ["not all of it is recorded: it has too many results, or too large ones"] if exact.cut else []
    changed: dict[str, bool] = {}
    results = []
    for number, (step, value) in enumerate(zip(exact.steps, exact.values, strict=True)):
        place = step.place
        if place.file and changed.setdefault(place.file, changed_since(place.file)):
            place = NOWHERE._replace(file=place.file)
        cotangent = exact.cotangents.get(number)
        results.append(
            Result(
                operation=step.operation,
                inputs=[each for each in step.inputs if each >= 0],
                place=(place.file, place.line, place.end_line, place.column, place.end_column),
                caller=place.caller,
                rule=step.rule[:3],
                module=step.module,
                part=step.part,
                name=exact.names.get(number, ""),
                shape=value.shape,
                dtype=value.dtype.str,
                values=_sorted(value, np.sqrt(values[number] / max(draws, 1))),
                cotangents=None
                if cotangent is None
                else _sorted(cotangent, np.sqrt(cotangents[number] / max(draws, 1))),
            )
        )
    sources = {file: _text(file) for file, stale in changed.items() if not stale}
    notes += [
        f"{file} has changed since it was loaded: its lines are not said" for file, stale in changed.items() if stale
    ]
    return Traced(results, sources, notes)


def _add_square(square: Host, other: Host, exact: Host) -> None:
    if other.shape == exact.shape and other.dtype.kind in "fc":
        difference = np.abs(other - exact).astype(np.float64)  # of numbers that are close, exact as they are
        square += np.where(np.isfinite(difference), difference, 0) ** 2


def _sorted(value: Host, floor: Host) -> npt.NDArray[np.float64]:
    """Entries in increasing order, their floors, and four sums with theirs: float64, (2, entries + 4).

    The last has a weight for each place in memory order, so that it tells the same numbers in another order apart.

    Floors are in quadrature with one rounding of the entry and with the block's root mean square: few draws move an
    entry that comes out exact, and errors are small beside the block.
    """
    if value.dtype.kind == "c":
        value, floor = np.stack([value.real, value.imag]), np.stack([floor, floor])
    entries = np.ravel(value).astype(np.longdouble)
    floors = np.ravel(floor) ** 2 + np.ravel(rounding(value)).astype(np.float64) ** 2
    floors = np.sqrt(floors + floors.mean()) if floors.size else floors
    order = np.argsort(entries.astype(np.float64), kind="stable")
    count = len(order) if len(order) <= WHOLE else SAMPLES
    ranks = np.linspace(0, len(order) - 1, count).round().astype(np.int64)
    total = float(np.sqrt(np.sum(floors**2)))
    weights = _weights(entries.size)
    sums = [np.sum(entries), np.sum(entries * np.abs(entries)), np.sum(np.abs(entries)), np.sum(weights * entries)]
    largest = float(np.abs(entries).max(initial=0))
    moves = [total, 2 * largest * total, total, float(np.sqrt(np.sum((weights * floors) ** 2)))]
    chosen = order[ranks] if len(order) else order
    with np.errstate(all="ignore"):
        return np.array(
            [[*entries[chosen].astype(np.float64), *map(float, sums)], [*floors[chosen], *moves]], np.float64
        )


@lru_cache(maxsize=64)
def _weights(count: int) -> Host:
    return np.random.default_rng(0).standard_normal(count)


def changed_since(file: str) -> bool:
    """Whether a file of the user's may not be what this process has loaded."""
    try:
        found = Path(file).stat()
        return max(found.st_mtime, found.st_ctime) > STARTED_S  # an older file that was put in its place is newer here
    except OSError:
        return True


def _text(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
