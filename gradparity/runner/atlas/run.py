"""The atlas itself: every function in turn, each backend's process asked while the truth is being certified here."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradparity.backends import Registration, lookup, missing
from gradparity.judge.pointwise import Answer, held
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.extras import require
from gradparity.model_spec.function import Function
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.launch import Launch
from gradparity.processes.peer import WorkerFailed
from gradparity.processes.scratch import scratch_folder
from gradparity.results import RunResult
from gradparity.results.atlas import (
    ARRAYS,
    LOST,
    OURS,
    ArrayEntry,
    frame_of,
    part_of,
    read_part,
    require_folder,
    write_frame,
)
from gradparity.runner.atlas.arrays import FUNCTIONS, entries, in_arrays, surveyed
from gradparity.runner.atlas.points import Points, of_one, of_two
from gradparity.runner.atlas.search import next_points
from gradparity.truth.functions import Known, chosen, known, named
from gradparity.version import __version__
from gradparity.worker.messages import Differentiate, Differentiated
from gradparity.worker.pointwise import QUANTITIES

if TYPE_CHECKING:
    import polars as pl

BACKENDS = ("numpy", "autograd", "jax", "torch")
DTYPES = ("float64", "float32")
#: Rounds of looking where errors jump, after the first points.
ROUNDS = 16
#: Which truth a quantity is held to: of the function, its derivative or its second one.
ORDER = {"value": 0, "reverse": 1, "forward": 1, "second": 2}

Told = Callable[[str, int, int], None]


def explore(
    out: str, functions: Sequence[str] | None = None, backends: Sequence[str] | None = None, *, told: Told | None = None
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Every answer of these functions in these backends, and their versions.

    What the folder has already, of the same versions, is not computed again; what is new is written after each
    function.

    Args:
        out: folder.
        functions: names, aliases or labels; all without.
        backends: names; without, those of `BACKENDS` that are installed.
        told: called with each function's label, how many were done, and of how many.

    Raises:
        InputError: there is no such function or backend, the folder cannot be written or has something else in it, or
            Polars is not installed.
        WorkerFailed: a backend's framework could not be imported.
    """
    asked, registrations = chosen(None if functions is None else list(functions)), _registrations(backends)
    folder = require_folder(out)
    with _crew(registrations) as crew:
        frame = _all_explored(asked, crew, folder, told)
    return frame, {name: hand.version for name, hand in crew.items()}


@contextmanager
def _crew(registrations: Mapping[str, Registration]) -> Iterator[dict[str, _Hand]]:
    with scratch_folder() as scratch, ExitStack() as stack:
        yield {
            name: stack.enter_context(_Hand(name, registration, scratch))
            for name, registration in registrations.items()
        }


def _all_explored(
    asked: Sequence[Function], crew: Mapping[str, _Hand], folder: Path, told: Told | None
) -> pl.DataFrame:
    import polars as pl

    versions, parts = {name: hand.version for name, hand in crew.items()}, []
    for done, function in enumerate(asked):
        if told is not None:
            told(function.label, done, len(asked))
        path = part_of(folder, function.label)
        part = read_part(path, versions)
        if part is None:
            part = frame_of(list(_explored(function, crew)))
            write_frame(part, path)
        parts.append(part)
    return pl.concat(parts) if parts else frame_of([])


def everything(
    out: str, functions: Sequence[str] | None = None, backends: Sequence[str] | None = None, *, told: Told
) -> Explored:
    """What `explore` gives, and the checks of functions of whole arrays in the backends that differentiate.

    Args:
        out: folder; the checks of arrays are a run in ``arrays`` in it.
        functions: names of either kind; all without.
        backends: as those of `explore`.
        told: likewise.

    Raises:
        InputError: no function of either kind has that name, or as `explore` and `surveyed`.
        WorkerFailed: a backend's framework could not be imported.
    """
    whole = in_arrays(functions)
    alone = None
    if functions is not None:
        if not functions:
            raise InputError("--functions", got="no name", expected="names of functions, with commas between them")
        of_arrays = {name for each in whole for name in (each, each.partition(",")[0])}
        alone = [name for name in functions if named(name)]
        unknown = next((name for name in functions if name not in of_arrays and name not in alone), None)
        if unknown is not None:
            both = {each.name for each in chosen(None)} | {each.partition(",")[0] for each in FUNCTIONS}
            raise InputError("--functions", got=repr(unknown), expected=f"names among {', '.join(sorted(both))}")
    registrations = _registrations(backends)
    deriving = [name for name in registrations if name != "numpy"]
    whole = whole if deriving else []
    asked, folder = chosen(alone), require_folder(out)
    with _crew(registrations) as crew:
        frame = _all_explored(asked, crew, folder, lambda label, done, of: told(label, done, of + len(whole)))
        plain = {each.partition(",")[0] for each in whole}
        ours = {name: {each for each in plain if crew[name].ours(each)} for name in deriving}
    versions = {name: hand.version for name, hand in crew.items()}
    if not whole:
        return Explored(frame, versions, [], None)
    result = surveyed(
        folder / ARRAYS, whole, deriving,
        told=lambda label, done: told(label, len(asked) + done, len(asked) + len(whole)),
    )  # fmt: skip
    return Explored(frame, versions, [*entries(result, ours)], result)


def _registrations(backends: Sequence[str] | None) -> dict[str, Registration]:
    require("polars", "gradparity atlas")
    found = {name: lookup(name) for name in backends or BACKENDS}
    for name, registration in found.items():
        if name not in BACKENDS and not registration.package:
            expected = f"some of {', '.join(BACKENDS)}, or backends of other packages"
            raise InputError("--backends", got=name, expected=expected)
        cure = missing(registration)
        if cure and backends:
            raise InputError("--backends", got=f"{name}, which is not installed", expected=cure)
    return {name: each for name, each in found.items() if not missing(each)}


class Explored(NamedTuple):
    """Every answer, each backend's versions, and what there is of arrays: entries, and the run that they are of."""

    frame: pl.DataFrame
    versions: dict[str, str]
    arrays: list[ArrayEntry]
    result: RunResult | None


class _Hand:
    """One backend's process; where it has died another is started and asked once more: the function may be to blame."""

    def __init__(self, name: str, registration: Registration, scratch: Path) -> None:
        self.name, self._registration, self._scratch, self._starts = name, registration, scratch, 0
        self._worker = self._started()
        self.version = ""

    def _started(self) -> WorkerProcess:
        self._starts += 1
        log = self._scratch / f"{self.name}-{self._starts}.log"
        return WorkerProcess(self.name, self._registration, Launch(log, scratch=self._scratch))

    def __enter__(self) -> _Hand:
        versions = self._worker.configured().versions
        said = ", ".join(f"{name} {number}" for name, number in versions.items())
        self.version = f"{said} (gradparity {__version__})"
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()

    def send(self, request: Differentiate) -> None:
        """Ask; a process that has died meanwhile is seen when its answer is waited for."""
        self._asked = request
        with suppress(WorkerFailed):
            self._worker.send(request)

    def receive(self) -> Differentiated:
        """The answer; of a failure every quantity is not given."""
        for last in (False, True):
            try:
                return self._worker.receive()  # type: ignore[no-any-return]
            except WorkerFailed as failure:
                if failure.alive:
                    return Differentiated([], dict.fromkeys(QUANTITIES, failure.reason))
                self._worker.close()
                self._worker = self._started()
                self._worker.configured()
                if last:
                    return Differentiated([], dict.fromkeys(QUANTITIES, LOST + failure.reason))
                self.send(self._asked)
        raise AssertionError

    def ours(self, name: str) -> bool:
        """Whether a function's formula, or its derivative rule, is gradparity's."""
        self.send(Differentiate(Function(name, name), [], []))
        return self.receive().ours


class _Survey:
    """A function in one dtype: the points so far, what is true at each, and what was answered."""

    def __init__(self, function: Function, dtype: str) -> None:
        self.function = function
        self.x, self.y = (np.empty(0, dtype) for _ in range(2))
        self.known: list[Known] = []
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        one = of_one(dtype)
        self.new: tuple[Points, Points] = of_two(dtype) if function.has_held else (one, np.zeros_like(one))

    def certify(self) -> list[Known]:
        """What is true at the new points."""
        return [known(self.function, x, y) for x, y in zip(*self.new, strict=True)]

    def take(self, truths: list[Known], given: Mapping[str, Mapping[str, Points]]) -> None:
        """Add the new points with the answers of every backend, and choose the next ones."""
        self.x, self.y = (np.concatenate(each) for each in zip((self.x, self.y), self.new, strict=True))
        self.known += truths
        for backend, tree in given.items():
            for quantity, values in tree.items():
                order = ORDER[quantity]
                with np.errstate(over="ignore"):  # what is beyond a narrower dtype is infinite in it
                    values = values.astype(self.x.dtype)
                self.answers.setdefault((backend, quantity), []).extend(
                    held(got, _judged(truth, order), truth.moves[order])
                    for truth, got in zip(truths, values, strict=True)
                )
        self.new = next_points(self.x, self.y, self.answers)


def _judged(truth: Known, order: int) -> Any:
    """The truth that answers are held to: none for derivatives at a kink, or at the edge of a domain."""
    return None if order and truth.status in ("kink", "edge") else truth.truths[order]


def _explored(function: Function, crew: Mapping[str, _Hand]) -> Iterator[tuple[Any, ...]]:
    """The rows of one function."""
    surveys = [_Survey(function, dtype) for dtype in DTYPES]
    without, ours = dict[str, dict[str, str]](), set[str]()
    for _ in range(ROUNDS + 1):
        request = Differentiate(function, [each.new[0] for each in surveys], [each.new[1] for each in surveys])
        asked = {name: hand for name, hand in crew.items() if set(without.get(name, ())) != set(QUANTITIES)}
        for hand in asked.values():
            hand.send(request)
        truths = [survey.certify() for survey in surveys]  # while they compile
        answers = {name: hand.receive() for name, hand in asked.items()}
        ours |= {name for name, answer in answers.items() if answer.ours}
        without |= {name: {**without.get(name, {}), **answer.without} for name, answer in answers.items()}
        for place, (survey, found) in enumerate(zip(surveys, truths, strict=True)):
            survey.take(found, {name: each.found[place] for name, each in answers.items() if each.found})
        if not any(len(survey.new[0]) for survey in surveys):
            break
    for survey in surveys:
        yield from _rows(survey, {name: hand.version for name, hand in crew.items()}, without, ours)


def _rows(
    survey: _Survey, versions: Mapping[str, str], without: Mapping[str, Mapping[str, str]], ours: Collection[str]
) -> Iterator[tuple[Any, ...]]:
    """A row for each point in the domain and each answer, and one for each quantity that is not given."""
    label, dtype, nan = survey.function.label, str(survey.x.dtype), math.nan
    for backend, version in versions.items():
        for quantity in QUANTITIES:
            shared = label, backend, version, dtype, quantity
            answers = survey.answers.get((backend, quantity))
            if answers is None or quantity in without.get(backend, {}):
                note = without.get(backend, {}).get(quantity, "")
                yield (*shared, nan, None, "", *(nan,) * 7, "not given", note)
                continue
            for x, y, truth, answer in zip(survey.x, survey.y, survey.known, answers, strict=True):
                if truth.status == "outside":
                    continue
                side = ORDER[quantity] == 1 and truth.status == "kink"
                exact = float(truth.truths[1].mid()) if side and truth.truths[1] is not None else answer.truth
                left = float(truth.left.mid()) if side and truth.left is not None else nan
                yield (
                    *shared, float(x), float(y) if survey.function.has_held else None, truth.status, exact, left,
                    answer.got, answer.ulps, answer.relative, answer.felt, answer.floors, answer.status,
                    OURS if backend in ours else "",
                )  # fmt: skip
